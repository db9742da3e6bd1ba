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
#include "identity/identity.hpp"
#include "metrics/phase_slots.hpp"
#include "proxy/event.hpp"
#include "proxy/job_table.hpp"
#include "proxy/limits.hpp"
#include "proxy/loaded_policy.hpp"
#include "proxy/memory_budget.hpp"
#include "proxy/next_hop.hpp"
#include "proxy/path_out.hpp"

namespace exeat::proxy {

/// Who is at the other end of a client connection, as far as the kernel and the first octets tell.
struct client_peer {
  std::optional<core::ip_address> address;  ///< absent for a unix socket
  std::uint16_t port = 0;
  /// Of a unix socket, and of a local TCP connection where the listener asks for it.
  std::optional<identity::local_peer> local;
  std::string_view no_local;    ///< why it is not known; static text
  std::uint64_t connected = 0;  ///< of a unix socket: when it was accepted, nanoseconds of CLOCK_BOOTTIME
  bool proxy_header = false;    ///< `address` and `port` are those of a PROXY header
  std::shared_ptr<const identity::certificate_names> certificate;

  /// Sent from this machine, by an address that says so.
  bool is_loopback() const noexcept {
    constexpr auto v6 = core::ip_address::v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
    if (!address || proxy_header) return false;
    return address->is_v4() ? address->bytes()[0] == 127 : *address == v6;
  }
  /// Who shares limits: by uid where that is known, else by address. All of 127.0.0.0/8 is one client, for a
  /// local process may come from each of its addresses.
  client_key key() const noexcept {
    if (local || !address) return key_of_uid(local ? local->uid : 0);
    if (address->is_v4() && address->bytes()[0] == 127) return {.address = core::ip_address::v4(0x7f000001)};
    return {.address = *address};
  }
};

/// One of each live tunnel, which may stand idle for hours: a thousand octets are all that one may cost, so
/// what few requests have stands apart, and what is small stands together.
struct request_record {
  core::decision_id id;
  allowlist::phase_id phase{};  ///< where `placed`
  metrics::phase_slot slot = metrics::no_phase;
  bool placed = false;      ///< it is known which phase is asking
  bool governed = false;    ///< `rule` is the one that lets it through, and its terms apply
  bool would_deny = false;  ///< refused by the policy, let through by the phase's `audit`
  bool delegated = false;   ///< `via` looks its name up
  core::reason reason = core::reason::allowed;
  std::uint16_t port = 0;
  std::optional<core::ip_address> address;
  std::chrono::system_clock::time_point time;
  std::chrono::steady_clock::time_point start;
  /// The snapshot that decided; keeps `rule` alive.
  std::shared_ptr<const loaded_policy> policy;
  /// The job that it belongs to, and its phase's place in it; null: no job is declared.
  std::shared_ptr<const jobs::job> job;
  jobs::step step = 0;
  std::shared_ptr<phase_count> count;  ///< of its phase, job and worker; null where not `placed`
  const allowlist::rule* rule = nullptr;
  /// What it may still move, of `policy` or of `limited_by`; null: no limit.
  const meter* limits = nullptr;
  std::shared_ptr<const loaded_policy> limited_by;  ///< a policy loaded since; null: `policy`
  client_peer client;
  std::string method;
  struct seldom {
    std::string hint;  ///< of a would-be denied one: what would let it pass
    /// Of plain HTTP, without the query; kept only where it may have to be judged again.
    std::string path;
    std::optional<memory_charge> path_memory;  ///< of it: a tunnel may keep it for hours
  };
  std::unique_ptr<seldom> more;  ///< null: none of it
  std::string_view scheme;       ///< static text
  std::string host;
  const next_hop* via = nullptr;  ///< the upstream proxy that it goes through
  path_timing timing;

  /// `more`, from now on.
  seldom& with_more() {
    if (!more) more = std::make_unique<seldom>();
    return *more;
  }

  void goes(const upstream_connection& by) noexcept {
    address = by.address;
    via = by.via;
    delegated = by.via != nullptr && !by.address;
  }

  const allowlist::phase& phase_of() const noexcept { return policy->policy->phase_of(phase); }
  bool is_sealed() const noexcept { return job && job->is_sealed(step); }
  void count_moved(std::uint64_t up, std::uint64_t down) const noexcept {
    if (!count) return;
    count->up.add(up);
    count->down.add(down);
  }

  /// An event of this request; its views live as long as the record stays put. Verdict and reason are those
  /// of an allowed (or, in audit, would-be denied) request.
  event to_event(enum event::kind kind) const noexcept {
    event e;
    e.kind = kind;
    e.time = kind == event::kind::decision ? time : std::chrono::system_clock::now();
    e.id = id;
    e.verdict = would_deny ? outcome::would_deny : outcome::allow;
    e.reason = reason;
    if (placed) e.phase = phase_of().name;
    if (job) e.job = job->id();
    e.client = client.address;
    e.client_port = client.port;
    if (client.local) e.client_uid = client.local->uid;
    e.method = method;
    e.scheme = scheme;
    e.host = host;
    e.port = port;
    e.address = address;
    if (via != nullptr) e.upstream = via->text;
    e.delegated = delegated;
    if (rule != nullptr) {
      e.rule = rule->id;
      e.rule_where = rule->at;
    }
    if (more) e.hint = more->hint;
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
