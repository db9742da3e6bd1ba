// The only type for a name: lower-case ASCII A-labels, no trailing dot, never an IP literal.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <functional>
#include <string_view>

namespace exeat::core {

enum class host_error : std::uint8_t {
  empty,
  too_long,        ///< over 253 octets without the trailing dot (RFC 1035 2.3.4)
  label_empty,     ///< two dots in a row, or a leading dot
  label_too_long,  ///< over 63 octets
  bad_character,   ///< outside letters, digits, hyphen, underscore
  hyphen_at_edge,  ///< a label starts or ends in a hyphen (RFC 952, RFC 1123 2.1)
  ip_literal,      ///< the last label is numeric or 0x-hex: an address in some spelling (WHATWG URL 3.5)
};

/// A sentence for people: what is wrong with a host of this error.
std::string_view describe(host_error error) noexcept;

/// A valid, canonical host name. A value of 256 bytes that owns its text and allocates nothing.
class host_name {
 public:
  static constexpr std::size_t max_size = 253;

  /// Takes a name as it stands on the wire: lower-cases it and removes one trailing dot; refuses, never
  /// repairs, anything else. U-labels are refused here; policy files convert them first.
  static std::expected<host_name, host_error> parse(std::string_view text) noexcept;

  std::string_view view() const noexcept { return {text_.data(), size_}; }
  std::size_t label_count() const noexcept;

  friend bool operator==(const host_name& a, const host_name& b) noexcept { return a.view() == b.view(); }
  friend std::strong_ordering operator<=>(const host_name& a, const host_name& b) noexcept {
    return a.view() <=> b.view();
  }

 private:
  host_name() = default;
  std::array<char, 254> text_;
  std::uint8_t size_ = 0;
};

/// True where the last label of `text` is all digits or 0x followed by hex digits: an IPv4 address in some
/// spelling.
bool ends_in_number(std::string_view text) noexcept;

}  // namespace exeat::core

template <>
struct std::hash<exeat::core::host_name> {
  std::size_t operator()(const exeat::core::host_name& name) const noexcept {
    return std::hash<std::string_view>{}(name.view());
  }
};
