#include "cli/markdown.hpp"

#include <algorithm>

#include "core/safe_text.hpp"

namespace exeat::cli {

std::string code_span(std::string_view text, std::size_t limit) {
  if (text.empty()) return {};
  std::string visible;
  core::append_visible(visible, text.substr(0, limit));
  if (text.size() > limit) visible += "...";
  // A backtick would end the span, a bar the cell.
  std::ranges::replace(visible, '`', '\'');
  std::ranges::replace(visible, '|', '/');
  return "`" + visible + "`";
}

}  // namespace exeat::cli
