#include "proxy/request_record.hpp"

#include <array>

#include "allowlist/address_guard.hpp"

namespace exeat::proxy {

rejudged judge_again(const request_record& record, const loaded_policy& policy) noexcept {
  const auto phase = policy.policy->find_phase(record.phase_of().name);
  if (!phase) return {.denied = core::reason::no_rule};
  core::destination to{core::ip_address{}, record.port};
  if (const auto literal = core::ip_address::parse(record.host)) {
    to.host = *literal;
  } else if (auto name = core::host_name::parse(record.host)) {
    to.host = *name;
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const allowlist::request request{
      .phase = *phase,
      .scheme = record.scheme == "https" ? core::scheme::https : core::scheme::http,
      .to = &to,
      .now = now,
      .method = record.method,
      .path = record.more ? std::string_view(record.more->path) : std::string_view()};
  const auto decision = allowlist::decide(*policy.policy, request);
  // A name that has become a canary since was none when it was asked for: nobody is to be alarmed.
  if (decision.verdict == allowlist::verdict::deny)
    return {.denied = allowlist::shown_to_client(decision.reason, decision.governing)};
  const auto* governing = decision.verdict == allowlist::verdict::allow ? decision.governing : nullptr;
  if (record.address) {
    const std::array addresses{*record.address};
    if (const auto refusal = allowlist::guard(*policy.policy, to, addresses, now, governing))
      return {.denied = refusal->reason};
  }
  if (record.delegated && governing != nullptr && governing->terms && !governing->terms->resolve_in.empty())
    return {.denied = core::reason::guard_delegated};
  return {.limits = governing != nullptr ? policy.meter_of(*phase, governing) : nullptr};
}

}  // namespace exeat::proxy
