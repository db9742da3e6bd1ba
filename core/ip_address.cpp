#include "core/ip_address.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

namespace exeat::core {

std::optional<ip_address> ip_address::parse(std::string_view text) noexcept {
  std::array<char, INET6_ADDRSTRLEN> copy{};
  if (text.empty() || text.size() >= copy.size() || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  std::memcpy(copy.data(), text.data(), text.size());
  if (text.find(':') == std::string_view::npos) {
    std::array<std::uint8_t, 4> raw{};
    // glibc's inet_pton takes exactly four decimal parts and refuses leading zeros.
    if (inet_pton(AF_INET, copy.data(), raw.data()) != 1) return std::nullopt;
    return v4((std::uint32_t{raw[0]} << 24) | (std::uint32_t{raw[1]} << 16) | (std::uint32_t{raw[2]} << 8) |
              raw[3]);
  }
  std::array<std::uint8_t, 16> raw{};
  if (inet_pton(AF_INET6, copy.data(), raw.data()) != 1) return std::nullopt;
  return v6(raw);
}

char* ip_address::to_chars(char* out) const noexcept {
  if (is_v6_) {
    inet_ntop(AF_INET6, bytes_.data(), out, max_text + 1);
    return out + std::strlen(out);
  }
  // Every log line has one or two: inet_ntop's sprintf would be a tenth of what a tunnel costs.
  for (std::size_t i = 0; i < 4; ++i) {
    if (i != 0) *out++ = '.';
    out = std::to_chars(out, out + 3, bytes_[i]).ptr;
  }
  return out;
}

std::string ip_address::to_string() const {
  std::array<char, max_text + 1> text;
  return {text.data(), to_chars(text.data())};
}

std::string_view describe(cidr_error error) noexcept {
  switch (error) {
    case cidr_error::bad_address:
      return "not an IP address or prefix";
    case cidr_error::bad_length:
      return "the prefix length is not a number within the address's size";
    case cidr_error::host_bits_set:
      return "bits are set behind the prefix length";
  }
  return "not a prefix";
}

std::expected<cidr, cidr_error> cidr::parse(std::string_view text) noexcept {
  const auto slash = text.find('/');
  const auto address = ip_address::parse(text.substr(0, slash));
  if (!address) return std::unexpected(cidr_error::bad_address);
  const unsigned widest = address->is_v4() ? 32 : 128;
  unsigned length = widest;
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc{} || end != digits.data() + digits.size() || length > widest ||
        (digits.size() > 1 && digits[0] == '0')) {
      return std::unexpected(cidr_error::bad_length);
    }
  }
  cidr out{*address, static_cast<std::uint8_t>(length)};
  const auto bytes = address->bytes();
  for (unsigned bit = length; bit < widest; ++bit) {
    if ((bytes[bit / 8] >> (7 - bit % 8)) & 1U) return std::unexpected(cidr_error::host_bits_set);
  }
  return out;
}

bool cidr::contains(const ip_address& address) const noexcept {
  if (address.is_v4() != base.is_v4()) return false;
  const auto a = address.bytes();
  const auto b = base.bytes();
  const std::size_t whole = length / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const unsigned rest = length % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xFFU << (8 - rest));
  return (a[whole] & mask) == (b[whole] & mask);
}

bool cidr::contains(const cidr& other) const noexcept {
  return other.length >= length && contains(other.base);
}

std::string cidr::to_string() const {
  return base.to_string() + "/" + std::to_string(length);
}

}  // namespace exeat::core
