#include "allowlist/address_forms.hpp"

#include <algorithm>
#include <initializer_list>
#include <span>

namespace exeat::allowlist {
namespace {

using octets = std::span<const std::uint8_t>;

bool starts_with(octets address, std::initializer_list<std::uint8_t> prefix) noexcept {
  return std::ranges::equal(address.first(prefix.size()), prefix);
}

core::ip_address from(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) noexcept {
  return core::ip_address::v4((std::uint32_t{a} << 24) | (std::uint32_t{b} << 16) | (std::uint32_t{c} << 8) |
                              d);
}

core::ip_address at(octets o, std::size_t i) noexcept {
  return from(o[i], o[i + 1], o[i + 2], o[i + 3]);
}

constexpr std::initializer_list<std::uint8_t> compatible = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
constexpr std::initializer_list<std::uint8_t> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::initializer_list<std::uint8_t> translated = {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0};
constexpr std::initializer_list<std::uint8_t> nat64 = {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0};
constexpr std::initializer_list<std::uint8_t> local_nat64 = {0, 0x64, 0xff, 0x9b, 0, 1};

}  // namespace

bool is_well_known_nat64(const core::ip_address& address) noexcept {
  return address.is_v6() && starts_with(address.bytes(), nat64);
}

ipv4_list embedded_ipv4(const core::ip_address& address) noexcept {
  ipv4_list out;
  if (address.is_v4()) return out;
  const auto o = address.bytes();
  if (starts_with(o, compatible) || starts_with(o, mapped) || starts_with(o, translated) ||
      starts_with(o, nat64))
    out.add(at(o, 12));
  if (starts_with(o, local_nat64)) {
    // Octet 8 is the `u` octet, which the address skips.
    out.add(from(o[6], o[7], o[9], o[10]));   // prefix of 48 bits
    out.add(from(o[7], o[9], o[10], o[11]));  // 56
    out.add(at(o, 9));                        // 64
    out.add(at(o, 12));                       // 96
  }
  if (starts_with(o, {0x20, 0x02})) out.add(at(o, 2));
  if (starts_with(o, {0x20, 0x01, 0, 0})) {
    out.add(at(o, 4));
    const auto flipped = [&](std::size_t i) { return static_cast<std::uint8_t>(~o[i]); };
    out.add(from(flipped(12), flipped(13), flipped(14), flipped(15)));
  }
  if ((o[8] == 0 || o[8] == 2) && o[9] == 0 && o[10] == 0x5e && o[11] == 0xfe) out.add(at(o, 12));
  return out;
}

std::vector<core::ip_address> spellings_of(const core::ip_address& address) {
  std::vector<core::ip_address> out{address};
  if (address.is_v6()) return out;
  for (const auto& prefix : {mapped, compatible, translated, nat64}) {
    std::array<std::uint8_t, 16> o{};
    std::ranges::copy(prefix, o.begin());
    std::ranges::copy(address.bytes(), o.begin() + 12);
    out.push_back(core::ip_address::v6(o));
  }
  return out;
}

}  // namespace exeat::allowlist
