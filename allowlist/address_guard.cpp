#include "allowlist/address_guard.hpp"

#include <algorithm>

#include "allowlist/address_forms.hpp"
#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

bool names(const address_exception& exception, const core::destination& to,
           const core::ip_address& address) noexcept {
  if (const auto* literal = std::get_if<core::ip_address>(&to.host))
    return exception.literal && *literal == address;
  const auto& name = std::get<core::host_name>(to.host);
  return std::ranges::any_of(exception.hosts, [&](const host_pattern& p) { return p.matches(name); });
}

bool is_excepted(const policy::compiled& policy, const core::destination& to, const core::ip_address& address,
                 bool metadata) noexcept {
  bool found = false;
  policy.exceptions.visit(0, address, [&](const address_exception& exception) {
    found = (!metadata || exception.prefix.is_single()) && names(exception, to, address);
    return found;
  });
  return found;
}

}  // namespace

const special_range* special_range_of(const core::ip_address& address) noexcept {
  const auto* own = is_well_known_nat64(address) ? nullptr : narrowest_range(address);
  if (address.is_v4()) return own;
  // An exact row of our own (::1, a metadata address) says more than the IPv4 address that it also spells.
  if (own != nullptr && own->prefix.is_single()) return own;
  const special_range* inner = nullptr;
  for (const auto& v4 : embedded_ipv4(address)) {
    const auto* row = narrowest_range(v4);
    if (row != nullptr && (inner == nullptr || (row->metadata && !inner->metadata))) inner = row;
  }
  return inner != nullptr ? inner : own;
}

std::optional<guard_refusal> guard(const policy& policy, const core::destination& to,
                                   std::span<const core::ip_address> addresses, std::chrono::sys_seconds now,
                                   const rule* governing) noexcept {
  const auto& compiled = policy.matcher();
  const auto* pins = governing != nullptr && governing->terms ? &governing->terms->resolve_in : nullptr;
  for (const auto& address : addresses) {
    if (const auto* rule = denied_prefix(compiled, address, to.port, now); rule != nullptr)
      return guard_refusal{core::reason::address_denied, address, nullptr, rule};
    const auto* range = special_range_of(address);
    if (range != nullptr && !is_excepted(compiled, to, address, range->metadata))
      return guard_refusal{core::reason::address_forbidden, address, range, nullptr};
    const auto holds = [&](const core::cidr& prefix) { return prefix.contains(address); };
    if (pins != nullptr && !pins->empty() && std::ranges::none_of(*pins, holds))
      return guard_refusal{core::reason::outside_resolve_in, address, nullptr, nullptr};
  }
  return std::nullopt;
}

}  // namespace exeat::allowlist
