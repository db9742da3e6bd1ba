#include "cli/serve.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <iostream>
#include <utility>

#include "cli/banner.hpp"
#include "cli/notify.hpp"
#include "core/units.hpp"
#include "identity/process_helper.hpp"
#include "metrics/exposition.hpp"

namespace exeat::cli {
namespace {

using namespace std::chrono_literals;
using proxy::error_code;

// A file that is written in several steps is read once, when it has been quiet for so long.
constexpr auto settle_time = 200ms;
constexpr auto drain_poll = 20ms;
constexpr auto budget_pause = 1s;
constexpr auto probe_timeout = 2s;

// Two descriptors a connection, two more for the pipe of a busy direction, and what the process needs itself.
rlim_t descriptors_wanted(const config::settings& settings) {
  return 2ULL * settings.limits.connections + settings.limits.upstream_idle + 512;
}

// What it takes to start: sockets of its own, an event loop and two descriptors a listener for each worker.
rlim_t descriptors_needed(const config::settings& settings) {
  return 24 + rlim_t{proxy::worker_count(settings)} * (6 + 2 * settings.listeners.size());
}

/// A sentence where there are too few to start with.
std::optional<std::string> too_few_descriptors(const config::settings& settings) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  const auto needed = descriptors_needed(settings);
  if (limit.rlim_cur >= needed) return std::nullopt;
  return fmt::format(
      "this process may open {} file descriptors, and {} workers with {} listeners need {} to start: raise "
      "the "
      "hard limit (ulimit -Hn, LimitNOFILE=), or lower `workers`",
      limit.rlim_cur, proxy::worker_count(settings), settings.listeners.size(), needed);
}

/// Raises the soft limit as far as the hard one goes; a sentence where that is not far enough.
std::optional<std::string> raise_descriptor_limit(const config::settings& settings) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  const auto wanted = descriptors_wanted(settings);
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur >= wanted) return std::nullopt;
  return fmt::format(
      "limits.connections is {}, which takes {} file descriptors, but this process may open {}: raise the "
      "hard limit "
      "(ulimit -Hn, LimitNOFILE=), or lower limits.connections; past it, connections are refused with 503",
      settings.limits.connections, wanted, limit.rlim_cur);
}

log::options log_options(const config::log_settings& settings) {
  log::options out;
  out.file = settings.file;
  out.syslog = settings.syslog;
  out.standard_output = settings.to_standard_output();
  out.blocked = settings.blocked;
  out.format = settings.format == config::log_format::json   ? log::format::json
               : settings.format == config::log_format::text ? log::format::text
                                                             : log::format::automatic;
  out.rotate_size = settings.rotate_size;
  out.rotate_keep = settings.rotate_keep;
  return out;
}

}  // namespace

serve::serve(serve_options options)
    : options_(std::move(options)), metrics_(proxy::worker_count(options_.settings)) {}

serve::~serve() {
  // A start that failed half-way: the admin thread may wait for a main loop that will never run.
  call_.end();
}

std::expected<void, std::string> serve::start() {
  const auto& settings = options_.settings;
  const auto limit_warning = raise_descriptor_limit(settings);
  if (auto too_few = too_few_descriptors(settings)) return std::unexpected(std::move(*too_few));
  ::signal(SIGPIPE, SIG_IGN);

  auto policy = config::load_policy(settings);
  if (!policy) return std::unexpected(config::to_string(policy.error()));
  // Before the first thread: it forks.
  std::optional<std::string> finder_warning;
  if (settings.log.process) {
    if (auto finder = identity::process_finder::start(metrics_.workers())) {
      finder_ = std::move(*finder);
    } else {
      finder_warning =
          "log.process: the processes behind refused requests cannot be found: " + finder.error();
    }
  }
  identity::give_up_finder_rights();
  if (auto ok = start_log(); !ok) return ok;
  auto jobs = served_jobs::open(settings, *log_, metrics_, main_);
  if (!jobs) return std::unexpected(std::move(jobs.error()));
  jobs_ = std::move(*jobs);
  auto bound = proxy::server::bind(settings, metrics_, *log_, [this](bool ok, const std::string& text) {
    log_->post(ok ? log::level::info : log::level::error, ok ? "certificates-reloaded" : "certificates-kept",
               text);
  });
  if (!bound) return std::unexpected(std::move(bound.error()));
  server_ = std::move(*bound);
  server_->set_finder(finder_.get());
  server_->on_canary([this](const std::string& job) {
    proxy::asio::post(main_, [this, job] { jobs_->lock_down(job, "one of its canaries was asked for"); });
  });
  put_in_force(std::move(*policy));
  if (auto ok = start_admin(); !ok) return ok;
  if (auto ok = start_watch(); !ok) return ok;

  // From here on signals end us in order; before, they ended us at once.
  error_code ignored;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signals_.add(number, ignored);
  if (auto ok = jobs_->start(*server_, policy_); !ok) return ok;

  banner_facts facts{.policy = policy_.get(),
                     .listeners = &server_->listeners(),
                     .admin = admin_ ? admin_->bound() : std::nullopt,
                     .control = std::nullopt,
                     .job = jobs_->summary(),
                     .workers = metrics_.workers()};
  if (admin_ && settings.control) facts.control = *settings.control;
  if (limit_warning) {
    facts.warnings.push_back(*limit_warning);
    log_->post(log::level::warning, "descriptor-limit", *limit_warning);
  }
  if (!jobs_->trouble().empty()) facts.warnings.push_back(jobs_->trouble());
  if (finder_warning) {
    facts.warnings.push_back(*finder_warning);
    log_->post(log::level::warning, "process-finder", *finder_warning);
  }
  const auto has_canaries = [](const allowlist::phase& phase) { return !phase.canaries.empty(); };
  if (settings.admin && std::holds_alternative<config::tcp_endpoint>(*settings.admin) &&
      std::ranges::any_of(policy_->source().phases, has_canaries)) {
    facts.warnings.push_back(
        "the metrics tell of requests for a canary, and any local process may read them: let `admin` be a "
        "unix "
        "socket");
  }
  if (settings.insecure_policy_file) {
    facts.warnings.push_back("insecure_policy_file is set: whoever may write the policy file decides");
  }
  std::cerr << banner(facts) << std::flush;
  say_ready();
  return {};
}

