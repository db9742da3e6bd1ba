#include "cli/serve.hpp"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <iostream>
#include <system_error>
#include <utility>

#include "cli/banner.hpp"
#include "cli/notify.hpp"
#include "config/upstream_choice.hpp"
#include "core/units.hpp"
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

}  // namespace

serve::serve(serve_options options)
    : options_(std::move(options)), metrics_(proxy::worker_count(options_.settings)) {}

serve::~serve() {
  // A start that failed half-way: the admin thread may wait for a main loop that will never run.
  call_.end();
  // The store is told by the one, and tells it of its troubles.
  if (log_) log_->stop();
  if (review_) review_->stop();
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
    free_policies();
    watch_budgets();
  });
}

void serve::free_policies() {
  // What this thread has allocated it frees itself: who is of the idle class may lose the processor with the
  // lock of our memory in its hands.
  std::erase_if(built_here_, [](const auto& policy) { return policy.use_count() == 1; });
  const auto& retired = server_->retired();
  if (retired->any()) background_.later([retired] { retired->free_all(); });
}

std::expected<config::shared_policy, config::errors> serve::load_policy_again() {
  using result = std::expected<config::shared_policy, config::errors>;
  // Some three times what it takes where a processor is free.
  constexpr auto least_patience = 100ms;
  constexpr auto patience_of_rule = 20us;
  const auto rules = policy_->rule_count();
  const auto patience =
      least_patience + std::chrono::duration_cast<std::chrono::milliseconds>(rules * patience_of_rule);
  auto built = std::make_shared<std::optional<result>>();
  const bool done = background_.run(
      [built, settings = options_.settings] { built->emplace(config::load_policy(settings)); }, patience);
  if (done) return std::move(**built);
  // All processors are busy, and a policy that denies more must not wait for that.
  auto loaded = config::load_policy(options_.settings);
  if (loaded) built_here_.push_back(*loaded);
  return loaded;
}

void serve::put_in_force(config::shared_policy policy) {
  const auto now = std::chrono::system_clock::now();
  metrics_.set_policy({.digest = policy->source().digest, .rules = policy->rule_count(), .loaded_at = now});
  const std::scoped_lock lock(mutex_);
  policy_ = std::move(policy);
  loaded_at_ = now;
}

// A file that a reload found at another place than those of the start.
std::string serve::sandbox_hint(const config::error& error) const {
  const bool denied = error.kind == config::error_kind::unreadable &&
                      error.message.contains(std::generic_category().message(EACCES));
  if (!denied || confinement_.summary == "off") return {};
  return "; the sandbox lets it read the directories that were configured at the start: start it again where "
         "the policy has moved";
}

admin::reload_result serve::reload(std::string_view why) {
  notify_service_manager("RELOADING=1");
  for (const auto& text : server_->reload_upstreams())
    log_->post(log::level::error, "upstream-kept", fmt::format("{}; what it had stays in force", text));
  // Who may use the dashboard is no part of the policy: neither holds up the other.
  if (auto ok = load_people(); !ok)
    log_->post(log::level::error, "tokens-kept", ok.error() + "; those of before go on");
  admin::reload_result result;
  auto loaded = load_policy_again();
  result.ok = loaded.has_value();
  admin::reload_state state{.ok = result.ok, .at = std::chrono::system_clock::now()};
  if (loaded) {
    put_in_force(*loaded);
    watch_files();
    result.held = jobs_->put_in_force(*loaded, options_.settings.on_tighten == config::tighten_action::cut);
    log_->post(log::level::info, "reloaded",
               fmt::format("{}: policy {} ({} rules, digest {})", why, policy_->source().file,
                           policy_->rule_count(), policy_->source().digest));
  } else {
    for (const auto& error : loaded.error()) {
      state.errors.push_back(error.to_string() + sandbox_hint(error));
      log_->post(log::level::error, "reload-failed",
                 fmt::format("{}: the old policy stays in force: {}: {}", why, config::code_of(error.kind),
                             state.errors.back()));
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
  out.sandbox = confinement_.summary;
  out.sandbox_lacks = confinement_.lacking;
  for (const auto& l : server_->listeners()) {
    out.listeners.push_back({config::to_string(l.bound), l.configured.phase, identity_of(l)});
  }
  for (const auto& proxy : options_.settings.upstream.proxies) {
    out.upstreams.push_back(
        {config::to_string(proxy), config::hosts_text(proxy), proxy.remote ? "remote" : "local"});
  }
  out.workers = metrics_.workers();
  out.draining = server_->draining();
  out.version = EXEAT_VERSION;
  out.job = jobs_->health();
  out.review = metrics_.review();
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
  if (review_) {
    if (const auto lost = review_->stop(); !lost.empty()) std::cerr << lost << '\n';
  }
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
