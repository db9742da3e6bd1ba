// The routes of jobs: from a body to an order, from its outcome to a reply.
#include <fmt/format.h>

#include <array>
#include <chrono>

#include "admin/json_body.hpp"
#include "admin/reply.hpp"
#include "core/safe_text.hpp"
#include "core/units.hpp"

namespace exeat::admin {
namespace {

using namespace std::chrono_literals;

constexpr auto longest_grace = 24h;
constexpr auto longest_grace_by_secret = 1min;
constexpr auto longest_job = 24h * 366;

reply refused(http::status status, std::string_view text) {
  reply out{.status = status};
  core::append_visible(out.body, text);
  out.body += '\n';
  return out;
}

reply reply_to(const job_problem& problem) {
  switch (problem.kind) {
    case job_problem::kind::not_found:
      return refused(http::status::not_found, problem.text);
    case job_problem::kind::refused:
      return refused(http::status::conflict, problem.text);
    case job_problem::kind::failed:
      break;
  }
  return refused(http::status::internal_server_error, problem.text);
}

template <typename Result>
reply reply_to(const std::expected<Result, job_problem>& result) {
  if (!result) return reply_to(result.error());
  if constexpr (std::is_void_v<Result>) {
    return {.type = json_type, .body = "{}\n"};
  } else {
    return {.type = json_type, .body = to_json(*result)};
  }
}

/// The job that is meant, or a denial: an advance secret is good for its own job alone, which need not be
/// named.
std::expected<std::string, reply> job_for(const route_call& call, const std::string* named) {
  if (call.access.is_operator) return named == nullptr ? std::string() : *named;
  const auto& own = *call.access.job;
  if (named == nullptr || *named == own) return own;
  auto out = refused(http::status::forbidden,
                     "This advance secret is another job's; it is good for that one alone.");
  out.denied = true;
  return std::unexpected(std::move(out));
}

std::expected<json_body, reply> body_of(const route_call& call, std::span<const std::string_view> known) {
  auto body = json_body::parse(call.request.body(), known);
  if (!body) return std::unexpected(refused(http::status::bad_request, body.error()));
  return std::move(*body);
}

/// `?job=ID`; null where it is not there.
std::expected<std::optional<std::string>, reply> job_in_target(std::string_view target) {
  const auto mark = target.find('?');
  if (mark == std::string_view::npos) return std::nullopt;
  const auto query = target.substr(mark + 1);
  constexpr std::string_view key = "job=";
  if (!query.starts_with(key) || query.find_first_of("&%+") != std::string_view::npos)
    return std::unexpected(refused(http::status::bad_request, "The query may be `job=ID` and nothing else."));
  return std::string(query.substr(key.size()));
}

}  // namespace

reply phase_advance(const route_call& call) {
  constexpr std::array<std::string_view, 3> known{"job", "to", "grace"};
  const auto body = body_of(call, known);
  if (!body) return body.error();
  auto job = job_for(call, body->find("job"));
  if (!job) return std::move(job.error());
  advance_request order{.job = std::move(*job), .by = call.access.by};
  if (const auto* to = body->find("to")) order.to = *to;
  if (const auto* grace = body->find("grace")) {
    const auto parsed = core::parse_duration(*grace);
    if (!parsed || *parsed > longest_grace)
      return refused(http::status::bad_request, "`grace` is a duration such as 5s, at most 24h.");
    // Who stole the secret would otherwise keep a tunnel of the past open for a day, with the operator's own
    // order finding nothing left to seal.
    if (!call.access.is_operator && *parsed > longest_grace_by_secret)
      return refused(http::status::forbidden, "With an advance secret `grace` is at most 1m.");
    order.grace = *parsed;
  }
  return reply_to(call.callbacks.advance(order));
}

reply phase_status(const route_call& call) {
  auto named = job_in_target(call.request.target());
  if (!named) return std::move(named.error());
  if (call.access.is_operator) return reply_to(call.callbacks.status(*named));
  const auto job = job_for(call, *named ? &**named : nullptr);
  if (!job) return job.error();
  return reply_to(call.callbacks.status(*job));
}

reply job_open(const route_call& call) {
  constexpr std::array<std::string_view, 2> known{"phases", "time_limit"};
  const auto body = body_of(call, known);
  if (!body) return body.error();
  const auto* phases = body->find("phases");
  if (phases == nullptr || phases->empty())
    return refused(http::status::bad_request,
                   "`phases` names the job's phases in their order, such as setup,agent+mcp.");
  open_request order{.phases = *phases, .time_limit = std::nullopt, .by = call.access.by};
  if (const auto* limit = body->find("time_limit")) {
    const auto parsed = core::parse_duration(*limit);
    if (!parsed || *parsed < 1s || *parsed > longest_job || *parsed % 1s != 0s)
      return refused(http::status::bad_request,
                     "`time_limit` is a duration in whole seconds such as 1h, at most 366d.");
    order.time_limit = std::chrono::duration_cast<std::chrono::seconds>(*parsed);
  }
  return reply_to(call.callbacks.open_job(order));
}

reply job_close(const route_call& call) {
  constexpr std::array<std::string_view, 1> known{"job"};
  const auto body = body_of(call, known);
  if (!body) return body.error();
  const auto* job = body->find("job");
  if (job == nullptr || job->empty()) {
    return refused(http::status::bad_request,
                   "`job` names the job to close; the one of exeat.yaml ends with POST /-/job/new.");
  }
  return reply_to(call.callbacks.close_job({.job = *job, .by = call.access.by}));
}

reply job_new(const route_call& call) {
  const auto body = body_of(call, {});
  if (!body) return body.error();
  return reply_to(call.callbacks.new_job({.job = {}, .by = call.access.by}));
}

}  // namespace exeat::admin
