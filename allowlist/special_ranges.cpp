// The table behind the address guard. Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries, the
// multicast registries, RFC 4291, and the documentation of the clouds.
#include <algorithm>
#include <array>
#include <initializer_list>

#include "allowlist/address_forms.hpp"
#include "allowlist/address_guard.hpp"

namespace exeat::allowlist {
namespace {

constexpr core::cidr v4(unsigned a, unsigned b, unsigned c, unsigned d, std::uint8_t length) {
  return {core::ip_address::v4((a << 24) | (b << 16) | (c << 8) | d), length};
}

// The groups from the left; what is missing is zero.
constexpr core::cidr v6(std::initializer_list<unsigned> groups, std::uint8_t length) {
  std::array<std::uint8_t, 16> octets{};
  std::size_t i = 0;
  for (const unsigned group : groups) {
    octets[i++] = static_cast<std::uint8_t>(group >> 8);
    octets[i++] = static_cast<std::uint8_t>(group & 0xffU);
  }
  return {core::ip_address::v6(octets), length};
}

constexpr bool metadata = true;

// A few rows are "globally reachable" to IANA (192.0.0.9, AMT, AS112, ORCHIDv2, ...). They are refused all
// the same: they are anycast infrastructure or identifiers, often served by a node of the local network, and
// no origin lives there. The well-known NAT64 prefix is the one range outside 2000::/3 that stays open, and
// is judged by the IPv4 address within.
constexpr std::array table = {
    special_range{v4(0, 0, 0, 0, 8), "This network", "RFC 791 3.2"},
    special_range{v4(0, 0, 0, 0, 32), "This host on this network", "RFC 1122 3.2.1.3"},
    special_range{v4(10, 0, 0, 0, 8), "Private-Use", "RFC 1918"},
    special_range{v4(100, 64, 0, 0, 10), "Shared Address Space", "RFC 6598"},
    special_range{v4(127, 0, 0, 0, 8), "Loopback", "RFC 1122 3.2.1.3"},
    special_range{v4(169, 254, 0, 0, 16), "Link Local", "RFC 3927"},
    special_range{v4(172, 16, 0, 0, 12), "Private-Use", "RFC 1918"},
    special_range{v4(192, 0, 0, 0, 24), "IETF Protocol Assignments", "RFC 6890 2.1"},
    special_range{v4(192, 0, 0, 0, 29), "IPv4 Service Continuity Prefix", "RFC 7335"},
    special_range{v4(192, 0, 0, 8, 32), "IPv4 dummy address", "RFC 7600"},
    special_range{v4(192, 0, 0, 9, 32), "Port Control Protocol Anycast", "RFC 7723"},
    special_range{v4(192, 0, 0, 10, 32), "Traversal Using Relays around NAT Anycast", "RFC 8155"},
    special_range{v4(192, 0, 0, 170, 31), "NAT64/DNS64 Discovery", "RFC 7050 2.2"},
    special_range{v4(192, 0, 2, 0, 24), "Documentation (TEST-NET-1)", "RFC 5737"},
    special_range{v4(192, 31, 196, 0, 24), "AS112-v4", "RFC 7535"},
    special_range{v4(192, 52, 193, 0, 24), "AMT", "RFC 7450"},
    special_range{v4(192, 88, 99, 0, 24), "Deprecated (6to4 Relay Anycast)", "RFC 7526"},
    special_range{v4(192, 168, 0, 0, 16), "Private-Use", "RFC 1918"},
    special_range{v4(192, 175, 48, 0, 24), "Direct Delegation AS112 Service", "RFC 7534"},
    special_range{v4(198, 18, 0, 0, 15), "Benchmarking", "RFC 2544"},
    special_range{v4(198, 51, 100, 0, 24), "Documentation (TEST-NET-2)", "RFC 5737"},
    special_range{v4(203, 0, 113, 0, 24), "Documentation (TEST-NET-3)", "RFC 5737"},
    special_range{v4(224, 0, 0, 0, 4), "Multicast", "RFC 5771"},
    special_range{v4(240, 0, 0, 0, 4), "Reserved", "RFC 1112 4"},
    special_range{v4(255, 255, 255, 255, 32), "Limited Broadcast", "RFC 8190"},

    special_range{v4(169, 254, 169, 254, 32), "Cloud instance metadata", "AWS, GCP, Azure, others", metadata},
    special_range{v4(169, 254, 170, 2, 32), "ECS task credentials", "AWS", metadata},
    special_range{v4(169, 254, 170, 23, 32), "EKS pod identity", "AWS", metadata},
    special_range{v4(169, 254, 0, 23, 32), "Instance metadata", "Tencent Cloud", metadata},
    special_range{v4(169, 254, 42, 42, 32), "Instance metadata", "Scaleway", metadata},
    special_range{v4(168, 63, 129, 16, 32), "Azure platform (WireServer)", "Azure", metadata},
    special_range{v4(100, 100, 100, 200, 32), "Instance metadata", "Alibaba Cloud", metadata},
    special_range{v4(192, 0, 0, 192, 32), "Instance metadata", "Oracle Cloud", metadata},

    special_range{v6({}, 3), "Outside global unicast", "RFC 4291 2.4"},
    special_range{v6({0x4000}, 2), "Outside global unicast", "RFC 4291 2.4"},
    special_range{v6({0x8000}, 1), "Outside global unicast", "RFC 4291 2.4"},
    special_range{v6({}, 96), "IPv4-Compatible (deprecated)", "RFC 4291 2.5.5.1"},
    special_range{v6({}, 128), "Unspecified Address", "RFC 4291 2.5.2"},
    special_range{v6({0, 0, 0, 0, 0, 0, 0, 1}, 128), "Loopback Address", "RFC 4291 2.5.3"},
    special_range{v6({0, 0, 0, 0, 0, 0xffff}, 96), "IPv4-mapped Address", "RFC 4291 2.5.5.2"},
    special_range{v6({0, 0, 0, 0, 0xffff}, 96), "IPv4-translated Address (SIIT)", "RFC 2765 2.1"},
    special_range{v6({0x64, 0xff9b, 1}, 48), "IPv4-IPv6 Translation, local use", "RFC 8215"},
    special_range{v6({0x100}, 64), "Discard-Only Address Block", "RFC 6666"},
    special_range{v6({0x100, 0, 0, 1}, 64), "Dummy IPv6 Prefix", "RFC 9780"},
    special_range{v6({0x2001}, 23), "IETF Protocol Assignments", "RFC 2928"},
    special_range{v6({0x2001}, 32), "TEREDO", "RFC 4380"},
    special_range{v6({0x2001, 1, 0, 0, 0, 0, 0, 1}, 128), "Port Control Protocol Anycast", "RFC 7723"},
    special_range{v6({0x2001, 1, 0, 0, 0, 0, 0, 2}, 128), "Traversal Using Relays around NAT Anycast",
                  "RFC 8155"},
    special_range{v6({0x2001, 1, 0, 0, 0, 0, 0, 3}, 128), "DNS-SD Service Registration Protocol Anycast",
                  "RFC 9665"},
    special_range{v6({0x2001, 2}, 48), "Benchmarking", "RFC 5180"},
    special_range{v6({0x2001, 3}, 32), "AMT", "RFC 7450"},
    special_range{v6({0x2001, 4, 0x112}, 48), "AS112-v6", "RFC 7535"},
    special_range{v6({0x2001, 0x10}, 28), "Deprecated (previously ORCHID)", "RFC 4843"},
    special_range{v6({0x2001, 0x20}, 28), "ORCHIDv2", "RFC 7343"},
    special_range{v6({0x2001, 0x30}, 28), "Drone Remote ID Protocol Entity Tags", "RFC 9374"},
    special_range{v6({0x2001, 0xdb8}, 32), "Documentation", "RFC 3849"},
    special_range{v6({0x2002}, 16), "6to4", "RFC 3056"},
    special_range{v6({0x2620, 0x4f, 0x8000}, 48), "Direct Delegation AS112 Service", "RFC 7534"},
    special_range{v6({0x3fff}, 20), "Documentation", "RFC 9637"},
    special_range{v6({0x5f00}, 16), "Segment Routing (SRv6) SIDs", "RFC 9602"},
    special_range{v6({0xfc00}, 7), "Unique-Local", "RFC 4193"},
    special_range{v6({0xfe80}, 10), "Link-Local Unicast", "RFC 4291 2.5.6"},
    special_range{v6({0xfec0}, 10), "Site-Local (deprecated)", "RFC 3879"},
    special_range{v6({0xff00}, 8), "Multicast", "RFC 4291 2.7"},

    special_range{v6({0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254}, 128), "Instance metadata", "AWS", metadata},
    special_range{v6({0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23}, 128), "EKS pod identity", "AWS", metadata},
    special_range{v6({0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254}, 128), "Instance metadata", "GCP", metadata},
    special_range{v6({0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42}, 128), "Instance metadata", "Scaleway", metadata},
    special_range{v6({0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1}, 128), "Instance metadata", "Akamai", metadata},
    special_range{v6({0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe}, 128), "Instance metadata", "OpenStack",
                  metadata},
};

// The table once more as what a look-up compares: it runs for every address that is dialled.
struct quick_row {
  std::uint64_t base_high, base_low, mask_high, mask_low;
};

constexpr std::uint64_t word(std::span<const std::uint8_t> octets) {
  std::uint64_t out = 0;
  for (const std::uint8_t octet : octets) out = (out << 8) | octet;
  return out;
}
constexpr std::uint64_t leading_ones(int bits) {
  return bits <= 0 ? 0 : bits >= 64 ? ~std::uint64_t{0} : ~std::uint64_t{0} << (64 - bits);
}
constexpr quick_row quick(const core::cidr& prefix) {
  const auto octets = prefix.base.bytes();
  // IPv4 stands in the lowest bits of the low word.
  if (prefix.base.is_v4()) return {0, word(octets), 0, leading_ones(prefix.length) >> 32};
  return {word(octets.first(8)), word(octets.last(8)), leading_ones(prefix.length),
          leading_ones(prefix.length - 64)};
}

// IPv4 rows first, each family from the longest prefix on: the first hit is the narrowest.
constexpr auto order = [] {
  std::array<std::uint8_t, table.size()> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i);
  std::ranges::sort(out, [](std::uint8_t a, std::uint8_t b) {
    const auto& x = table[a].prefix;
    const auto& y = table[b].prefix;
    return x.base.is_v4() != y.base.is_v4() ? x.base.is_v4() : x.length > y.length;
  });
  return out;
}();
constexpr auto quick_rows = [] {
  std::array<quick_row, table.size()> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = quick(table[order[i]].prefix);
  return out;
}();
constexpr auto v4_rows = static_cast<std::size_t>(
    std::ranges::count_if(table, [](const auto& r) { return r.prefix.base.is_v4(); }));

}  // namespace

std::span<const special_range> special_ranges() noexcept {
  return table;
}

const special_range* narrowest_range(const core::ip_address& address) noexcept {
  const auto octets = address.bytes();
  const auto high = address.is_v4() ? 0 : word(octets.first(8));
  const auto low = address.is_v4() ? address.v4_value() : word(octets.last(8));
  const auto end = address.is_v4() ? v4_rows : quick_rows.size();
  for (std::size_t i = address.is_v4() ? 0 : v4_rows; i < end; ++i) {
    const auto& row = quick_rows[i];
    if ((high & row.mask_high) == row.base_high && (low & row.mask_low) == row.base_low)
      return &table[order[i]];
  }
  return nullptr;
}

}  // namespace exeat::allowlist
