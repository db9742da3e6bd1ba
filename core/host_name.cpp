#include "core/host_name.hpp"

#include <algorithm>

namespace exeat::core {
namespace {

// 0 = refused; otherwise the lower-case octet.
constexpr std::array<char, 256> canonical = [] {
  std::array<char, 256> out{};
  for (int c = 'a'; c <= 'z'; ++c) {
    out[static_cast<std::size_t>(c)] = static_cast<char>(c);
    out[static_cast<std::size_t>(c - 'a' + 'A')] = static_cast<char>(c);
  }
  for (int c = '0'; c <= '9'; ++c) out[static_cast<std::size_t>(c)] = static_cast<char>(c);
  out['-'] = '-';
  out['_'] = '_';
  return out;
}();

constexpr bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

std::string_view describe(host_error error) noexcept {
  switch (error) {
    case host_error::empty:
      return "the host is empty";
    case host_error::too_long:
      return "the host is longer than 253 octets";
    case host_error::label_empty:
      return "the host has an empty label";
    case host_error::label_too_long:
      return "a label of the host is longer than 63 octets";
    case host_error::bad_character:
      return "the host has a character other than letters, digits, '-' and '_'";
    case host_error::hyphen_at_edge:
      return "a label of the host starts or ends in '-'";
    case host_error::ip_literal:
      return "the host is an IP address, not a name";
  }
  return "the host is not valid";
}

bool ends_in_number(std::string_view text) noexcept {
  if (text.ends_with('.')) text.remove_suffix(1);
  const auto dot = text.rfind('.');
  const auto last = dot == std::string_view::npos ? text : text.substr(dot + 1);
  if (last.empty()) return false;
  if (std::ranges::all_of(last, is_digit)) return true;
  if (last.size() >= 2 && last[0] == '0' && (last[1] == 'x' || last[1] == 'X')) {
    return std::ranges::all_of(last.substr(2), is_hex);
  }
  return false;
}

std::expected<host_name, host_error> host_name::parse(std::string_view text) noexcept {
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.empty()) return std::unexpected(host_error::empty);
  if (text.size() > max_size) return std::unexpected(host_error::too_long);

  host_name name;
  std::size_t label_start = 0;
  const auto close_label = [&](std::size_t end) -> std::expected<void, host_error> {
    const auto label = text.substr(label_start, end - label_start);
    if (label.empty()) return std::unexpected(host_error::label_empty);
    if (label.size() > 63) return std::unexpected(host_error::label_too_long);
    if (label.front() == '-' || label.back() == '-') return std::unexpected(host_error::hyphen_at_edge);
    label_start = end + 1;
    return {};
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '.') {
      if (auto ok = close_label(i); !ok) return std::unexpected(ok.error());
      name.text_[i] = '.';
      continue;
    }
    const char c = canonical[static_cast<unsigned char>(text[i])];
    if (c == 0) return std::unexpected(host_error::bad_character);
    name.text_[i] = c;
  }
  if (auto ok = close_label(text.size()); !ok) return std::unexpected(ok.error());
  if (ends_in_number(text)) return std::unexpected(host_error::ip_literal);
  name.size_ = static_cast<std::uint8_t>(text.size());
  return name;
}

std::size_t host_name::label_count() const noexcept {
  return 1 + static_cast<std::size_t>(std::ranges::count(view(), '.'));
}

}  // namespace exeat::core
