// All workers of the process, from bound listeners to the last closed tunnel.
#pragma once
#include <atomic>
#include <chrono>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "config/settings.hpp"
#include "metrics/registry.hpp"
#include "proxy/budget.hpp"
#include "proxy/job_table.hpp"
#include "proxy/limits.hpp"
#include "proxy/listen_socket.hpp"
#include "proxy/retired_policies.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {

/// settings.workers, or one per core that this process may run on; 1 to 256.
unsigned worker_count(const config::settings& settings) noexcept;

/// Start, then any of the others from one thread.
class server {
 public:
  /// Something that the operator should know of: certificates taken up, or that cannot be. From any thread.
  using notice = std::function<void(bool ok, const std::string& text)>;

  /// Reads what `upstream.proxies` needs, binds every listener, and reads their certificates; nothing is
  /// accepted yet. The error is a sentence. `registry` has worker_count(settings) workers; it and `sink`
  /// outlive the server.
  static std::expected<std::unique_ptr<server>, std::string> bind(const config::settings& settings,
                                                                  metrics::registry& registry,
                                                                  event_sink& sink, notice notice = {});
  /// Reads the certificates of all TLS listeners again; those that cannot be read stay, and a notice says so.
  void reload_certificates();
  /// Reads the credentials and CA files of `upstream.proxies` again, for connections from now on. Those that
  /// cannot be read stay as they were: a sentence for each.
  std::vector<std::string> reload_upstreams() { return process_.hops.reload(); }
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  /// As stop().
  ~server();

  const std::vector<bound_listener>& listeners() const noexcept { return listeners_; }
  /// Who looks for the processes behind refused requests, and what a canary sets off. Before start().
  void set_finder(identity::process_finder* finder) noexcept { process_.finder = finder; }
  void on_canary(std::function<void(const std::string& job)> call) { process_.on_canary = std::move(call); }
  /// A TCP endpoint of ours besides the listeners (the admin's): never a destination. Before start().
  void add_own_endpoint(const config::endpoint& endpoint);

  /// Starts the workers under this policy. The error is a sentence.
  std::expected<void, std::string> start(std::shared_ptr<const allowlist::policy> policy);
  /// Puts the policy in force in every worker, for all jobs but those that are `held` ("": the one of
  /// exeat.yaml), which keep theirs; `cut` ends live tunnels that it denies. Back when it is done.
  void set_policy(std::shared_ptr<const allowlist::policy> policy, bool cut,
                  const std::vector<std::string>& held = {});
  /// The job of exeat.yaml (null: none is declared) and those that were opened; each starts under the newest
  /// policy, with nothing used up. What belongs to a job that is not among them any more ends. Also before
  /// start(); after it, back when every worker has taken them.
  void set_jobs(std::shared_ptr<const jobs::job> implicit,
                std::vector<std::shared_ptr<const jobs::job>> opened);
  /// Ends what belongs to phases that the job has sealed. Grace zero: all of it, before this is back; else,
  /// what it has sealed from step `from` on, after that. (New requests are refused as soon as jobs::job says
  /// so.) False: a worker has not answered in five seconds, and what it has open may still move.
  [[nodiscard]] bool enforce_seals(const std::shared_ptr<const jobs::job>& job, jobs::step from,
                                   std::chrono::milliseconds grace);

  /// Where policies end up that nobody uses any more: to be freed where nobody waits for it.
  const std::shared_ptr<retired_policies>& retired() const noexcept { return retired_; }

  /// For once a second: ends what is under way in phases whose `time_limit` has passed, and gives a sentence
  /// for each budget of which four fifths are used by now; each is told once.
  std::vector<std::string> watch_budgets();

  struct phase_traffic {
    std::string job;  ///< empty: the one of exeat.yaml
    std::string phase;
    std::uint64_t tunnels = 0;                   ///< that live now
    std::uint64_t bytes_up = 0, bytes_down = 0;  ///< since the job began
  };
  std::vector<phase_traffic> traffic() const;

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
  /// A job, and what it has used up.
  struct kept_job {
    budget_book book;
    served_job served;
  };
  std::shared_ptr<const loaded_policy> load(budget_book& book);
  std::unique_ptr<kept_job> begin(std::shared_ptr<const jobs::job> job);
  std::shared_ptr<const job_table> table() const;
  /// Gives every worker what is to be served now, and waits until it has it.
  void publish(bool cut);
  /// Runs `work` on every worker's thread, and waits until each has. False: one has not in five seconds.
  bool on_workers(const std::function<void(worker&)>& work);

  metrics::registry& registry_;
  notice notice_;
  process_state process_;
  connection_budget budget_;
  memory_budget memory_;
  request_rate requests_;
  std::shared_ptr<retired_policies> retired_ = std::make_shared<retired_policies>();
  std::shared_ptr<const allowlist::policy> policy_;  ///< the newest
  std::unique_ptr<kept_job> implicit_;
  std::map<std::string, std::unique_ptr<kept_job>, std::less<>> opened_;
  std::vector<bound_listener> listeners_;
  std::vector<std::unique_ptr<worker>> workers_;
  std::vector<std::thread> threads_;
  std::atomic<bool> started_{false};  ///< workers_ no longer changes
  std::atomic<bool> draining_{false};
};

}  // namespace exeat::proxy
