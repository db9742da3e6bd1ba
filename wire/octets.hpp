// Octet classes of HTTP (RFC 9110 5.6.2, RFC 3986 3) and comparisons without locale.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace exeat::wire {

enum octet_class : std::uint8_t {
  octet_token = 1,       ///< tchar, RFC 9110 5.6.2
  octet_digit = 2,       ///< DIGIT
  octet_hex = 4,         ///< HEXDIG, both cases
  octet_lower = 8,       ///< a to z
  octet_alpha = 16,      ///< ALPHA
  octet_path = 32,       ///< may stand in a path or query as it is (see authority.hpp), '%' apart
  octet_text = 64,       ///< field-value octet: HTAB, SP, VCHAR, obs-text
  octet_printable = 128  ///< 0x20 to 0x7E
};

inline constexpr std::array<std::uint8_t, 256> octet_classes = [] {
  std::array<std::uint8_t, 256> out{};
  const auto add = [&out](std::string_view set, octet_class what) {
    for (const char c : set) {
      auto& slot = out[static_cast<unsigned char>(c)];
      slot = static_cast<std::uint8_t>(slot | what);
    }
  };
  const std::string_view lower = "abcdefghijklmnopqrstuvwxyz";
  const std::string_view upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const std::string_view digits = "0123456789";
  for (const auto set : {lower, upper, digits}) {
    add(set, octet_token);
    add(set, octet_path);
  }
  add("!#$%&'*+-.^_`|~", octet_token);
  add(digits, octet_digit);
  add(digits, octet_hex);
  add("abcdefABCDEF", octet_hex);
  add(lower, octet_lower);
  add(lower, octet_alpha);
  add(upper, octet_alpha);
  add("-._~!$&'()*+,;=:@/?", octet_path);
  add("[]{}|^`", octet_path);
  for (std::size_t c = 0x20; c < 0x100; ++c) {
    if (c == 0x7F) continue;
    out[c] = static_cast<std::uint8_t>(out[c] | octet_text);
    if (c < 0x7F) out[c] = static_cast<std::uint8_t>(out[c] | octet_printable);
  }
  out['\t'] = static_cast<std::uint8_t>(out['\t'] | octet_text);
  return out;
}();

constexpr bool is(char c, octet_class what) noexcept {
  return (octet_classes[static_cast<unsigned char>(c)] & what) != 0;
}
constexpr bool all(std::string_view text, octet_class what) noexcept {
  for (const char c : text) {
    if (!is(c, what)) return false;
  }
  return true;
}
constexpr bool is_token(std::string_view text) noexcept {
  return !text.empty() && all(text, octet_token);
}

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
/// ASCII comparison without regard to case.
constexpr bool same_text(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}
constexpr bool starts_with_text(std::string_view text, std::string_view prefix) noexcept {
  return text.size() >= prefix.size() && same_text(text.substr(0, prefix.size()), prefix);
}
/// Without SP and HTAB at either end (OWS, RFC 9110 5.6.3).
constexpr std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace exeat::wire
