// What operators and holders of an advance secret order: the callbacks behind the admin routes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "cli/serve_jobs.hpp"
#include "core/units.hpp"

namespace exeat::cli {
namespace {

constexpr const char* not_enforced =
    "sealed, but a worker has not answered in five seconds: what it has open may still move; call again";

using admin::job_problem;

job_problem problem_of(const jobs::problem& problem) {
  job_problem out{.kind = job_problem::kind::failed, .text = problem.text};
  if (problem.kind == jobs::problem::kind::not_found) out.kind = job_problem::kind::not_found;
  if (problem.kind == jobs::problem::kind::refused) out.kind = job_problem::kind::refused;
  return out;
}

std::string_view word_of(jobs::ending why) {
  switch (why) {
    case jobs::ending::none:
      return "";
    case jobs::ending::closed:
      return "closed";
    case jobs::ending::expired:
      return "expired";
    case jobs::ending::locked_down:
      return "locked-down";
    case jobs::ending::state_damaged:
      break;
  }
  return "state-damaged";
}

std::vector<std::string> phases_at(const jobs::job& job, jobs::step at) {
  if (at >= job.plan().end()) return {};
  return job.plan().steps[at];
}

std::string step_text(const jobs::job& job, jobs::step at) {
  return at < job.plan().end() ? fmt::format("{}", fmt::join(job.plan().steps[at], "+")) : "the end";
}

bool takes_job_tokens(const config::identity_check& check) {
  return check.job_tokens || std::ranges::any_of(check.any_of, takes_job_tokens);
}

bool names_job(const config::identity_check& check) {
  return std::ranges::any_of(check.certificates,
                             [](const auto& claim) { return claim.pattern.contains("{job}"); }) ||
         std::ranges::any_of(check.any_of, names_job);
}

/// Whether a listener may put a connection into this phase of a job.
bool leads_to(const config::listener& listener, std::string_view phase) {
  const bool by_listener = std::ranges::any_of(
      listener.identity, [](const auto& c) { return c.kind == config::identity_check::source::listener; });
  return !by_listener || listener.phase == phase;
}

}  // namespace

served_jobs::shared_job served_jobs::find(std::string_view id) const {
  if (id.empty()) return book_.implicit();
  const auto open = book_.open_jobs();
  const auto found =
      std::ranges::find(open, id, [](const shared_job& job) { return std::string_view(job->id()); });
  return found == open.end() ? nullptr : *found;
}

std::optional<std::string> served_jobs::job_of_secret(std::string_view secret) const {
  if (book_.is_advance_secret("", secret)) return "";
  for (const auto& job : book_.open_jobs()) {
    if (book_.is_advance_secret(job->id(), secret)) return job->id();
  }
  return std::nullopt;
}

admin::job_state served_jobs::state_of(const jobs::job& job) {
  admin::job_state out{.id = job.id(), .ended = std::string(word_of(job.ended())), .phases = {}, .held = {}};
  const auto now = job.current();
  for (jobs::step at = 0; at < job.plan().end(); ++at) {
    for (const auto& phase : job.plan().steps[at])
      out.phases.push_back({.name = phase, .step = at, .sealed = at < now, .current = at == now});
  }
  return out;
}

std::expected<std::vector<admin::job_state>, job_problem> served_jobs::status(
    const std::optional<std::string>& job) {
  std::vector<shared_job> wanted;
  if (job) {
    wanted.push_back(find(*job));
    if (!wanted.back()) {
      return std::unexpected(job_problem{.kind = job_problem::kind::not_found,
                                         .text = job->empty() ? "No job is declared in exeat.yaml."
                                                              : fmt::format("There is no job {}.", *job)});
    }
  } else {
    if (book_.implicit()) wanted.push_back(book_.implicit());
    std::ranges::copy(book_.open_jobs(), std::back_inserter(wanted));
  }
  const auto traffic = server_->traffic();
  std::vector<admin::job_state> out;
  for (const auto& one : wanted) {
    out.push_back(state_of(*one));
    auto& state = out.back();
    if (const auto held = held_.find(one->id()); held != held_.end()) state.held = held->second;
    for (auto& phase : state.phases) {
      for (const auto& seen : traffic) {
        if (seen.job != one->id() || seen.phase != phase.name) continue;
        phase.tunnels += seen.tunnels;
        phase.bytes_up += seen.bytes_up;
        phase.bytes_down += seen.bytes_down;
      }
    }
  }
  return out;
}

std::expected<admin::advance_result, job_problem> served_jobs::advance(const admin::advance_request& order) {
  const auto job = find(order.job);
  const auto before = job ? job->current() : 0;
  const auto done = book_.advance(order.job, order.to);
  if (!done && done.error().kind != jobs::problem::kind::failed) {
    // Nothing new is sealed; but who gives no grace wants none that was given before, by whomever.
    if (job && order.grace.count() == 0 && !server_->enforce_seals(job, before, order.grace))
      log_.post(log::level::error, "seal-slow", not_enforced);
    return std::unexpected(problem_of(done.error()));
  }
  const bool enforced = server_->enforce_seals(job, before, order.grace);
  const auto after = job->current();
  if (after != before) {
    metrics_.count_phase_advance();
    log_.post(log::level::info, "phase-advanced",
              fmt::format("{}: {} is sealed, now in {}; by {}{}", name_of(order.job), step_text(*job, before),
                          step_text(*job, after), order.by,
                          order.grace.count() == 0
                              ? ""
                              : fmt::format("; what is left of it has {}", core::to_string(order.grace))));
  }
  publish();
  if (!done) {
    log_.post(log::level::error, "phase-not-kept", done.error().text);
    keep_trying();
    return std::unexpected(problem_of(done.error()));
  }
  if (!enforced) {
    log_.post(log::level::error, "seal-slow", not_enforced);
    return std::unexpected(problem_of({.kind = jobs::problem::kind::failed, .text = not_enforced}));
  }
  auto state = status(order.job);
  if (!state) return std::unexpected(std::move(state.error()));
  return admin::advance_result{.from = phases_at(*job, before), .job = std::move(state->front())};
}

std::vector<std::string> served_jobs::urls_of(std::string_view id, const jobs::issued_token& token) const {
  std::vector<std::string> out;
  for (const auto& listener : server_->listeners()) {
    const auto& configured = listener.configured;
    if (!std::holds_alternative<config::tcp_endpoint>(listener.bound)) continue;
    if (!std::ranges::any_of(configured.identity, takes_job_tokens) || !leads_to(configured, token.phase))
      continue;
    out.push_back(fmt::format("{}://{}:{}@{}", configured.tls ? "https" : "http", id, token.text,
                              config::to_string(listener.bound)));
  }
  return out;
}

std::expected<admin::open_result, job_problem> served_jobs::open_job(const admin::open_request& order) {
  const auto refuse = [](std::string text) {
    return std::unexpected(job_problem{.kind = job_problem::kind::refused, .text = std::move(text)});
  };
  auto plan = jobs::parse_plan(order.phases);
  if (!plan) return refuse(std::move(plan.error()));
  std::vector<std::string_view> names;
  for (const auto& phase : policy_->source().phases) names.push_back(phase.name);
  for (const auto& step : plan->steps) {
    for (const auto& phase : step) {
      if (policy_->find_phase(phase)) continue;
      const auto nearest = config::nearest_word(phase, names);
      return refuse(fmt::format("The policy has no phase {}{}.", phase,
                                nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest)));
    }
  }
  if (std::ranges::none_of(server_->listeners(), [](const auto& l) {
        return std::ranges::any_of(l.configured.identity,
                                   [](const auto& c) { return takes_job_tokens(c) || names_job(c); });
      })) {
    return refuse(
        "No listener can tell the jobs apart: give one `identity: [{credential: {jobs: true}}]`, or an "
        "`mtls` pattern with {job}.");
  }
  const auto opened = book_.open_job({.plan = std::move(*plan), .time_limit = order.time_limit});
  if (!opened) return std::unexpected(problem_of(opened.error()));
  adopt(opened->id);
  publish();
  log_.post(log::level::info, "job-opened",
            fmt::format("job {}: {}{}; by {}", opened->id, order.phases,
                        order.time_limit ? fmt::format(", for {}", core::to_string(*order.time_limit)) : "",
                        order.by));
  admin::open_result out{.id = opened->id, .phases = {}, .advance_secret = opened->advance_secret};
  for (const auto& token : opened->tokens)
    out.phases.push_back({.phase = token.phase, .token = token.text, .urls = urls_of(opened->id, token)});
  return out;
}

