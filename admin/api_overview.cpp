// GET /v1/overview and /v1/jobs: how it goes, in numbers.
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "admin/api.hpp"
#include "admin/job_json.hpp"
#include "admin/json_writer.hpp"

namespace exeat::admin {
namespace {

constexpr std::array<std::string_view, metrics::verdict_count> verdict_words{"allow", "deny", "would_deny",
                                                                             "error"};

void write(json_writer& out, const totals& counted) {
  for (std::size_t i = 0; i < metrics::verdict_count; ++i)
    out.key(verdict_words[i]).number(counted.decisions[i]);
  out.key("bytes_up").number(counted.bytes_up);
  out.key("bytes_down").number(counted.bytes_down);
  out.key("tunnels").number(counted.tunnels);
  out.key("connections").number(counted.connections);
}

void write_log(json_writer& out, const metrics::log_counters& log) {
  out.open('[');
  for (std::size_t i = 0; i < metrics::log_sink_count; ++i) {
    const auto written = log.written[i].value();
    const auto dropped = log.dropped[i].value();
    const auto errors = log.errors[i].value();
    if (written + dropped + errors == 0) continue;
    out.open('{');
    out.key("sink").text(metrics::name_of(static_cast<metrics::log_sink>(i)));
    out.key("written").number(written);
    out.key("dropped").number(dropped);
    out.key("errors").number(errors);
    out.close('}');
  }
  out.close(']');
}

void write_history(json_writer& out, const history& past) {
  out.open('{');
  out.key("interval_seconds").number(static_cast<std::uint64_t>(history::interval.count()));
  out.key("samples").open('[');
  for (const auto& [at, counted] : past.samples()) {
    out.open('{');
    out.key("at").number(static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count()));
    write(out, counted);
    out.close('}');
  }
  out.close(']');
  out.close('}');
}

std::string_view word_of(metrics::budget_kind kind) {
  switch (kind) {
    case metrics::budget_kind::upload:
      return "upload";
    case metrics::budget_kind::download:
      return "download";
    case metrics::budget_kind::names:
      return "names";
    case metrics::budget_kind::requests:
      return "requests";
    case metrics::budget_kind::time:
      break;
  }
  return "time";
}

}  // namespace

reply overview(const api_call& call) {
  std::vector<decision_count> reasons;
  const auto& registry = *call.sources.registry;
  const auto now = totals_of(registry, &reasons);
  std::ranges::sort(reasons, [](const auto& a, const auto& b) {
    return std::tie(b.count, a.phase, a.reason, a.verdict) < std::tie(a.count, b.phase, b.reason, b.verdict);
  });
  auto health = call.callbacks.health();
  std::string health_json = to_json(health);
  health_json.pop_back();
  json_writer out;
  out.open('{');
  out.key("time").time(std::chrono::system_clock::now());
  out.key("since").time(call.sources.activity->since());
  out.key("health").raw(health_json);
  out.key("totals").open('{');
  write(out, now);
  out.close('}');
  out.key("reasons").open('[');
  for (const auto& one : reasons) {
    out.open('{');
    out.key("phase").text(one.phase);
    out.key("verdict").text(verdict_words[static_cast<std::size_t>(one.verdict)]);
    out.key("reason").text(core::code_of(one.reason));
    out.key("text").text(core::row_of(one.reason).doc);
    out.key("count").number(one.count);
    out.close('}');
  }
  out.close(']');
  write_log(out.key("log"), registry.log());
  out.key("reloads").open('{');
  out.key("good").number(registry.reloads(true));
  out.key("failed").number(registry.reloads(false));
  out.close('}');
  out.key("control_denied").number(registry.control_denied());
  write_history(out.key("history"), *call.sources.history);
  out.close('}');
  return {.type = json_type, .body = std::move(out).take()};
}

reply jobs_now(const api_call& call) {
  const auto jobs = call.callbacks.status(std::nullopt);
  if (!jobs) return api_error(http::status::internal_server_error, jobs.error().text);
  json_writer out;
  out.open('{');
  out.key("time").time(std::chrono::system_clock::now());
  out.key("jobs").open('[');
  for (const auto& job : *jobs) admin::write(out, job, true);
  out.close(']');
  out.key("activity").open('[');
  for (const auto& use : call.sources.activity->phases()) {
    out.open('{');
    out.key("job").text(use.job);
    out.key("phase").text(use.phase);
    out.key("first").time(use.first);
    out.key("last").time(use.last);
    out.key("allow").number(use.allowed);
    out.key("deny").number(use.denied);
    out.key("would_deny").number(use.would_deny);
    out.key("error").number(use.failed);
    out.key("canaries").number(use.canaries);
    out.close('}');
  }
  out.close(']');
  out.key("budgets").open('[');
  for (const auto& budget : call.sources.registry->budgets()) {
    out.open('{');
    out.key("kind").text(word_of(budget.kind));
    out.key("phase").text(budget.phase);
    out.key("rule").text(budget.rule);
    out.key("used").number(budget.used);
    out.key("limit").number(budget.limit);
    out.close('}');
  }
  out.close(']');
  out.close('}');
  return {.type = json_type, .body = std::move(out).take()};
}

}  // namespace exeat::admin
