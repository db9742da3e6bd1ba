// One worker: one thread, one io_context, its own listeners, resolver, relay, timers and counters. Nothing
// that its hot path touches is shared with another worker.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "allowlist/policy.hpp"
#include "config/settings.hpp"
#include "core/decision_id.hpp"
#include "identity/local_peer.hpp"
#include "metrics/counters.hpp"
#include "proxy/asio.hpp"
#include "proxy/buffer_pool.hpp"
#include "proxy/dial_gate.hpp"
#include "proxy/dialer.hpp"
#include "proxy/event.hpp"
#include "proxy/job_table.hpp"
#include "proxy/limits.hpp"
#include "proxy/listen_socket.hpp"
#include "proxy/live_fronts.hpp"
#include "proxy/live_session.hpp"
#include "proxy/loaded_policy.hpp"
#include "proxy/local_addresses.hpp"
#include "proxy/next_hop.hpp"
#include "proxy/process_inquiry.hpp"
#include "proxy/relay.hpp"
#include "proxy/request_rate.hpp"
#include "proxy/resolver.hpp"
#include "proxy/timer_wheel.hpp"
#include "proxy/upstream_pool.hpp"

namespace exeat::proxy {

class listener;
struct client_peer;
struct request_record;

/// What all workers share: set before they start and never changed, or atomic.
struct process_state {
  config::settings settings;
  event_sink* sink = nullptr;
  connection_budget* budget = nullptr;
  memory_budget* memory = nullptr;
  request_rate* requests = nullptr;
  std::shared_ptr<system_lookup_pool> lookup_pool;  ///< for `resolver: system`
  std::vector<listen_endpoint> own_endpoints;       ///< every TCP port we listen on, the admin's too
  next_hops hops;                                   ///< the upstream proxies
  /// Path of the request by which health looks through a worker ("/-/probe/<random>"); known to this process
  /// only.
  std::string probe_path;
  /// Locks a job down; on a worker's thread, must not block.
  std::function<void(const std::string& job)> on_canary;
  identity::process_finder* finder = nullptr;  ///< null: nobody looks for processes
  std::uint64_t id_seed = 0;
};

class worker {
 public:
  worker(unsigned number, const process_state& process, metrics::worker_counters& counters,
         std::shared_ptr<const job_table> jobs);
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;
  ~worker();

  /// Takes this worker's descriptor of each listener. Before run().
  void add_listener(const bound_listener& bound);
  /// Runs until it is stopped; the calling thread becomes the worker's.
  void run();

  // On the worker's thread.

  /// Puts jobs and their policies in force. What belongs to a job that is not among them ends; live tunnels
  /// of the others go on under the decision that admitted them, unless `cut` and their policy denies them.
  void set_jobs(std::shared_ptr<const job_table> jobs, bool cut);
  /// What the job has sealed from step `from` on ends after the grace. Zero: before it returns, and all that
  /// it has sealed.
  void enforce_seals(const std::shared_ptr<const jobs::job>& job, jobs::step from,
                     std::chrono::milliseconds grace);
  /// Whether the phase is sealed, and no grace of it goes on.
  bool is_due(const request_record& record) const noexcept;
  /// Ends what is under way in phases whose `time_limit` has passed.
  void cut_out_of_time();

  // From any thread: each posts to the worker.

  /// Stops accepting and ends what is idle; live tunnels and exchanges go on.
  void drain();
  /// Ends everything that is left, and then run().
  void stop();
  /// Connections that live now.
  std::size_t live() const noexcept { return live_.load(std::memory_order_relaxed); }

  // For sessions, on the worker's thread.

