#include "proxy/live_tunnel.hpp"

#include <array>
#include <utility>

#include "allowlist/address_guard.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {

live_tunnel::live_tunnel(worker& worker, request_record record, admission admission, hello_facts hello,
                         std::uint64_t up, std::uint64_t down)
    : worker_(worker),
      record_(std::move(record)),
      admission_(std::move(admission)),
      hello_(std::move(hello)),
      counted_up_(up),
      counted_down_(down) {
  worker_.counters().tunnel_opened(record_.slot);
}

live_tunnel::~live_tunnel() {
  worker_.counters().tunnel_closed(record_.slot);
}

void live_tunnel::moved(std::uint64_t up, std::uint64_t down) noexcept {
  worker_.counters().bytes(record_.slot, up, down);
  counted_up_ += up;
  counted_down_ += down;
}

void live_tunnel::ended(const tunnel_end& end) noexcept {
  // What was moved in the very turn in which the tunnel failed, for the metrics to agree with the log.
  moved(end.bytes_up - counted_up_, end.bytes_down - counted_down_);
  auto e = record_.to_event(event::kind::close);
  if (end.reason != core::reason::allowed) {
    e.verdict = core::row_of(end.reason).kind == core::reason_kind::policy ? outcome::deny : outcome::error;
    e.reason = end.reason;
  }
  e.error = end.error;
  e.bytes_up = end.bytes_up;
  e.bytes_down = end.bytes_down;
  e.sni = hello_.sni;
  e.alpn = hello_.alpn;
  e.tls_version = hello_.tls_version;
  worker_.record(record_.slot, e);
}

std::optional<core::reason> live_tunnel::denied_by(const loaded_policy& policy) const {
  const auto phase = policy.policy->find_phase(record_.phase_of().name);
  if (!phase) return core::reason::no_rule;
  core::destination to{core::ip_address{}, record_.port};
  if (const auto literal = core::ip_address::parse(record_.host)) {
    to.host = *literal;
  } else if (auto name = core::host_name::parse(record_.host)) {
    to.host = *name;
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const allowlist::request request{
      *phase, record_.scheme == "https" ? core::scheme::https : core::scheme::http, &to, now};
  const auto decision = allowlist::decide(*policy.policy, request);
  if (decision.verdict == allowlist::verdict::deny) return decision.reason;
  if (record_.address) {
    const std::array addresses{*record_.address};
    if (const auto refusal = allowlist::guard(*policy.policy, to, addresses, now)) return refusal->reason;
  }
  return std::nullopt;
}

}  // namespace exeat::proxy
