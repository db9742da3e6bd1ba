// All workers of the process, from bound listeners to the last closed tunnel.
#pragma once
#include <atomic>
#include <chrono>
#include <expected>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "config/settings.hpp"
#include "metrics/registry.hpp"
#include "proxy/budget.hpp"
#include "proxy/limits.hpp"
#include "proxy/listen_socket.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {

/// settings.workers, or one per core that this process may run on; 1 to 256.
unsigned worker_count(const config::settings& settings) noexcept;

/// Start, then any of the others from one thread.
class server {
 public:
  /// Binds every listener; nothing is accepted yet. The error is a sentence. `registry` has
  /// worker_count(settings) workers; it and `sink` outlive the server.
  static std::expected<std::unique_ptr<server>, std::string> bind(const config::settings& settings,
                                                                  metrics::registry& registry,
                                                                  event_sink& sink);
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  /// As stop().
  ~server();

  const std::vector<bound_listener>& listeners() const noexcept { return listeners_; }
  /// A TCP endpoint of ours besides the listeners (the admin's): never a destination. Before start().
  void add_own_endpoint(const config::endpoint& endpoint);

  /// Starts the workers under this policy. The error is a sentence.
  std::expected<void, std::string> start(std::shared_ptr<const allowlist::policy> policy);
  /// Swaps the policy in every worker; `cut` ends live tunnels that it denies.
  void set_policy(std::shared_ptr<const allowlist::policy> policy, bool cut);

  /// Stops accepting; idle connections end.
  void drain();
  bool draining() const noexcept { return draining_; }
  /// Connections that live now, tunnels included.
  std::size_t live() const noexcept;
  /// Cuts what is left and joins the workers.
  void stop();

  /// Whether every worker runs its loop, and a request through every listener is answered, within `timeout`.
  /// Empty: yes; else a sentence. Any thread but a worker's.
  std::string probe(std::chrono::milliseconds timeout);

 private:
  server(const config::settings& settings, metrics::registry& registry, event_sink& sink);
  std::shared_ptr<const loaded_policy> load(std::shared_ptr<const allowlist::policy> policy);

  metrics::registry& registry_;
  process_state process_;
  connection_budget budget_;
  /// Of the one job that this process serves.
  budget_book book_;
  std::vector<bound_listener> listeners_;
  std::vector<std::unique_ptr<worker>> workers_;
  std::vector<std::thread> threads_;
  std::atomic<bool> started_{false};  ///< workers_ no longer changes
  std::atomic<bool> draining_{false};
};

}  // namespace exeat::proxy
