// From an allowed destination to a connected origin: resolve, guard, dial, in this order and no other.
#pragma once
#include <chrono>
#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "allowlist/address_guard.hpp"
#include "core/destination.hpp"
#include "metrics/phase_slots.hpp"
#include "proxy/asio.hpp"
#include "proxy/loaded_policy.hpp"
#include "proxy/upstream_pool.hpp"

namespace exeat::proxy {

class worker;

struct path_timing {
  /// Negative = did not happen.
  std::chrono::microseconds dns{-1}, connect{-1};
};

/// What is to be sent along the path, once it is there.
enum class path_use : std::uint8_t {
  tunnel,  ///< octets of the client's choice: CONNECT, an upgrade
  http,    ///< requests of plain HTTP
};

struct path_failure {
  core::reason reason = core::reason::internal_error;
  std::string detail;             ///< for the operator
  const next_hop* via = nullptr;  ///< the upstream proxy that failed, or that it would have gone through
  std::optional<allowlist::guard_refusal>
      by_guard;                             ///< for address_forbidden, address_denied, outside_resolve_in
  std::optional<core::ip_address> address;  ///< the one that failed or was refused, where there is one
};

/// `to` has been allowed by `policy`, under the rule `governing` (null where only `audit` lets it through).
/// Nothing is resolved or dialled that the guard has not passed; every address must pass. Where an upstream
/// proxy is the way, that one is asked for a checked address, or, with `resolve: remote`, for the name, which
/// is not looked up here then. Runs on the worker's thread; the look-up and the dial count for the phase of
/// `slot`; `timing` is filled as far as it got.
task<std::expected<upstream_connection, path_failure>> open_path(
    worker& worker, std::shared_ptr<const loaded_policy> policy, const allowlist::rule* governing,
    core::destination to, path_use use, metrics::phase_slot slot, path_timing& timing);

}  // namespace exeat::proxy
