#include "proxy/path_out.hpp"

#include <algorithm>
#include <utility>

#include "proxy/hop_connect.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {
namespace {

using clock = std::chrono::steady_clock;

std::chrono::microseconds since(clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - start);
}

using path_result = std::expected<upstream_connection, path_failure>;

// An upstream has one network behind it, as far as we see, and it is likely to speak what we speak with it:
// its family comes first. What lately failed comes last.
address_list order_behind(const hop_connection& hop, const address_list& checked, std::uint16_t port,
                          const dead_addresses& dead) {
  const auto now = dead_addresses::clock::now();
  const auto rank_of = [&](const core::ip_address& address) {
    return (dead.contains(address, port, now) ? 2 : 0) + (address.is_v4() == hop.address.is_v4() ? 0 : 1);
  };
  address_list out;
  for (int rank = 0; rank < 4; ++rank) {
    for (const auto& address : dial_order(checked, port, nullptr, now)) {
      if (rank_of(address) == rank) out.push_back(address);
    }
  }
  return out;
}

std::unexpected<path_failure> failed_at(const next_hop& hop, hop_failure failure,
                                        std::optional<core::ip_address> address) {
  return std::unexpected(path_failure{failure.reason, std::move(failure.detail), &hop, {}, address});
}

// Of several addresses an upstream may reach some only; each costs a connection to it.
constexpr std::size_t most_tries = 4;

// `checked` is empty where the upstream looks the name up. After `patience` no further address is tried.
task<path_result> through(worker& worker, const next_hop& hop, core::destination to, address_list checked,
                          path_use use, std::chrono::milliseconds patience) {
  const auto until = clock::now() + patience;
  for (std::size_t tried = 0;; ++tried) {
    auto connection = co_await connect_to(worker, hop);
    if (!connection) {
      co_return failed_at(hop, std::move(connection.error()),
                          checked.empty() ? std::nullopt : std::optional(checked.front()));
    }
    if (tried == 0 && !checked.empty()) checked = order_behind(*connection, checked, to.port, worker.dead());
    std::optional<core::ip_address> address;
    if (!checked.empty()) address = checked[tried];
    if (use == path_use::http && !hop.tunnels_http)
      co_return upstream_connection{std::move(connection->socket), address, &hop, true};

    auto target = to;
    if (address) target.host = *address;
    auto opened = co_await ask_for_tunnel(worker, hop, connection->socket, core::to_string(target));
    if (opened) {
      if (address) worker.dead().remove(*address, to.port);
      co_return upstream_connection{std::move(connection->socket), address, &hop, false};
    }
    // 5xx: it could not reach that address.
    const bool unreached =
        opened.error().reason == core::reason::upstream_refused && opened.error().status >= 500;
    if (unreached && address) worker.dead().add(*address, to.port, dead_addresses::clock::now());
    if (!unreached || tried + 1 >= std::min(checked.size(), most_tries) || clock::now() >= until)
      co_return failed_at(hop, std::move(opened.error()), address);
  }
}

task<path_result> straight(worker& worker, core::destination to, address_list addresses, path_use use,
                           std::chrono::milliseconds patience) {
  // The relay sees to keep-alive of tunnels: most end before they could need it.
  auto connection =
      co_await dial(worker.context(), worker.wheel(), addresses, to.port,
                    {.timeout = patience, .keep_alive = use != path_use::tunnel}, &worker.dead());
  if (!connection) {
    auto& failure = connection.error();
    co_return std::unexpected(
        path_failure{failure.reason, std::move(failure.detail), nullptr, {}, addresses.front()});
  }
  // An address that came up between the check and the dial.
  if (is_own_listener(connection->address, to.port, worker.process().own_endpoints)) {
    co_return std::unexpected(
        path_failure{core::reason::own_listener, "a proxy loop", nullptr, {}, connection->address});
  }
  co_return upstream_connection{stream_socket(std::move(connection->socket)), connection->address};
}

bool pins_addresses(const allowlist::rule* governing) noexcept {
  return governing != nullptr && governing->terms && !governing->terms->resolve_in.empty();
}

}  // namespace

task<std::expected<upstream_connection, path_failure>> open_path(
    worker& worker, std::shared_ptr<const loaded_policy> policy, const allowlist::rule* governing,
    core::destination to, path_use use, metrics::phase_slot slot, path_timing& timing) {
  const auto& hops = worker.process().hops;
  const auto* hop = hops.toward(to.host);
  if (hops.contain(to)) {
    co_return std::unexpected(path_failure{
        core::reason::own_upstream, "the destination is an upstream proxy by its name", nullptr, {}, {}});
  }
  address_list addresses;
  const auto* name = std::get_if<core::host_name>(&to.host);
  const bool delegated = hop != nullptr && hop->remote && name != nullptr;
  if (delegated) {
    if (pins_addresses(governing)) {
      co_return std::unexpected(path_failure{
          core::reason::guard_delegated,
          "the rule has resolve_in, and " + hop->text + " would look the name up (resolve: remote)",
          hop,
          {},
          {}});
    }
  } else if (name == nullptr) {
    addresses.push_back(std::get<core::ip_address>(to.host));
  } else {
    const auto start = clock::now();
    auto answer = co_await worker.resolver().resolve(*name, &worker.lookups_of(slot));
    timing.dns = since(start);
    worker.count_lookups();
    if (!answer.from_cache) worker.counters().dns_time(timing.dns);
    if (!answer.addresses) {
      std::string detail(answer.detail);
      if (hop != nullptr) {
        detail += detail.empty() ? "" : "; ";
        detail += "the name goes to " + hop->text +
                  " only where its entry under upstream.proxies says `resolve: remote`";
      }
      co_return std::unexpected(path_failure{answer.addresses.error(), std::move(detail), hop, {}, {}});
    }
    addresses = *answer.addresses;
  }

  const auto& own = worker.process().own_endpoints;
  for (const auto& address : addresses) {
    if (!is_own_listener(address, to.port, own)) continue;
    co_return std::unexpected(path_failure{core::reason::own_listener, "a proxy loop", nullptr, {}, address});
  }
  if (!hops.empty() && !addresses.empty()) {
    if (const auto why = co_await is_upstream(worker, addresses, to.port)) {
      co_return std::unexpected(
          path_failure{core::reason::own_upstream, std::string(*why), nullptr, {}, addresses.front()});
    }
  }
  if (!delegated) {
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    if (auto refusal = allowlist::guard(*policy->policy, to, addresses, now, governing)) {
      std::string detail;
      if (refusal->range != nullptr) {
        detail = std::string(refusal->range->name) + " (" + std::string(refusal->range->source) + ")";
      } else if (refusal->reason == core::reason::outside_resolve_in) {
        detail = refusal->address.to_string() + " lies outside the rule's resolve_in";
      }
      co_return std::unexpected(
          path_failure{refusal->reason, std::move(detail), nullptr, refusal, refusal->address});
    }
  }
  if (hop != nullptr && hops.are_direct(addresses)) hop = nullptr;

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
                     hop,
                     {},
                     addresses.empty() ? std::nullopt : std::optional(addresses.front())});
  }
  auto connection = hop != nullptr ? co_await through(worker, *hop, to, addresses, use, left)
                                   : co_await straight(worker, to, addresses, use, left);
  timing.connect = since(start);
  worker.counters().connect_time(timing.connect);
  co_return connection;
}

}  // namespace exeat::proxy
