// What the admin thread asks of `serve`: carried out on the main thread.
#include <fmt/format.h>

#include <utility>

#include "cli/serve.hpp"
#include "metrics/exposition.hpp"

namespace exeat::cli {

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
