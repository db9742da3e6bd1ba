// The address guard: which resolved addresses and literals may be dialled at all.
#pragma once
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "allowlist/policy.hpp"
#include "core/destination.hpp"
#include "core/ip_address.hpp"

namespace exeat::allowlist {

/// One row of the special-purpose table.
struct special_range {
  core::cidr prefix;
  std::string_view name;    ///< as the registry names it
  std::string_view source;  ///< RFC or vendor
  bool metadata = false;    ///< a cloud metadata address: excepted only by a prefix of exactly one address
};

/// The IANA special-purpose registries for IPv4 and IPv6, multicast, everything outside 2000::/3 except
/// 64:ff9b::/96, and the metadata addresses of the clouds. The few registered ranges that are globally
/// reachable (AS112, AMT, PCP and TURN anycast, ORCHIDv2) stand here too: no origin lives in them, and a node
/// of the local network may answer there.
std::span<const special_range> special_ranges() noexcept;

/// The row that forbids an address, looking inside IPv4-mapped, IPv4-compatible, NAT64 (64:ff9b::/96 and
/// 64:ff9b:1::/48), 6to4, Teredo and ISATAP forms: the embedded address's row where that has one (metadata
/// first), else the wrapping form's own. Null where the address is global unicast; so is NAT64 (64:ff9b::/96)
/// of a global IPv4 address, which IPv6-only hosts need.
const special_range* special_range_of(const core::ip_address& address) noexcept;

/// Who refuses.
struct guard_refusal {
  core::reason reason = core::reason::address_forbidden;  ///< or address_denied, outside_resolve_in
  core::ip_address address;                               ///< the offending one
  const special_range* range = nullptr;                   ///< for address_forbidden
  const rule* denied_by = nullptr;                        ///< for address_denied
};

/// Judges every address that `to` resolved to (or the literal itself, as the only one): all must pass, one
/// bad one refuses the request. An `addresses` exception counts where its prefix holds the address as it
/// would be dialled (an IPv4 prefix does not except the IPv4-mapped or NAT64 form: write that one down) and
/// its hosts match the name, or `literal: true` and `to` is that literal. A metadata address, in whatever
/// form, is excepted only by a prefix of exactly one address. A `cidr` under `deny` refuses resolved
/// addresses too, under whatever name, embedded IPv4 included, and beats every exception; where it `expires`,
/// that counts from `now` on (UTC), and without `now` it never expires. A phase's `audit` does not reach the
/// guard: it is always enforced. Of `governing`, the rule that allows `to` (null: none does, as in `audit`),
/// the `resolve_in` must hold every address besides. Empty result: all may be dialled. No I/O.
std::optional<guard_refusal> guard(const policy& policy, const core::destination& to,
                                   std::span<const core::ip_address> addresses,
                                   std::chrono::sys_seconds now = {},
                                   const rule* governing = nullptr) noexcept;

/// The exact line to add under `addresses:` so that the guard lets `to` through, for log and trusted phases.
/// YAML on one line, starting with "- ".
std::string exception_line(const core::destination& to, const core::ip_address& address);

}  // namespace exeat::allowlist
