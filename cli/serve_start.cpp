// How `exeat serve` begins: what needs rights, then the user, then what takes files and sockets, then the
// sandbox, and threads last.
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <utility>

#include "cli/banner.hpp"
#include "cli/lint_files.hpp"
#include "cli/lint_upstream.hpp"
#include "cli/notify.hpp"
#include "cli/serve.hpp"
#include "identity/process_helper.hpp"
#include "sandbox/privileges.hpp"

namespace exeat::cli {
namespace {

using proxy::error_code;

// Two descriptors a connection, two more for the pipe of a busy direction, and what the process needs itself.
rlim_t descriptors_wanted(const config::settings& settings) {
  // Of TLS with an upstream the plain side is a pair.
  const bool tls = std::ranges::any_of(settings.upstream.proxies, &config::upstream_proxy::tls);
  return (tls ? 4ULL : 2ULL) * settings.limits.connections +
         (tls ? 3ULL : 1ULL) * settings.limits.upstream_idle + 512;
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

// The policy's own file, then what it includes.
std::vector<std::string> files_of(const allowlist::policy& policy) {
  std::vector<std::string> out{policy.source().file};
  for (const auto& included : policy.source().includes) out.push_back(included.file);
  return out;
}

}  // namespace

std::expected<void, std::string> serve::start() {
  const auto& settings = options_.settings;
  if (auto warning = raise_descriptor_limit(settings)) warn("descriptor-limit", std::move(*warning));
  if (auto too_few = too_few_descriptors(settings)) return std::unexpected(std::move(*too_few));
  ::signal(SIGPIPE, SIG_IGN);
  start_finder();
  if (auto ok = change_user(); !ok) return ok;
  if (auto ok = open(); !ok) {
    if (settings.user.empty()) return ok;
    return std::unexpected(fmt::format("{}{}(as `user: {}`, uid {})", ok.error(),
                                       ok.error().ends_with('\n') ? "" : " ", settings.user, ::geteuid()));
  }
  std::vector<std::string> included;
  for (const auto& one : policy_->source().includes) included.push_back(one.file);
  if (!options_.admin_tokens.empty()) included.push_back(options_.admin_tokens);
  auto writable = writable_policy_warnings(settings, *policy_);
  auto confined = sandbox::confine(settings, included);
  if (!confined) return std::unexpected(std::move(confined.error()));
  confinement_ = std::move(*confined);
  for (const auto& text : confinement_.lacking) warn("sandbox", text);
  for (auto& text : writable) warn("policy-within-reach", std::move(text));

  // Threads from here on.
  if (review_) {
    if (auto ok = review_->begin(); !ok) return ok;
  }
  if (auto ok = log_->begin(); !ok) return ok;
  if (admin_) {
    if (auto ok = admin_->begin(); !ok) return ok;
  }
  // From here on signals end us in order; before, they ended us at once.
  error_code ignored;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signals_.add(number, ignored);
  if (auto ok = jobs_->start(*server_, policy_); !ok) return ok;
  announce();
  return {};
}

void serve::warn(std::string_view code, std::string text) {
  warnings_.emplace_back(code, std::move(text));
}

// Before the first thread, for it forks; and before the user changes, for the helper keeps rights that we do
// not.
void serve::start_finder() {
  const auto& settings = options_.settings;
  if (settings.log.process) {
    const bool filter_calls = settings.sandbox != config::sandbox_mode::off;
    if (auto finder = identity::process_finder::start(metrics_.workers(), {}, filter_calls)) {
      finder_ = std::move(*finder);
    } else {
      warn("process-finder",
           "log.process: the processes behind refused requests cannot be found: " + finder.error());
    }
  }
  identity::give_up_finder_rights();
}

std::expected<void, std::string> serve::change_user() {
  const auto& user = options_.settings.user;
  if (user.empty()) return {};
  const auto account = sandbox::find_account(user);
  if (!account) return std::unexpected(account.error());
  return sandbox::become(*account);
}

// All files and sockets, with the rights that the process goes on with.
std::expected<void, std::string> serve::open() {
  const auto& settings = options_.settings;
  auto policy = config::load_policy(settings);
  if (!policy) return std::unexpected(config::to_string(policy.error()));
  built_here_.push_back(*policy);
  auto log = log::log_thread::open(log_options(settings.log), metrics_.workers(), metrics_.log());
  if (!log) return std::unexpected(std::move(log.error()));
  log_ = std::move(*log);
  if (auto ok = open_review(); !ok) return ok;
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
  if (auto ok = open_admin(); !ok) return ok;
  return start_watch();
}

std::expected<void, std::string> serve::open_review() {
  const auto& settings = options_.settings.review;
  if (settings.database.empty()) return {};
  auto opened = review::store::open({.database = settings.database,
                                     .bounds = {.max_age = settings.max_age, .max_size = settings.max_size},
                                     .memory = {},
                                     .budgets = [this] { return metrics_.budgets(); },
                                     .on_trouble =
                                         [this](bool ok, const std::string& text) {
                                           log_->post(ok ? log::level::info : log::level::error,
                                                      ok ? "review-written" : "review-unwritten", text);
                                         }});
  if (!opened) return std::unexpected(std::move(opened.error()));
  review_ = std::move(*opened);
  log_->observe(review_.get());
  seen_.next = review_.get();  // where the dashboard looks on as well
  metrics_.set_review([this] { return review_->sample(); });
  return {};
}

std::expected<void, std::string> serve::open_admin() {
  const auto& settings = options_.settings;
  if (!settings.admin && !options_.admin_tokens.empty())
    return std::unexpected("--admin-tokens without an admin listener: set `admin`, or --admin");
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
  if (settings.admin) {
    if (auto ok = load_people(); !ok) return ok;
    api_ = api_sources();
    options.api = &api_;
    log_->observe(&seen_);
  }
  auto opened = admin::admin_server::open(std::move(options), admin_callbacks());
  if (!opened) return std::unexpected(std::move(opened.error()));
  admin_ = std::move(*opened);
  if (admin_->bound()) server_->add_own_endpoint(*admin_->bound());
  return {};
}

std::expected<void, std::string> serve::start_watch() {
  if (!options_.settings.watch || options_.settings.policy.empty()) return {};
  auto watch = config::file_watch::start(files_of(*policy_));
  if (!watch) return std::unexpected(std::move(watch.error()));
  watch_.emplace(std::move(*watch));
  watch_descriptor_.emplace(main_.get_executor(), ::dup(watch_->descriptor()));
  wait_for_change();
  return {};
}

void serve::watch_files() {
  if (watch_) watch_->watch(files_of(*policy_));
}

// The banner, the log's first lines, and the word to whoever waits for us.
void serve::announce() {
  const auto& settings = options_.settings;
  banner_facts facts{.policy = policy_.get(),
                     .listeners = &server_->listeners(),
                     .admin = admin_ ? admin_->bound() : std::nullopt,
                     .control = std::nullopt,
                     .job = jobs_->summary(),
                     .sandbox = confinement_.summary,
                     .upstream = &settings.upstream,
                     .workers = metrics_.workers()};
  if (admin_ && settings.control) facts.control = *settings.control;
  // Into a pipe or a log it would be the job's to read.
  if (api_.people != nullptr && options_.admin_tokens.empty() && ::isatty(STDERR_FILENO) == 1)
    facts.login = people_.new_once(admin::role::admin, std::chrono::steady_clock::now()).value_or("");
  for (const auto& [code, text] : warnings_) {
    facts.warnings.push_back(text);
    log_->post(log::level::warning, code, text);
  }
  if (!jobs_->trouble().empty()) facts.warnings.push_back(jobs_->trouble());
  const auto has_canaries = [](const allowlist::phase& phase) { return !phase.canaries.empty(); };
  if (settings.admin && std::holds_alternative<config::tcp_endpoint>(*settings.admin) &&
      std::ranges::any_of(policy_->source().phases, has_canaries)) {
    facts.warnings.push_back(
        "the metrics tell of requests for a canary, and any local process may read them: let `admin` be a "
        "unix "
        "socket");
  }
  for (auto& text : upstream_warnings(settings, *policy_)) {
    log_->post(log::level::warning, "resolve-remote", text);
    facts.warnings.push_back(std::move(text));
  }
  if (settings.insecure_policy_file) {
    facts.warnings.push_back("insecure_policy_file is set: whoever may write the policy file decides");
  }
  if (::geteuid() == 0 && settings.user.empty()) {
    facts.warnings.push_back(
        "this process is root's: whoever took it over would own root's files; let `user` name who it "
        "becomes");
  }
  std::cerr << banner(facts) << std::flush;
  say_ready();
}

void serve::say_ready() {
  const auto text =
      fmt::format("policy {} ({} rules), {} listeners, identity {}", policy_->source().file,
                  policy_->rule_count(), server_->listeners().size(), identity_of(server_->listeners()));
  log_->post(log::level::info, "ready", text);
  std::cerr << "ready\n" << std::flush;
  notify_service_manager("READY=1");
}

}  // namespace exeat::cli
