// IP addresses and prefixes as values, free of any socket type.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace exeat::core {

/// An IPv4 or IPv6 address. IPv4-mapped IPv6 stays IPv6 here: whoever judges it must unwrap it himself.
class ip_address {
 public:
  /// 0.0.0.0
  constexpr ip_address() = default;
  /// From host byte order.
  static constexpr ip_address v4(std::uint32_t value) noexcept {
    ip_address a;
    for (std::size_t i = 0; i < 4; ++i) a.bytes_[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
    return a;
  }
  static constexpr ip_address v6(const std::array<std::uint8_t, 16>& bytes) noexcept {
    ip_address a;
    a.bytes_ = bytes;
    a.is_v6_ = true;
    return a;
  }
  /// Strict text: four decimal parts without leading zeros, or RFC 4291 2.2 without zone. No brackets.
  static std::optional<ip_address> parse(std::string_view text) noexcept;

  constexpr bool is_v4() const noexcept { return !is_v6_; }
  constexpr bool is_v6() const noexcept { return is_v6_; }
  /// 4 or 16 octets in network order.
  constexpr std::span<const std::uint8_t> bytes() const noexcept {
    return {bytes_.data(), is_v6_ ? 16U : 4U};
  }
  constexpr std::uint32_t v4_value() const noexcept {
    return (std::uint32_t{bytes_[0]} << 24) | (std::uint32_t{bytes_[1]} << 16) |
           (std::uint32_t{bytes_[2]} << 8) | bytes_[3];
  }
  static constexpr std::size_t max_text = 45;
  /// Canonical text (RFC 5952 for IPv6), without brackets.
  std::string to_string() const;
  /// The same, written to `out`, which has room for max_text + 1 octets; returns its end. No zero behind it.
  char* to_chars(char* out) const noexcept;

  friend constexpr bool operator==(const ip_address&, const ip_address&) = default;
  friend constexpr std::strong_ordering operator<=>(const ip_address&, const ip_address&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool is_v6_ = false;
};

enum class cidr_error : std::uint8_t { bad_address, bad_length, host_bits_set };
std::string_view describe(cidr_error error) noexcept;

/// A prefix. A bare address is a prefix of full length.
struct cidr {
  ip_address base;
  std::uint8_t length = 0;

  /// Host bits must be zero: 10.0.0.1/8 is an error, not 10.0.0.0/8.
  static std::expected<cidr, cidr_error> parse(std::string_view text) noexcept;
  bool contains(const ip_address& address) const noexcept;
  bool contains(const cidr& other) const noexcept;
  /// True where the prefix holds exactly one address.
  bool is_single() const noexcept { return length == (base.is_v4() ? 32 : 128); }
  std::string to_string() const;
  friend bool operator==(const cidr&, const cidr&) = default;
};

}  // namespace exeat::core
