// What is known of one request: the source of its log lines, from the decision to the close.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "allowlist/policy.hpp"
#include "core/decision_id.hpp"
#include "core/destination.hpp"
#include "metrics/phase_slots.hpp"
#include "proxy/event.hpp"
#include "proxy/limits.hpp"
#include "proxy/loaded_policy.hpp"
#include "proxy/path_out.hpp"

namespace exeat::proxy {

/// Who is at the other end of a client connection, as far as the kernel tells.
struct client_peer {
  std::optional<core::ip_address> address;  ///< absent for a unix socket
  std::uint16_t port = 0;
  std::optional<std::uint32_t> uid;  ///< of a unix socket's peer

  client_key key() const noexcept { return address ? client_key{*address} : key_of_uid(uid.value_or(0)); }
};

struct request_record {
  core::decision_id id;
  std::chrono::system_clock::time_point time;
  std::chrono::steady_clock::time_point start;
  /// The snapshot that decided; keeps `rule` alive.
  std::shared_ptr<const loaded_policy> policy;
  allowlist::phase_id phase{};
  metrics::phase_slot slot = metrics::no_phase;
  const allowlist::rule* rule = nullptr;
  bool governed = false;  ///< `rule` is the one that lets it through, and its terms apply
  /// What it may still move, of `policy` or of `limited_by`; null: no limit.
  const meter* limits = nullptr;
  std::shared_ptr<const loaded_policy> limited_by;  ///< a policy loaded since; null: `policy`
  bool would_deny = false;  ///< refused by the policy, let through by the phase's `audit`
  core::reason reason = core::reason::allowed;
  client_peer client;
  std::string method;
  /// Of plain HTTP, without the query; kept only where it may have to be judged again.
  std::string path;
  std::string_view scheme;  ///< static text
  std::string host;
  std::uint16_t port = 0;
  std::optional<core::ip_address> address;
  path_timing timing;

  const allowlist::phase& phase_of() const noexcept { return policy->policy->phase_of(phase); }

  /// An event of this request; its views live as long as the record stays put. Verdict and reason are those
  /// of an allowed (or, in audit, would-be denied) request.
  event to_event(enum event::kind kind) const noexcept {
    event e;
    e.kind = kind;
    e.time = kind == event::kind::decision ? time : std::chrono::system_clock::now();
    e.id = id;
    e.verdict = would_deny ? outcome::would_deny : outcome::allow;
    e.reason = reason;
    e.phase = phase_of().name;
    e.client = client.address;
    e.client_port = client.port;
    e.client_uid = client.uid;
    e.method = method;
    e.scheme = scheme;
    e.host = host;
    e.port = port;
    e.address = address;
    if (rule != nullptr) {
      e.rule = rule->id;
      e.rule_where = rule->at;
    }
    e.dns = timing.dns;
    e.connect = timing.connect;
    e.total = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start);
    return e;
  }
};

/// What a policy that was loaded since says of a request that is under way.
struct rejudged {
  std::optional<core::reason> denied;
  const meter* limits = nullptr;  ///< where it is not denied
};
/// Judges host, port, method, path and, where it has one, the address.
rejudged judge_again(const request_record& record, const loaded_policy& policy) noexcept;

}  // namespace exeat::proxy
