// The jobs of one `exeat serve`: the book, what the workers know of it, and the policies that wait for a
// job's end.
#pragma once
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/state.hpp"
#include "cli/policy_hold.hpp"
#include "config/load.hpp"
#include "config/settings.hpp"
#include "jobs/book.hpp"
#include "log/log_thread.hpp"
#include "metrics/registry.hpp"
#include "proxy/asio.hpp"
#include "proxy/server.hpp"

namespace exeat::cli {

/// The `peer` entries of all listeners: whom one fits is no operator, whatever he may open.
std::vector<config::peer_claim> phase_peers(const config::settings& settings);

/// Everything on the main thread, health() apart. What it refers to outlives it.
class served_jobs {
 public:
  /// Opens the state directory, or goes without one. The error is a sentence.
  static std::expected<std::unique_ptr<served_jobs>, std::string> open(const config::settings& settings,
                                                                       log::log_thread& log,
                                                                       metrics::registry& metrics,
                                                                       proxy::asio::io_context& main);

  /// Starts the workers under this policy, but for the jobs that an earlier process has left under a narrower
  /// one. The error is a sentence.
  std::expected<void, std::string> start(proxy::server& server, config::shared_policy policy);
  /// Puts a policy in force for every job that it does not widen; the others are given back. `cut` as for
  /// proxy::server::set_policy.
  std::vector<admin::held_job> put_in_force(config::shared_policy policy, bool cut);
  void end() noexcept {
    expiry_.cancel();
    keep_.cancel();
  }

  /// For the banner: "setup > agent+mcp, now in setup", or what it means that no job is declared.
  std::string summary() const;
  const std::string& trouble() const noexcept { return book_.trouble(); }

  // As the callbacks of admin/state.hpp of the same name.
  std::optional<std::string> job_of_secret(std::string_view secret) const;
  std::expected<std::vector<admin::job_state>, admin::job_problem> status(
      const std::optional<std::string>& job);
  std::expected<admin::advance_result, admin::job_problem> advance(const admin::advance_request& order);
  std::expected<admin::open_result, admin::job_problem> open_job(const admin::open_request& order);
  std::expected<void, admin::job_problem> close_job(const admin::job_order& order);
  std::expected<void, admin::job_problem> new_job(const admin::job_order& order);

  /// Seals all of a job (empty: that of exeat.yaml) and ends what belongs to it, since `why`, a clause.
  void lock_down(const std::string& id, std::string_view why);

  /// Any thread.
  admin::job_health health() const;

 private:
  using shared_job = std::shared_ptr<const jobs::job>;

  served_jobs(const config::settings& settings, log::log_thread& log, metrics::registry& metrics,
              proxy::asio::io_context& main, jobs::book book);

  /// The implicit job first, where it has not ended.
  std::vector<shared_job> live_jobs() const;
  shared_job find(std::string_view id) const;
  std::vector<std::string> held_ids() const;
  static std::string name_of(std::string_view id);

  /// Gives the job the policy in force, and keeps it in the state directory.
  void adopt(const std::string& id);
  /// The policy in force as config::print_policy prints it: seconds for a million rules, so only where a job
  /// that is kept needs it.
  const std::string& policy_text();
  using parsed_texts = std::map<std::string, config::shared_policy, std::less<>>;
  using changes = std::map<config::shared_policy, policy_change>;
  /// The policy that an earlier process left the job under; that in force where there is none.
  config::shared_policy kept_policy(const shared_job& job, parsed_texts& parsed);
  /// True where the policy in force has to wait for the job's end; `known` are comparisons made already.
  bool hold(const shared_job& job, const config::shared_policy& kept, changes& known);
  /// Starts the server, and gives each job to it under its own policy.
  std::expected<void, std::string> introduce(proxy::server& server);
  void publish();
  void wait_for_expiry();
  /// A seal could not be written: again every second, until it is.
  void keep_trying();
  void say_trouble();
  std::vector<std::string> urls_of(std::string_view id, const jobs::issued_token& token) const;
  /// Without traffic.
  static admin::job_state state_of(const jobs::job& job);

  const config::settings& settings_;
  log::log_thread& log_;
  metrics::registry& metrics_;
  proxy::steady_timer expiry_;
  proxy::steady_timer keep_;
  jobs::book book_;
  proxy::server* server_ = nullptr;
  config::shared_policy policy_;  ///< in force for whom it is not held
  std::string policy_text_;       ///< of policy_text(); empty: not asked for yet
  /// What each live job is under; only those that are held differ from policy_.
  std::map<std::string, config::shared_policy, std::less<>> policies_;
  std::map<std::string, admin::held_state, std::less<>> held_;
  std::string said_trouble_;

  struct shown {
    shared_job declared;
    std::size_t open = 0;
    std::map<std::string, admin::held_state, std::less<>> held;
    std::string trouble;
  };
  mutable std::mutex mutex_;
  shown shown_;  ///< what health() looks at
};

}  // namespace exeat::cli
