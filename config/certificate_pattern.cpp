#include "config/certificate_pattern.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/error.hpp"

namespace exeat::config {
namespace {

bool may_be_in_value(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool is_value(std::string_view text) noexcept {
  return !text.empty() && std::ranges::all_of(text, may_be_in_value);
}

}  // namespace

std::expected<certificate_pattern, std::string> certificate_pattern::parse(std::string_view text) {
  if (text.empty()) return std::unexpected("an empty pattern matches no name");
  certificate_pattern out;
  auto* before = &out.head_;
  for (auto rest = text;;) {
    const auto brace = rest.find_first_of("{}");
    *before = rest.substr(0, brace);
    if (brace == std::string_view::npos) break;
    rest.remove_prefix(brace);
    const auto end = rest.find('}');
    const auto word = rest.substr(0, end == std::string_view::npos ? end : end + 1);
    const char kind = word == "{phase}" ? 'p' : word == "{job}" ? 'j' : '\0';
    if (kind == 0) {
      return std::unexpected(
          fmt::format("`{}` is no placeholder: a pattern knows {{phase}} and {{job}}", printable(word)));
    }
    if (kind == out.first_ || out.second_ != 0) {
      return std::unexpected(fmt::format("the placeholder {} stands twice", word));
    }
    (out.first_ == 0 ? out.first_ : out.second_) = kind;
    rest.remove_prefix(word.size());
    before = out.second_ == 0 ? &out.middle_ : &out.tail_;
  }
  if (out.second_ == 0) {
    out.tail_ = std::exchange(out.middle_, {});
  } else if (std::ranges::all_of(out.middle_, may_be_in_value)) {
    return std::unexpected(
        "between two placeholders a character must stand that neither can hold, such as `/` or `.`: they "
        "take a-z, 0-9 and -");
  }
  return out;
}

std::optional<pattern_values> certificate_pattern::match(std::string_view name) const noexcept {
  if (first_ == 0) return name == head_ ? std::optional(pattern_values{}) : std::nullopt;
  if (!name.starts_with(head_)) return std::nullopt;
  name.remove_prefix(head_.size());
  if (!name.ends_with(tail_)) return std::nullopt;
  name.remove_suffix(tail_.size());

  pattern_values out;
  const auto take = [&](char kind, std::string_view value) {
    (kind == 'p' ? out.phase : out.job) = value;
    return is_value(value);
  };
  if (second_ == 0) return take(first_, name) ? std::optional(out) : std::nullopt;
  // Values cannot hold all of the middle, so it stands in a name that matches exactly once.
  const auto middle = name.find(middle_);
  if (middle == std::string_view::npos) return std::nullopt;
  const bool fits =
      take(first_, name.substr(0, middle)) && take(second_, name.substr(middle + middle_.size()));
  return fits ? std::optional(out) : std::nullopt;
}

}  // namespace exeat::config
