#include "proxy/worker.hpp"

#include <algorithm>
#include <utility>

#include "proxy/listener.hpp"
#include "proxy/live_tunnel.hpp"
#include "proxy/request_record.hpp"
#include "proxy/server.hpp"

namespace exeat::proxy {
namespace {

resolver_options options_of(const config::dns_settings& dns, const config::timeout_settings& timeouts,
                            std::uint32_t lookups) {
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
  out.in_flight = lookups;
  return out;
}

constexpr std::chrono::milliseconds stop_patience{2000};

// One block holds a head with an octet too many, or a ClientHello with its record headers, whole.
std::size_t block_size(const config::settings& settings) {
  return std::max<std::size_t>(settings.limits.head_bytes + 1, 32 * 1024);
}

// What idle workers keep in hand stays under an eighth of what all may hold.
std::size_t blocks_kept(const config::settings& settings) {
  const auto each = settings.limits.buffers / (8 * std::uint64_t{worker_count(settings)});
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(each / block_size(settings), 1, 64));
}

}  // namespace

admission::admission(worker& worker, const client_key& client) noexcept : worker_(&worker), client_(client) {
  worker.entered();
}

admission::~admission() {
  if (worker_ != nullptr) worker_->left(client_);
}

worker::worker(unsigned number, const process_state& process, metrics::worker_counters& counters,
               std::shared_ptr<const job_table> jobs)
    : number_(number),
      process_(process),
      counters_(counters),
      jobs_(std::move(jobs)),
      inquiry_(context_, process.finder, number),
      memory_(std::make_shared<memory_lease>(*process.memory)),
      fronts_(memory_, process.settings.timeouts.tunnel_stall),
      hop_fronts_(memory_, process.settings.timeouts.tunnel_stall),
      wheel_(context_),
      buffers_(block_size(process.settings), memory_, blocks_kept(process.settings)),
      leases_(*process.budget),
      requests_(*process.requests),
      dials_(context_, process.settings.limits.dials_per_destination, process.id_seed),
      ids_(process.id_seed, static_cast<std::uint8_t>(number)),
      resolver_(context_, wheel_,
                options_of(process.settings.dns, process.settings.timeouts, process.settings.limits.lookups),
                process.lookup_pool),
      upstreams_(wheel_, {.per_key = process.settings.limits.upstream_idle_per_key,
                          .total = process.settings.limits.upstream_idle,
                          .idle = process.settings.timeouts.upstream_idle}),
      relay_(context_, wheel_,
             {.idle = process.settings.timeouts.tunnel_idle,
              .total = process.settings.timeouts.tunnel,
              .stall = process.settings.timeouts.tunnel_stall,
              .memory = memory_}) {
  for (std::uint32_t asker = 0; auto& share : lookups_) {
    share.most = process.settings.limits.lookups_per_phase;
    share.asker = ++asker;
  }
}

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

void worker::set_jobs(std::shared_ptr<const job_table> jobs, bool cut) {
  const bool limits = jobs->has_meters() || jobs_->has_meters();
  jobs_ = std::move(jobs);
  upstreams_.clear();
  relay_.for_each([&](tunnel& t) {
    // Every owner in our relay is one of ours.
    auto& live = static_cast<live_tunnel&>(t.owner());
    const auto* served = jobs_->find(live.record().job.get());
    if (served == nullptr) {
      relay_.cut(t, core::reason::phase_sealed, cut_by_end_of_job);
      return;
    }
    if (!cut && !limits) return;
    const auto now = judge_again(live.record(), *served->policy);
    if (now.denied) {
      if (cut) relay_.cut(t, *now.denied, cut_by_reload);
    } else if (limits) {
      t.set_meter(now.limits);
      live.limit(served->policy, now.limits);
    }
  });
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    auto& session = *it++;
    session.seal();
    if (cut) session.tighten();
  }
}

void worker::enforce_seals(const std::shared_ptr<const jobs::job>& job, jobs::step from,
                           std::chrono::milliseconds grace) {
  upstreams_.clear();
  if (grace <= std::chrono::milliseconds::zero()) {
    std::erase_if(reprieves_, [&](const auto& one) { return one->job == job; });
    cut_sealed();
    return;
  }
  if (from >= job->current()) return;  // nothing new is sealed: what has a grace keeps that
  auto left = std::make_shared<const reprieve>(reprieve{.job = job, .from = from, .to = job->current()});
  auto later = std::make_shared<steady_timer>(context_.get_executor(), grace);
  reprieves_.push_back(left);
  later->async_wait([this, later, left](error_code) {
    std::erase(reprieves_, left);
    cut_sealed();
  });
}

bool worker::is_due(const request_record& record) const noexcept {
  if (!record.is_sealed()) return false;
  return std::ranges::none_of(reprieves_, [&](const auto& one) {
    return one->job == record.job && one->from <= record.step && record.step < one->to;
  });
}

void worker::cut_sealed() {
  relay_.for_each([&](tunnel& t) {
    if (is_due(static_cast<live_tunnel&>(t.owner()).record()))
      relay_.cut(t, core::reason::phase_sealed, cut_by_seal);
  });
  for (auto it = sessions_.begin(); it != sessions_.end();) (it++)->seal();
}

bool worker::is_out_of_time(const request_record& record, phase_clock::time_point now) const noexcept {
  const auto* served = jobs_->find(record.job.get());
  if (served == nullptr || !served->policy->any_time_is_up(now)) return false;
  const auto phase = served->policy == record.policy
                         ? std::optional(record.phase)
                         : served->policy->policy->find_phase(record.phase_of().name);
  return phase && served->policy->time_is_up(*phase, now);
}

void worker::cut_out_of_time() {
  const auto now = std::chrono::steady_clock::now();
  relay_.for_each([&](tunnel& t) {
    if (is_out_of_time(static_cast<live_tunnel&>(t.owner()).record(), now))
      relay_.cut(t, core::reason::time_limit, cut_by_time_limit);
  });
  for (auto it = sessions_.begin(); it != sessions_.end();) (it++)->seal();
}

void worker::drain() {
  asio::post(context_, [this] {
    draining_ = true;
    for (auto& l : listeners_) l->stop();
    for (auto it = sessions_.begin(); it != sessions_.end();) (it++)->drain();
    fronts_.drain();
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
  // What was aborted needs a few turns of the loop to see it and unwind, and the last octets of an answer
  // need some to get through TLS.
  if (live() == 0) upstreams_.clear();  // and with them the TLS that they go through
  if ((live() == 0 && fronts_.empty() && hop_fronts_.empty()) ||
      patience <= std::chrono::milliseconds::zero()) {
    fronts_.abort_all();
    hop_fronts_.abort_all();
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

core::decision_id worker::refused_connection(const listener& listener, const client_peer& peer,
                                             core::reason reason, std::string_view error) noexcept {
  const auto kind = core::row_of(reason).kind;
  event e;
  e.time = std::chrono::system_clock::now();
  e.id = next_id();
  e.verdict = kind == core::reason_kind::request ? outcome::deny : outcome::error;
  e.reason = reason;
  if (kind == core::reason_kind::limit) e.status = 503;
  e.error = error;
  if (listener.is_enough()) e.phase = listener.configured().phase;
  e.client = peer.address;
  e.client_port = peer.port;
  if (peer.local) e.client_uid = peer.local->uid;
  const auto& policy = *jobs_->implicit.policy;
  const auto phase =
      listener.is_enough() ? policy.policy->find_phase(listener.configured().phase) : std::nullopt;
  record(phase ? policy.slot_of(*phase) : metrics::no_phase, e);
  return e.id;
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