  asio::io_context& context() noexcept { return context_; }
  const process_state& process() const noexcept { return process_; }
  const config::settings& settings() const noexcept { return process_.settings; }
  const job_table& jobs() const noexcept { return *jobs_; }
  identity::tcp_peer_lookup& peers() noexcept { return peers_; }
  process_inquiry& inquiry() noexcept { return inquiry_; }
  timer_wheel& wheel() noexcept { return wheel_; }
  class relay& relay() noexcept { return relay_; }
  class resolver& resolver() noexcept { return resolver_; }
  dead_addresses& dead() noexcept { return dead_; }
  class hop_addresses& hop_addresses() noexcept { return hop_addresses_; }
  /// The TLS with upstream proxies.
  live_fronts& hop_fronts() noexcept { return hop_fronts_; }
  class upstream_pool& upstreams() noexcept { return upstreams_; }
  unsigned number() const noexcept { return number_; }
  const std::shared_ptr<memory_lease>& memory() const noexcept { return memory_; }
  buffer_pool& buffers() noexcept { return buffers_; }
  request_tokens& requests() noexcept { return requests_; }
  dial_gate& dials() noexcept { return dials_; }
  /// The look-ups that a phase has under way here.
  lookup_share& lookups_of(metrics::phase_slot slot) noexcept {
    return lookups_[static_cast<std::size_t>(slot)];
  }
  connection_leases& leases() noexcept { return leases_; }
  metrics::worker_counters& counters() noexcept { return counters_; }
  core::decision_id next_id() noexcept { return ids_.next(); }
  bool draining() const noexcept { return draining_; }

  /// Counts and logs one event; `slot` is its phase.
  void record(metrics::phase_slot slot, const event& event) noexcept;
  /// True where the `time_limit` of the request's phase has passed, by the policy that its job has now.
  bool is_out_of_time(const request_record& record, phase_clock::time_point now) const noexcept;
  /// This worker's counts of a job's phase.
  std::shared_ptr<phase_count> count_of(const served_job& served, metrics::phase_slot slot) const noexcept {
    return {served.counts, &(*served.counts)[number_][static_cast<std::size_t>(slot)]};
  }

  /// Counts and logs a connection that never became a session; gives the id of that line.
  core::decision_id refused_connection(const listener& listener, const client_peer& peer, core::reason reason,
                                       std::string_view error = {}) noexcept;
  live_fronts& fronts() noexcept { return fronts_; }

  /// A connection is counted as live from its admission on.
  void entered() noexcept { live_.fetch_add(1, std::memory_order_relaxed); }
  void left(const client_key& client) noexcept;
  /// Carries what the resolver counted since the last call into the metrics.
  void count_lookups() noexcept;
  live_sessions& sessions() noexcept { return sessions_; }

 private:
  /// Steps of a job, sealed, of which what is live has some time left.
  struct reprieve {
    std::shared_ptr<const jobs::job> job;
    jobs::step from = 0, to = 0;
  };

  void cut_sealed();
  void end_when_empty(std::chrono::milliseconds patience);

  unsigned number_;
  const process_state& process_;
  metrics::worker_counters& counters_;
  std::shared_ptr<const job_table> jobs_;
  std::vector<std::shared_ptr<const reprieve>> reprieves_;
  // What is from other threads is posted; all I/O is on this one.
  asio::io_context context_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO};
  identity::tcp_peer_lookup peers_;
  process_inquiry inquiry_;
  std::shared_ptr<memory_lease> memory_;
  live_fronts fronts_;
  live_fronts hop_fronts_;
  class hop_addresses hop_addresses_;
  timer_wheel wheel_;
  buffer_pool buffers_;
  connection_leases leases_;
  request_tokens requests_;
  dial_gate dials_;
  std::array<lookup_share, metrics::phase_slot_count> lookups_;
  core::decision_id_source ids_;
  class resolver resolver_;
  dead_addresses dead_;
  class upstream_pool upstreams_;
  class relay relay_;
  std::vector<std::unique_ptr<listener>> listeners_;
  resolver_stats counted_;
  std::atomic<std::size_t> live_{0};
  bool draining_ = false;
  live_sessions sessions_;
};

}  // namespace exeat::proxy