std::expected<void, std::string> serve::start_log() {
  auto log = log::log_thread::start(log_options(options_.settings.log), metrics_.workers(), metrics_.log());
  if (!log) return std::unexpected(std::move(log.error()));
  log_ = std::move(*log);
  return {};
}

std::expected<void, std::string> serve::start_admin() {
  const auto& settings = options_.settings;
  if (!settings.admin && !settings.control) return {};
  admin::options options{.address = settings.admin,
                         .control = settings.control,
                         .phase_peers = phase_peers(settings),
                         .allowed_hosts = settings.admin_hosts};
  for (const auto& [file, into] : {std::pair(&settings.reload_token_file, &options.reload_token),
                                   std::pair(&settings.operator_token_file, &options.operator_token)}) {
    if (file->empty()) continue;
    auto token = config::load_secret_file(*file);
    if (!token) return std::unexpected(token.error().to_string());
    *into = std::move(*token);
  }
  auto started = admin::admin_server::start(std::move(options), admin_callbacks());
  if (!started) return std::unexpected(std::move(started.error()));
  admin_ = std::move(*started);
  if (admin_->bound()) server_->add_own_endpoint(*admin_->bound());
  return {};
}

namespace {

// The policy's own file, then what it includes.
std::vector<std::string> files_of(const allowlist::policy& policy) {
  std::vector<std::string> out{policy.source().file};
  for (const auto& included : policy.source().includes) out.push_back(included.file);
  return out;
}

}  // namespace

std::expected<void, std::string> serve::start_watch() {
  if (!options_.settings.watch || options_.settings.policy.empty()) return {};
  auto watch = config::file_watch::start(files_of(*policy_));
  if (!watch) return std::unexpected(std::move(watch.error()));
  watch_.emplace(std::move(*watch));
  watch_descriptor_.emplace(main_.get_executor(), ::dup(watch_->descriptor()));
  wait_for_change();
  return {};
}

void serve::say_ready() {
  const auto text =
      fmt::format("policy {} ({} rules), {} listeners, identity {}", policy_->source().file,
                  policy_->rule_count(), server_->listeners().size(), identity_of(server_->listeners()));
  log_->post(log::level::info, "ready", text);
  std::cerr << "ready\n" << std::flush;
  notify_service_manager("READY=1");
}

int serve::run() {
  const std::function<void()> wait = [this, &wait] {
    signals_.async_wait([this, &wait](error_code error, int number) {
      if (error) return;
      on_signal(number);
      wait();
    });
  };
  wait();
  watch_budgets();
  main_.run();
  return 0;
}

void serve::on_signal(int number) {
  if (number == SIGHUP) {
    log_->reopen();
    server_->reload_certificates();
    reload("SIGHUP");
  } else if (draining_) {
    end();
  } else {
    drain();
  }
}

void serve::wait_for_change() {
  watch_descriptor_->async_wait(proxy::descriptor::wait_read, [this](error_code error) {
    if (error) return;
    if (watch_->changed()) {
      settle_.expires_after(settle_time);
      settle_.async_wait([this](error_code cancelled) {
        if (!cancelled) reload("the file changed");
      });
    }
    wait_for_change();
  });
}

