// What the admin thread asks of `serve`: carried out on the main thread.
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

#include "cli/serve.hpp"
#include "log/format.hpp"
#include "metrics/exposition.hpp"

namespace exeat::cli {
namespace {

/// What a search of the live page looks at.
std::string words_of(const proxy::event& event) {
  std::string out;
  for (const std::string_view part :
       {event.host, std::string_view(core::code_of(event.reason)), event.rule, event.process, event.command,
        event.job, event.sni, std::string_view(event.id.view())}) {
    out.append(part.substr(0, 512)).append(1, '\n');
  }
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

}  // namespace

template <typename Result>
std::optional<Result> serve::on_main(std::function<Result()> work) {
  auto result = std::make_shared<std::optional<Result>>();
  const auto done = call_([result, work = std::move(work)] {
    *result = work();
    return true;
  });
  return done ? std::move(*result) : std::nullopt;
}

template <typename Result>
std::expected<Result, admin::job_problem> serve::order(
    std::function<std::expected<Result, admin::job_problem>()> work) {
  auto done = on_main<std::expected<Result, admin::job_problem>>(std::move(work));
  if (done) return std::move(*done);
  return std::unexpected(
      admin::job_problem{.kind = admin::job_problem::kind::failed, .text = "The process is stopping."});
}

admin::reload_result serve::reload_from_admin() {
  auto done = on_main<admin::reload_result>([this] { return reload("POST /-/reload"); });
  if (!done) return {.digest = {}, .errors = {"the process is stopping"}, .held = {}};
  return std::move(*done);
}

std::expected<void, std::string> serve::load_people() {
  const auto& file = options_.admin_tokens;
  if (file.empty()) return {};
  auto tokens = admin::load_tokens(file);
  if (!tokens) return std::unexpected(std::move(tokens.error()));
  people_.set_tokens(std::move(*tokens));
  return {};
}

void serve::dashboard_watch::see(const proxy::event& event) noexcept {
  if (next != nullptr) next->see(event);
  try {
    activity.see(event);
    const bool refused = log::is_refusal(event) || event.verdict == proxy::outcome::error;
    if (!feed.wants(refused)) return;
    admin::live_item item{
        .refused = refused, .phase = std::string(event.phase), .words = words_of(event), .line = {}};
    log::append_json(item.line, event);
    item.line.pop_back();
    feed.publish(std::move(item));
  } catch (const std::bad_alloc&) {  // this one is not shown
  }
}

void serve::dashboard_watch::lost(proxy::outcome verdict, core::reason reason, std::uint64_t count) noexcept {
  if (next != nullptr) next->lost(verdict, reason, count);
}

admin::api_sources serve::api_sources() {
  const auto policy = [this] {
    const std::scoped_lock lock(mutex_);
    return policy_;
  };
  return {
      .people = &people_,
      .registry = &metrics_,
      .activity = &seen_.activity,
      .feed = &seen_.feed,
      .history = &history_,
      .policy = policy,
      .explain = [policy](const std::string& destination,
                          const std::string& method) -> std::expected<std::string, std::string> {
        const auto wanted = config::parse_destination(destination, config::name_spelling::policy);
        if (!wanted) return std::unexpected(wanted.error());
        return explain_json(*policy(), *wanted, current_time(), method);
      },
      .note = [this](std::string_view code,
                     const std::string& text) { log_->post(log::level::info, code, text); },
  };
}

admin::callbacks serve::admin_callbacks() {
  using secret_holder = std::optional<std::string>;
  return {
      .metrics = [this] { return metrics::expose(metrics_); },
      .health = [this] { return health(); },
      .ready = [this] { return readiness(); },
      .reload = [this] { return reload_from_admin(); },
      .job_of_secret = [this](std::string_view secret) -> secret_holder {
        return on_main<secret_holder>([this, secret] { return jobs_->job_of_secret(secret); })
            .value_or(std::nullopt);
      },
      .status =
          [this](const std::optional<std::string>& job) {
            return order<std::vector<admin::job_state>>([this, job] { return jobs_->status(job); });
          },
      .advance =
          [this](const admin::advance_request& wanted) {
            return order<admin::advance_result>([this, wanted] { return jobs_->advance(wanted); });
          },
      .open_job =
          [this](const admin::open_request& wanted) {
            return order<admin::open_result>([this, wanted] { return jobs_->open_job(wanted); });
          },
      .close_job =
          [this](const admin::job_order& wanted) {
            return order<void>([this, wanted] { return jobs_->close_job(wanted); });
          },
      .new_job =
          [this](const admin::job_order& wanted) {
            return order<void>([this, wanted] { return jobs_->new_job(wanted); });
          },
      .denied =
          [this](const admin::denial& attempt) {
            metrics_.count_control_denied();
            log_->post(log::level::warning, "control-denied",
                       fmt::format("{} by {}: {}", attempt.what, attempt.who, attempt.why));
          },
  };
}

}  // namespace exeat::cli
