// The running process: log, workers, admin, reload and the orderly end, on the main thread.
#pragma once
#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/admin_server.hpp"
#include "admin/api.hpp"
#include "cli/background.hpp"
#include "cli/commands.hpp"
#include "cli/main_call.hpp"
#include "cli/serve_jobs.hpp"
#include "config/load.hpp"
#include "config/watch.hpp"
#include "identity/process_finder.hpp"
#include "log/log_thread.hpp"
#include "metrics/registry.hpp"
#include "proxy/asio.hpp"
#include "proxy/server.hpp"
#include "review/store.hpp"
#include "sandbox/confine.hpp"

namespace exeat::cli {

/// One `exeat serve`. start(), then run(), on one thread; the admin thread only calls back.
class serve {
 public:
  explicit serve(serve_options options);
  ~serve();
  serve(const serve&) = delete;
  serve& operator=(const serve&) = delete;

  /// Everything up to the `ready` line. The error is one or more lines for standard error.
  std::expected<void, std::string> start();
  /// Until the end; the exit status.
  int run();

 private:
  void start_finder();
  std::expected<void, std::string> change_user();
  std::expected<void, std::string> open();
  std::expected<void, std::string> open_review();
  std::expected<void, std::string> open_admin();
  std::expected<void, std::string> start_watch();
  void announce();
  void say_ready();
  /// For the banner and the log, once there is one.
  void warn(std::string_view code, std::string text);
  void watch_files();
  std::string sandbox_hint(const config::error& error) const;

  void on_signal(int number);
  void wait_for_change();
  /// Once a second, until the end.
  void watch_budgets();
  /// What nobody uses any more, in the background.
  void free_policies();
  /// In the background, if that is done soon enough.
  std::expected<config::shared_policy, config::errors> load_policy_again();
  void drain();
  void wait_until_drained();
  void end();

  /// Loads the policy again; a bad one keeps the old. On the main thread.
  admin::reload_result reload(std::string_view why);
  /// From the admin thread: what `work` gives back on the main one; nothing where that ends first.
  template <typename Result>
  std::optional<Result> on_main(std::function<Result()> work);
  /// As on_main, of an order about jobs.
  template <typename Result>
  std::expected<Result, admin::job_problem> order(
      std::function<std::expected<Result, admin::job_problem>()> work);
  admin::reload_result reload_from_admin();
  admin::callbacks admin_callbacks();
  admin::api_sources api_sources();
  /// Reads the file of --admin-tokens, where there is one; the error is a sentence.
  std::expected<void, std::string> load_people();
  /// What the dashboard shows, seen on the log thread: it costs no worker anything.
  struct dashboard_watch final : log::event_observer {
    void see(const proxy::event& event) noexcept override;
    void lost(proxy::outcome verdict, core::reason reason, std::uint64_t count) noexcept override;
    log::event_observer* next = nullptr;  ///< who sees it before
    admin::activity activity;
    admin::live_feed feed;
  };
  admin::health health() const;
  admin::readiness readiness();
  void put_in_force(config::shared_policy policy);

  serve_options options_;
  proxy::asio::io_context main_{1};
  proxy::asio::signal_set signals_{main_};
  proxy::steady_timer timer_{main_.get_executor()};
  proxy::steady_timer settle_{main_.get_executor()};
  proxy::steady_timer budget_timer_{main_.get_executor()};
  main_call<bool> call_{main_};
  metrics::registry metrics_;
  admin::people people_;
  dashboard_watch seen_;
  admin::history history_;
  admin::api_sources api_;
  std::unique_ptr<review::store> review_;  ///< null: no store
  std::unique_ptr<log::log_thread> log_;
  std::unique_ptr<identity::process_finder> finder_;
  background background_;
  std::vector<config::shared_policy> built_here_;  ///< by the main thread
  std::unique_ptr<proxy::server> server_;
  std::unique_ptr<served_jobs> jobs_;
  std::unique_ptr<admin::admin_server> admin_;
  sandbox::confinement confinement_;  ///< as it is since before the first other thread
  std::vector<std::pair<std::string, std::string>> warnings_;  ///< code and text
  std::optional<config::file_watch> watch_;
  std::optional<proxy::descriptor> watch_descriptor_;
  std::chrono::steady_clock::time_point drain_until_;
  bool draining_ = false;

  mutable std::mutex mutex_;  ///< what the admin thread reads
  config::shared_policy policy_;
  std::chrono::system_clock::time_point loaded_at_;
  std::optional<admin::reload_state> last_reload_;
};

}  // namespace exeat::cli