std::expected<void, job_problem> served_jobs::close_job(const admin::job_order& order) {
  const auto done = book_.close_job(order.job);
  if (!done && done.error().kind != jobs::problem::kind::failed)
    return std::unexpected(problem_of(done.error()));
  publish();
  log_.post(log::level::info, "job-closed", fmt::format("job {} is sealed; by {}", order.job, order.by));
  if (done) return {};
  log_.post(log::level::error, "job-not-kept", done.error().text);
  return std::unexpected(problem_of(done.error()));
}

std::expected<void, job_problem> served_jobs::new_job(const admin::job_order& order) {
  const auto done = book_.new_job();
  if (!done) return std::unexpected(problem_of(done.error()));
  const bool was_held = held_.contains("");
  adopt("");
  publish();
  log_.post(log::level::info, "job-new",
            fmt::format("{} begins anew: {}{}; by {}", name_of(""), book_.implicit()->plan().to_string(),
                        was_held ? ", under the policy that was held back" : "", order.by));
  return {};
}

void served_jobs::lock_down(const std::string& id, std::string_view why) {
  const auto job = find(id);
  if (!job || job->ended() != jobs::ending::none) return;
  const auto done = book_.lock_down(id);
  const bool enforced = server_->enforce_seals(job, 0, std::chrono::milliseconds{0});
  publish();
  if (!done) keep_trying();
  if (!enforced) log_.post(log::level::error, "seal-slow", not_enforced);
  log_.post(
      log::level::error, "job-locked-down",
      fmt::format("{} is sealed entirely: {}{}", name_of(id), why, done ? "" : "; " + done.error().text));
}

}  // namespace exeat::cli
