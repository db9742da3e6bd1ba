#include "allowlist/path_pattern.hpp"

#include <optional>

namespace exeat::allowlist {
namespace {

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986 2.3, and the separators and signs that servers decode before they look at a path.
bool could_stand_plainly(int octet) noexcept {
  const bool alnum =
      (octet >= '0' && octet <= '9') || (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z');
  return alnum || octet < 0x20 || octet == 0x7f || octet == '-' || octet == '.' || octet == '_' ||
         octet == '~' || octet == '/' || octet == '\\' || octet == '%';
}

bool is_unambiguous_segment(std::string_view segment) noexcept {
  // `..;x` is `..` to servers that know path parameters.
  const auto name = segment.substr(0, segment.find(';'));
  if (name == "." || name == ".." || (name.empty() && !segment.empty())) return false;
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const char c = segment[i];
    if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '?' || c == '#') return false;
    if (c != '%') continue;
    if (i + 2 >= segment.size()) return false;
    const int high = hex_digit(segment[i + 1]);
    const int low = hex_digit(segment[i + 2]);
    if (high < 0 || low < 0 || could_stand_plainly(high * 16 + low)) return false;
    i += 2;
  }
  return true;
}

// Takes the segment behind the slash that `rest` starts with; empty at the end.
std::optional<std::string_view> take_segment(std::string_view& rest) noexcept {
  if (rest.empty()) return std::nullopt;
  rest.remove_prefix(1);
  const auto segment = rest.substr(0, rest.find('/'));
  rest.remove_prefix(segment.size());
  return segment;
}

}  // namespace

bool is_unambiguous_path(std::string_view path) noexcept {
  if (!path.starts_with('/')) return false;
  while (const auto segment = take_segment(path)) {
    if ((segment->empty() && !path.empty()) || !is_unambiguous_segment(*segment)) return false;
  }
  return true;
}

std::string_view path_pattern_fault(std::string_view pattern) noexcept {
  if (!pattern.starts_with('/')) return "a path starts with `/`";
  if (!is_unambiguous_path(pattern))
    return "the path can be read in more than one way: no empty, `.` or `..` segment, no backslash, query or "
           "fragment, no needless percent escape";
  while (const auto segment = take_segment(pattern)) {
    if (segment->find('*') == std::string_view::npos || *segment == "*") continue;
    if (*segment != "**") return "`*` stands for a whole segment, `**` for all that follows";
    if (!pattern.empty()) return "`**` stands only at the end";
  }
  return {};
}

bool path_matches(std::string_view pattern, std::string_view path) noexcept {
  if (!is_unambiguous_path(path)) return false;
  for (;;) {
    const auto wanted = take_segment(pattern);
    const auto found = take_segment(path);
    if (!wanted || !found) return !wanted && !found;
    if (*wanted == "**" && pattern.empty()) return true;
    if (*wanted == "*" ? found->empty() : *wanted != *found) return false;
  }
}

}  // namespace exeat::allowlist
