#include "admin/state.hpp"

#include <algorithm>
#include <string_view>

#include "admin/job_json.hpp"

namespace exeat::admin {
namespace {

std::string_view status_of(const health& health) {
  if (health.draining) return "draining";
  const auto& reload = health.policy.last_reload;
  const bool unwritten = health.review && !health.review->trouble.empty();
  return (reload && !reload->ok) || !health.job.trouble.empty() || unwritten ? "degraded" : "ok";
}

void write(json_writer& out, const policy_state& policy) {
  out.open('{');
  out.key("file").text(policy.file.empty() ? "(built-in)" : policy.file);
  out.key("digest").text(policy.digest);
  out.key("loaded_at").time(policy.loaded_at);
  out.key("rules").number(policy.rules);
  if (const auto& reload = policy.last_reload) {
    out.key("last_reload").open('{');
    out.key("ok").boolean(reload->ok);
    out.key("at").time(reload->at);
    out.key("errors").texts(reload->errors);
    out.close('}');
  }
  out.close('}');
}

void write(json_writer& out, const metrics::review_sample& review) {
  out.open('{');
  out.key("waiting").number(review.waiting);
  out.key("detail_lost").number(review.detail_lost);
  if (!review.trouble.empty()) out.key("trouble").text(review.trouble);
  out.close('}');
}

}  // namespace

std::string to_json(const health& health) {
  json_writer out;
  out.open('{');
  out.key("status").text(status_of(health));
  out.key("version").text(health.version);
  out.key("identity").text(health.identity);
  if (!health.identity_note.empty()) out.key("identity_note").text(health.identity_note);
  if (!health.sandbox.empty()) {
    out.key("sandbox").text(health.sandbox);
    out.key("sandbox_lacks").texts(health.sandbox_lacks);
  }
  write(out.key("policy"), health.policy);
  write(out.key("job"), health.job);
  if (health.review) write(out.key("review"), *health.review);
  out.key("listeners").open('[');
  for (const listener_state& listener : health.listeners) {
    out.open('{');
    out.key("address").text(listener.address);
    out.key("phase").text(listener.phase);
    out.key("identity").text(listener.identity);
    out.close('}');
  }
  out.close(']');
  if (!health.upstreams.empty()) {
    out.key("upstreams").open('[');
    for (const upstream_state& upstream : health.upstreams) {
      out.open('{');
      out.key("proxy").text(upstream.proxy);
      out.key("hosts").text(upstream.hosts);
      out.key("resolve").text(upstream.resolve);
      out.close('}');
    }
    out.close(']');
  }
  out.key("workers").number(health.workers);
  out.key("draining").boolean(health.draining);
  out.close('}');
  return std::move(out).take();
}

std::string to_json(const readiness& readiness) {
  json_writer out;
  out.open('{');
  out.key("ready").boolean(std::ranges::all_of(readiness.checks, &readiness::check::ok));
  out.key("checks").open('[');
  for (const readiness::check& check : readiness.checks) {
    out.open('{');
    out.key("name").text(check.name);
    out.key("ok").boolean(check.ok);
    if (!check.detail.empty()) out.key("detail").text(check.detail);
    out.close('}');
  }
  out.close(']');
  out.close('}');
  return std::move(out).take();
}

std::string to_json(const reload_result& result) {
  json_writer out;
  out.open('{');
  out.key("ok").boolean(result.ok);
  out.key("digest").text(result.digest);
  out.key("rules").number(result.rules);
  out.key("errors").texts(result.errors);
  out.key("held").open('[');
  for (const held_job& one : result.held) {
    out.open('{');
    out.key("job").text(one.job);
    out.key("findings").number(one.held.findings);
    out.key("first").text(one.held.first);
    out.close('}');
  }
  out.close(']');
  out.close('}');
  return std::move(out).take();
}

}  // namespace exeat::admin
