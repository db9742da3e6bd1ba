// Text that an attacker may have chosen, made harmless for a JSON file and for a terminal.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace exeat::core {

namespace detail {

/// One code point of UTF-8 at the front of `text` (RFC 3629: no overlong form, no surrogate, at most
/// U+10FFFF). `size` 0 where the octets there are none.
struct code_point {
  char32_t value = 0;
  std::size_t size = 0;
};

inline code_point decode_utf8(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
  char32_t value = lead & (0xffU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0U) != 0x80U) return {};
    value = (value << 6) | (at(i) & 0x3fU);
  }
  const bool overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (overlong || surrogate || value > 0x10ffff) return {};
  return {value, size};
}

constexpr bool is_plain_json(char c) noexcept {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/// How many octets at the front need no escape.
inline std::size_t plain_prefix(std::string_view text) noexcept {
  constexpr std::uint64_t ones = 0x0101'0101'0101'0101U;
  constexpr std::uint64_t highs = 0x8080'8080'8080'8080U;
  // A high bit where an octet of `v` is 0; those above one may be wrong, which only sends us to the slow
  // loop.
  constexpr auto zeros = [](std::uint64_t v) { return (v - ones) & ~v & highs; };
  std::size_t size = 0;
  for (; text.size() - size >= sizeof(std::uint64_t); size += sizeof(std::uint64_t)) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, text.data() + size, sizeof eight);
    const auto below = (eight - 0x20 * ones) & ~eight & highs;
    if ((((eight & highs) | below) | zeros(eight ^ ('"' * ones)) | zeros(eight ^ ('\\' * ones)) |
         zeros(eight ^ (0x7f * ones))) != 0)
      break;
  }
  while (size < text.size() && is_plain_json(text[size])) ++size;
  return size;
}

template <typename Out>
void append_hex(Out& out, std::uint32_t value, int digits) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
    out += "0123456789abcdef"[(value >> shift) & 0xfU];
}

}  // namespace detail

/// Appends a JSON string (RFC 8259 7), quotes included, in printable ASCII alone: control and all non-ASCII
/// characters (line separators and bidirectional marks among them) become \uXXXX, octets that are not UTF-8
/// become \ufffd. At most six octets for one. `Out` appends as std::string does.
template <typename Out>
void append_json_string(Out& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const auto plain = detail::plain_prefix(text);  // most text is: in one piece
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const detail::code_point point = detail::decode_utf8(text);
    if (point.size == 0) {
      out += "\\ufffd";
      text.remove_prefix(1);
      continue;
    }
    text.remove_prefix(point.size);
    if (point.value == '"' || point.value == '\\') {
      out += '\\';
      out += static_cast<char>(point.value);
    } else if (point.value == '\n') {
      out += "\\n";
    } else if (point.value == '\t') {
      out += "\\t";
    } else if (point.value < 0x10000) {
      out += "\\u";
      detail::append_hex(out, point.value, 4);
    } else {  // a surrogate pair
      const std::uint32_t rest = point.value - 0x10000;
      out += "\\u";
      detail::append_hex(out, 0xd800 + (rest >> 10), 4);
      out += "\\u";
      detail::append_hex(out, 0xdc00 + (rest & 0x3ffU), 4);
    }
  }
  out += '"';
}

/// Appends text for one line of a terminal, in printable ASCII alone: whatever else there is shows as \xNN
/// (an octet) or \u{N} (a code point), so that no escape sequence and no direction mark gets through.
inline void append_visible(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const detail::code_point point = detail::decode_utf8(text);
    if (point.size == 1 && point.value >= 0x20 && point.value < 0x7f) {
      out += text.front();
    } else if (point.size > 1) {
      out += "\\u{";
      detail::append_hex(out, point.value, point.value < 0x10000 ? 4 : 6);
      out += '}';
    } else {
      out += "\\x";
      detail::append_hex(out, static_cast<unsigned char>(text.front()), 2);
    }
    text.remove_prefix(point.size == 0 ? 1 : point.size);
  }
}

}  // namespace exeat::core