void serve::watch_budgets() {
  budget_timer_.expires_after(budget_pause);
  budget_timer_.async_wait([this](error_code cancelled) {
    if (cancelled) return;
    for (const auto& text : server_->watch_budgets()) log_->post(log::level::warning, "budget", text);
    watch_budgets();
  });
}

void serve::put_in_force(config::shared_policy policy) {
  const auto now = std::chrono::system_clock::now();
  metrics_.set_policy({.digest = policy->source().digest, .rules = policy->rule_count(), .loaded_at = now});
  const std::scoped_lock lock(mutex_);
  policy_ = std::move(policy);
  loaded_at_ = now;
}

admin::reload_result serve::reload(std::string_view why) {
  notify_service_manager("RELOADING=1");
  admin::reload_result result;
  auto loaded = config::load_policy(options_.settings);
  result.ok = loaded.has_value();
  admin::reload_state state{.ok = result.ok, .at = std::chrono::system_clock::now()};
  if (loaded) {
    put_in_force(*loaded);
    if (watch_) watch_->watch(files_of(*policy_));
    result.held = jobs_->put_in_force(*loaded, options_.settings.on_tighten == config::tighten_action::cut);
    log_->post(log::level::info, "reloaded",
               fmt::format("{}: policy {} ({} rules, digest {})", why, policy_->source().file,
                           policy_->rule_count(), policy_->source().digest));
  } else {
    for (const auto& error : loaded.error()) {
      state.errors.push_back(error.to_string());
      log_->post(log::level::error, "reload-failed",
                 fmt::format("{}: the old policy stays in force: {}: {}", why, config::code_of(error.kind),
                             error.to_string()));
    }
    result.errors = state.errors;
  }
  metrics_.count_reload(result.ok);
  {
    const std::scoped_lock lock(mutex_);
    last_reload_ = std::move(state);
    result.digest = policy_->source().digest;
    result.rules = policy_->rule_count();
  }
  notify_service_manager("READY=1");
  return result;
}

admin::health serve::health() const {
  admin::health out;
  const auto note = identity_note(server_->listeners());
  out.identity = identity_of(server_->listeners());
  out.identity_note = note;
  for (const auto& l : server_->listeners()) {
    out.listeners.push_back({config::to_string(l.bound), l.configured.phase, identity_of(l)});
  }
  out.workers = metrics_.workers();
  out.draining = server_->draining();
  out.version = EXEAT_VERSION;
  out.job = jobs_->health();
  const std::scoped_lock lock(mutex_);
  out.policy = {.file = options_.settings.policy,
                .digest = policy_->source().digest,
                .loaded_at = loaded_at_,
                .rules = policy_->rule_count(),
                .last_reload = last_reload_};
  return out;
}

admin::readiness serve::readiness() {
  admin::readiness out;
  {
    const std::scoped_lock lock(mutex_);
    out.checks.push_back({"policy", true, policy_->source().file});
  }
  out.checks.push_back({"draining", !server_->draining(), server_->draining() ? "stopping" : ""});
  const auto trouble = server_->probe(probe_timeout);
  out.checks.push_back({"probe", trouble.empty(), trouble});
  return out;
}

void serve::drain() {
  draining_ = true;
  notify_service_manager("STOPPING=1");
  server_->drain();
  drain_until_ = std::chrono::steady_clock::now() + options_.settings.drain_timeout;
  if (const auto live = server_->live(); live != 0) {
    const auto text = fmt::format("stopping: {} connections have {} to finish; a second signal ends them now",
                                  live, core::to_string(options_.settings.drain_timeout));
    log_->post(log::level::info, "draining", text);
    std::cerr << text << '\n' << std::flush;
  }
  wait_until_drained();
}

void serve::wait_until_drained() {
  if (server_->live() == 0 || std::chrono::steady_clock::now() >= drain_until_) {
    end();
    return;
  }
  timer_.expires_after(drain_poll);
  timer_.async_wait([this](error_code error) {
    if (!error) wait_until_drained();
  });
}

void serve::end() {
  timer_.cancel();
  jobs_->end();
  budget_timer_.cancel();
  const auto cut = server_->live();
  server_->stop();
  log_->post(log::level::info, "stopped",
             cut == 0 ? "all connections had ended" : fmt::format("cut {} connections", cut));
  call_.end();  // the admin thread may wait for this one, which now waits for it
  if (admin_) admin_->stop();
  log_->stop();
  std::cerr << (cut == 0 ? "stopped\n" : fmt::format("stopped; cut {} connections\n", cut)) << std::flush;
  main_.stop();
}

int run_serve(serve_options options) {
  serve process(std::move(options));
  if (auto started = process.start(); !started) {
    std::cerr << "exeat: " << started.error();
    if (!started.error().ends_with('\n')) std::cerr << '\n';
    return exit_error;
  }
  return process.run();
}

}  // namespace exeat::cli
