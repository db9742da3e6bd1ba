#include "proxy/worker.hpp"

#include <algorithm>
#include <utility>

#include "proxy/listener.hpp"
#include "proxy/live_tunnel.hpp"
#include "proxy/request_record.hpp"

namespace exeat::proxy {
namespace {

resolver_options options_of(const config::dns_settings& dns, const config::timeout_settings& timeouts) {
  resolver_options out;
  out.system = dns.resolver == config::resolver_kind::system;
  for (const auto& server : dns.servers) out.servers.push_back(config::to_string(server));
  out.hosts_file = dns.hosts_file;
  out.timeout = timeouts.dns;
  out.try_timeout = dns.timeout;
  out.tries = dns.tries;
  out.cache_entries = dns.cache_entries;
  out.min_ttl = dns.min_ttl;
  out.max_ttl = dns.max_ttl;
  out.negative_ttl = dns.negative_ttl;
  return out;
}

constexpr std::chrono::milliseconds stop_patience{2000};

// One block holds a head with an octet too many, or a ClientHello with its record headers, whole.
std::size_t block_size(const config::settings& settings) {
  return std::max<std::size_t>(settings.limits.head_bytes + 1, 32 * 1024);
}

}  // namespace

admission::admission(worker& worker, const client_key& client) noexcept : worker_(&worker), client_(client) {
  worker.entered();
}

admission::~admission() {
  if (worker_ != nullptr) worker_->left(client_);
}

worker::worker(unsigned number, const process_state& process, metrics::worker_counters& counters,
               std::shared_ptr<const loaded_policy> policy)
    : number_(number),
      process_(process),
      counters_(counters),
      policy_(std::move(policy)),
      wheel_(context_),
      buffers_(block_size(process.settings)),
      leases_(*process.budget),
      ids_(process.id_seed, static_cast<std::uint8_t>(number)),
      resolver_(context_, wheel_, options_of(process.settings.dns, process.settings.timeouts),
                process.lookup_pool),
      upstreams_(wheel_, {.per_key = process.settings.limits.upstream_idle_per_key,
                          .total = process.settings.limits.upstream_idle,
                          .idle = process.settings.timeouts.upstream_idle}),
      relay_(context_, wheel_, {.idle = process.settings.timeouts.tunnel_idle}) {}

worker::~worker() = default;

void worker::add_listener(const bound_listener& bound) {
  listeners_.push_back(std::make_unique<listener>(*this, bound, bound.descriptors[number_]));
}

void worker::run() {
  wheel_.start();
  for (auto& l : listeners_) l->start();
  for (;;) {
    try {
      context_.run();
      return;
    } catch (const std::exception&) {
      // Out of memory, where no session was there to end for it. What was under way is lost, the worker is
      // not.
      counters_.decision(metrics::no_phase, metrics::verdict::error, core::reason::internal_error);
    }
  }
}

void worker::set_policy(std::shared_ptr<const loaded_policy> policy, bool cut) {
  asio::post(context_, [this, policy = std::move(policy), cut]() mutable {
    const bool limits = policy->has_meters() || policy_->has_meters();
    policy_ = std::move(policy);
    upstreams_.clear();
    if (cut || limits) hold_against_policy(cut, limits);
  });
}

void worker::hold_against_policy(bool cut, bool limits) {
  relay_.for_each([&](tunnel& t) {
    // Every owner in our relay is one of ours.
    auto& live = static_cast<live_tunnel&>(t.owner());
    const auto now = judge_again(live.record(), *policy_);
    if (now.denied) {
      if (cut) relay_.cut(t, *now.denied, cut_by_reload);
    } else if (limits) {
      t.set_meter(now.limits);
      live.limit(policy_, now.limits);
    }
  });
  if (!cut) return;
  for (auto it = sessions_.begin(); it != sessions_.end();) (it++)->tighten();
}

void worker::drain() {
  asio::post(context_, [this] {
    draining_ = true;
    for (auto& l : listeners_) l->stop();
    for (auto it = sessions_.begin(); it != sessions_.end();) (it++)->drain();
  });
}

void worker::stop() {
  asio::post(context_, [this] {
    draining_ = true;
    for (auto& l : listeners_) l->stop();
    relay_.for_each([this](tunnel& t) { relay_.cut(t, core::reason::draining, "drain_timeout has passed"); });
    for (auto it = sessions_.begin(); it != sessions_.end();) (it++)->abort();
    end_when_empty(stop_patience);
  });
}

void worker::end_when_empty(std::chrono::milliseconds patience) {
  // What was aborted needs a few turns of the loop to see it and unwind.
  if (live() == 0 || patience <= std::chrono::milliseconds::zero()) {
    wheel_.stop();
    context_.stop();
    return;
  }
  static constexpr std::chrono::milliseconds pause{5};
  auto again = std::make_shared<steady_timer>(context_.get_executor(), pause);
  again->async_wait([this, again, patience](error_code) { end_when_empty(patience - pause); });
}

void worker::record(metrics::phase_slot slot, const event& event) noexcept {
  // The end of what was let through is a second decision only where it was cut.
  const bool counts = event.kind == event::kind::decision || event.verdict == outcome::deny ||
                      event.verdict == outcome::error;
  if (counts) counters_.decision(slot, static_cast<metrics::verdict>(event.verdict), event.reason);
  if (core::row_of(event.reason).kind == core::reason_kind::limit) counters_.limit_hit(event.reason);
  if (process_.sink != nullptr) process_.sink->push(number_, event);
}

void worker::refused_connection(const listener& listener, const client_peer& peer,
                                core::reason reason) noexcept {
  event e;
  e.time = std::chrono::system_clock::now();
  e.id = next_id();
  e.verdict = outcome::error;
  e.reason = reason;
  e.status = 503;
  e.phase = listener.phase();
  e.client = peer.address;
  e.client_port = peer.port;
  e.client_uid = peer.uid;
  const auto phase = listener.phase_in(*policy_);
  record(phase ? policy_->slot_of(*phase) : metrics::no_phase, e);
}

void worker::left(const client_key& client) noexcept {
  leases_.release(client);
  counters_.connection_closed();
  live_.fetch_sub(1, std::memory_order_relaxed);
}

void worker::count_lookups() noexcept {
  const auto& now = resolver_.stats();
  const auto carry = [this](std::uint64_t& counted, std::uint64_t value, metrics::dns_lookup how) {
    for (; counted != value; ++counted) counters_.dns_cache(how);
  };
  carry(counted_.hits, now.hits, metrics::dns_lookup::hit);
  carry(counted_.negative, now.negative, metrics::dns_lookup::negative);
  carry(counted_.shared, now.shared, metrics::dns_lookup::shared);
  carry(counted_.misses, now.misses, metrics::dns_lookup::miss);
}

}  // namespace exeat::proxy
