// The address guard: which resolved addresses and literals may be dialled at all.
#pragma once
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

/// The IANA special-purpose registries for IPv4 and IPv6 (everything not globally reachable), multicast, and
/// the metadata addresses of the clouds.
std::span<const special_range> special_ranges() noexcept;

/// The row that forbids an address, looking inside IPv4-mapped, IPv4-compatible, NAT64 (64:ff9b::/96 and
/// 64:ff9b:1::/48), 6to4, Teredo and ISATAP forms. Null where the address is global unicast.
const special_range* special_range_of(const core::ip_address& address) noexcept;

/// Who refuses.
struct guard_refusal {
  core::reason reason = core::reason::address_forbidden;  ///< or address_denied
  core::ip_address address;                               ///< the offending one
  const special_range* range = nullptr;                   ///< for address_forbidden
  const rule* denied_by = nullptr;                        ///< for address_denied
};

/// Judges every address that `to` resolved to (or the literal itself, as the only one): all must pass, one
/// bad one refuses the request. An `addresses` exception counts where its prefix holds the address and its
/// hosts match the name (or `literal: true` and `to` is that literal). A `cidr` under `deny` refuses resolved
/// addresses too, under whatever name, unwrapped forms included. Empty result: all may be dialled. No I/O.
std::optional<guard_refusal> guard(const policy& policy, const core::destination& to,
                                   std::span<const core::ip_address> addresses) noexcept;

/// The exact line to add under `addresses:` so that the guard lets `to` through, for log and trusted phases.
std::string exception_line(const core::destination& to, const core::ip_address& address);

}  // namespace exeat::allowlist
