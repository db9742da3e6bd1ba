// What the guard sees in an address: IPv4 hidden within IPv6, and its row of the table. For this floor's own
// sources only.
#pragma once
#include <array>
#include <cstddef>
#include <vector>

#include "core/ip_address.hpp"

namespace exeat::allowlist {

struct special_range;

/// At most this many places of one IPv6 address can be read as an IPv4 address.
class ipv4_list {
 public:
  void add(const core::ip_address& address) noexcept {
    if (count_ < found_.size()) found_[count_++] = address;
  }
  const core::ip_address* begin() const noexcept { return found_.data(); }
  const core::ip_address* end() const noexcept { return found_.data() + count_; }
  bool empty() const noexcept { return count_ == 0; }

 private:
  std::array<core::ip_address, 8> found_{};
  std::size_t count_ = 0;
};

/// Every IPv4 address that a router or a host on the way may take out of `address` and send to: IPv4-mapped
/// and -compatible (RFC 4291 2.5.5), IPv4-translated (RFC 2765), NAT64 (RFC 6052 2.2: 64:ff9b::/96, and all
/// layouts that fit 64:ff9b:1::/48, RFC 8215), 6to4 (RFC 3056), Teredo's server and client (RFC 4380 4) and
/// ISATAP (RFC 5214 6.1). A network's own NAT64 prefix cannot be known here: a `cidr` under `deny` says it.
/// Empty for IPv4.
ipv4_list embedded_ipv4(const core::ip_address& address) noexcept;

/// True within 64:ff9b::/96, the way of an IPv6-only host to the IPv4 Internet.
bool is_well_known_nat64(const core::ip_address& address) noexcept;

/// An address and, for IPv4, the IPv6 addresses that spell it with no freedom left: mapped, compatible,
/// translated and NAT64 with the well-known prefix.
std::vector<core::ip_address> spellings_of(const core::ip_address& address);

/// The row of the special-purpose table with the longest prefix that holds the address as it stands.
const special_range* narrowest_range(const core::ip_address& address) noexcept;

}  // namespace exeat::allowlist
