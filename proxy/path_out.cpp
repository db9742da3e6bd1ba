#include "proxy/path_out.hpp"

#include <utility>

#include "proxy/worker.hpp"

namespace exeat::proxy {
namespace {

using clock = std::chrono::steady_clock;

std::chrono::microseconds since(clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - start);
}

}  // namespace

task<std::expected<upstream_connection, path_failure>> open_path(
    worker& worker, std::shared_ptr<const loaded_policy> policy, const allowlist::rule* governing,
    core::destination to, metrics::phase_slot slot, path_timing& timing) {
  address_list addresses;
  if (const auto* literal = std::get_if<core::ip_address>(&to.host)) {
    addresses.push_back(*literal);
  } else {
    const auto start = clock::now();
    auto answer =
        co_await worker.resolver().resolve(std::get<core::host_name>(to.host), &worker.lookups_of(slot));
    timing.dns = since(start);
    worker.count_lookups();
    if (!answer.from_cache) worker.counters().dns_time(timing.dns);
    if (!answer.addresses) {
      co_return std::unexpected(path_failure{answer.addresses.error(), std::string(answer.detail), {}, {}});
    }
    addresses = *answer.addresses;
  }

  const auto& own = worker.process().own_endpoints;
  for (const auto& address : addresses) {
    if (!is_own_listener(address, to.port, own)) continue;
    co_return std::unexpected(path_failure{core::reason::own_listener, "a proxy loop", {}, address});
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (auto refusal = allowlist::guard(*policy->policy, to, addresses, now, governing)) {
    std::string detail;
    if (refusal->range != nullptr) {
      detail = std::string(refusal->range->name) + " (" + std::string(refusal->range->source) + ")";
    } else if (refusal->reason == core::reason::outside_resolve_in) {
      detail = refusal->address.to_string() + " lies outside the rule's resolve_in";
    }
    co_return std::unexpected(path_failure{refusal->reason, std::move(detail), refusal, refusal->address});
  }

  const auto start = clock::now();
  const auto patience = worker.settings().timeouts.connect;
  const auto dials = worker.settings().limits.dials_per_destination;
  const auto pass = co_await worker.dials().enter(to, slot, patience);
  const auto left = patience - std::chrono::floor<std::chrono::milliseconds>(clock::now() - start);
  if (!pass || left <= left.zero()) {
    timing.connect = since(start);
    co_return std::unexpected(
        path_failure{core::reason::too_many_dials,
                     std::to_string(dials) + " dials of this worker to it are under way",
                     {},
                     addresses.front()});
  }
  auto connection =
      co_await dial(worker.context(), worker.wheel(), addresses, to.port, {.timeout = left}, &worker.dead());
  timing.connect = since(start);
  worker.counters().connect_time(timing.connect);
  if (!connection) {
    auto& failure = connection.error();
    co_return std::unexpected(path_failure{failure.reason, std::move(failure.detail), {}, addresses.front()});
  }
  // An address that came up between the check and the dial.
  if (connected_to_own_listener(connection->socket, own)) {
    co_return std::unexpected(
        path_failure{core::reason::own_listener, "a proxy loop", {}, connection->address});
  }
  co_return upstream_connection{std::move(connection->socket), connection->address};
}

}  // namespace exeat::proxy
