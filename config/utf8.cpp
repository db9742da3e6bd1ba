#include "config/utf8.hpp"

namespace exeat::config {

std::size_t utf8_sequence(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const auto octet = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto first = octet(0);
  if (first < 0x80) return 1;
  // RFC 3629, section 4: the second octet's range depends on the first.
  std::size_t size = 0;
  unsigned char low = 0x80, high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    size = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    size = 3;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
  } else if (first >= 0xf0 && first <= 0xf4) {
    size = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
  }
  if (size == 0 || text.size() < size) return 0;
  if (octet(1) < low || octet(1) > high) return 0;
  for (std::size_t i = 2; i < size; ++i) {
    if (octet(i) < 0x80 || octet(i) > 0xbf) return 0;
  }
  return size;
}

std::uint32_t utf8_value(std::string_view sequence) noexcept {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return first;
  std::uint32_t value = first & (0x7fU >> sequence.size());
  for (const char c : sequence.substr(1)) value = (value << 6) | (static_cast<unsigned char>(c) & 0x3fU);
  return value;
}

bool hides_text(std::uint32_t c) noexcept {
  return (c >= 0x80 && c <= 0x9f) || c == 0x061c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

}  // namespace exeat::config
