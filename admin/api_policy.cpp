// GET /v1/policy, its rules and what is weak in it, and the box that tries a destination.
#include <fmt/format.h>

#include <algorithm>

#include "admin/api.hpp"
#include "admin/json_writer.hpp"
#include "allowlist/explain.hpp"
#include "allowlist/host_risk.hpp"
#include "allowlist/lint.hpp"
#include "config/print_policy.hpp"
#include "core/units.hpp"

namespace exeat::admin {
namespace {

constexpr std::size_t most_findings = 500;

std::chrono::sys_days today() {
  return std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::string date_text(std::chrono::year_month_day date) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

void write_limits(json_writer& out, const allowlist::transfer_limits& limits) {
  out.open('{');
  if (limits.upload) out.key("upload").number(*limits.upload);
  if (limits.download) out.key("download").number(*limits.download);
  if (limits.requests) out.key("requests").number(*limits.requests);
  out.close('}');
}

const core::host_name* name_of(const allowlist::rule& rule) {
  const auto* pattern = std::get_if<allowlist::host_pattern>(&rule.what);
  return pattern == nullptr ? nullptr : &pattern->name;
}

struct placed_rule {
  const allowlist::rule* rule;
  std::string_view phase;  ///< empty: `deny`
};

bool mentions(const placed_rule& placed, const std::string& words) {
  const auto& rule = *placed.rule;
  for (const std::string_view text :
       {std::string_view(rule.id), std::string_view(rule.reason), std::string_view(rule.owner),
        std::string_view(rule.ticket), std::string_view(rule.bundle), std::string_view(rule.at)}) {
    if (lower(text).contains(words)) return true;
  }
  return false;
}

void write(json_writer& out, const placed_rule& placed, const activity& seen,
           const std::vector<metrics::budget_sample>& budgets) {
  const auto& rule = *placed.rule;
  out.open('{');
  out.key("id").text(rule.id);
  out.key("phase").text(placed.phase);
  out.key("what").text(allowlist::what_text(rule));
  if (const auto* name = name_of(rule)) {
    if (const auto unicode = allowlist::u_labels_of(*name); !unicode.empty())
      out.key("unicode").text(unicode);
    if (const auto risk = allowlist::risk_of(*name)) {
      out.key("risk").open('{');
      out.key("tags").text(allowlist::to_string(risk->risks));
      out.key("why").text(risk->why);
      out.close('}');
    }
  }
  out.key("ports").text(rule.ports.to_string());
  out.key("yaml").text(config::print_rule(rule, placed.phase.empty()));
  out.key("reason").text(rule.reason);
  out.key("owner").text(rule.owner);
  out.key("ticket").text(rule.ticket);
  out.key("bundle").text(rule.bundle);
  out.key("at").text(rule.at);
  out.key("final").boolean(rule.final);
  out.key("included").boolean(rule.included);
  if (rule.expires) {
    out.key("expires").text(date_text(*rule.expires));
    out.key("expired").boolean(std::chrono::sys_days(*rule.expires) < today());
  }
  const auto use = seen.of_rule(rule.id);
  out.key("hits").number(use.count);
  if (use.count > 0) out.key("last_hit").time(use.last);
  out.key("budgets").open('[');
  for (const auto& budget : budgets) {
    if (budget.rule != rule.id) continue;
    out.open('{');
    out.key("kind").text(budget.kind == metrics::budget_kind::upload     ? "upload"
                         : budget.kind == metrics::budget_kind::download ? "download"
                         : budget.kind == metrics::budget_kind::names    ? "names"
                                                                         : "requests");
    out.key("used").number(budget.used);
    out.key("limit").number(budget.limit);
    out.close('}');
  }
  out.close(']');
  out.close('}');
}

}  // namespace

reply policy_in_force(const api_call& call) {
  const auto policy = call.sources.policy();
  const auto& source = policy->source();
  const auto health = call.callbacks.health();
  json_writer out;
  out.open('{');
  out.key("file").text(source.file);
  out.key("digest").text(source.digest);
  out.key("loaded_at").time(health.policy.loaded_at);
  out.key("rules").number(policy->rule_count());
  out.key("phases").open('[');
  for (const auto& phase : source.phases) {
    out.open('{');
    out.key("name").text(phase.name);
    out.key("untrusted").boolean(phase.untrusted);
    out.key("audit").boolean(phase.mode == allowlist::phase_mode::audit);
    out.key("hints").text(allowlist::hints_of(phase) == allowlist::hint_level::full ? "full" : "code");
    out.key("ech").text(allowlist::ech_of(phase, nullptr) == allowlist::ech_mode::allow ? "allow" : "refuse");
    out.key("final").boolean(phase.final);
    out.key("rules").number(phase.allow.size());
    out.key("canaries").number(phase.canaries.size());
    write_limits(out.key("limits"), phase.limits);
    if (phase.time_limit) out.key("time_limit").text(core::to_string(*phase.time_limit));
    out.key("at").text(phase.where.to_string());
    out.close('}');
  }
  out.close(']');
  out.key("deny").number(source.deny.size());
  out.key("addresses").open('[');
  for (const auto& exception : source.addresses) {
    out.open('{');
    out.key("cidr").text(exception.prefix.to_string());
    std::vector<std::string> hosts;
    for (const auto& host : exception.hosts) hosts.push_back(host.to_string());
    out.key("hosts").texts(hosts);
    out.key("literal").boolean(exception.literal);
    out.key("reason").text(exception.reason);
    out.key("at").text(exception.where.to_string());
    out.close('}');
  }
  out.close(']');
  out.key("includes").open('[');
  for (const auto& one : source.includes) out.text(one.file);
  out.close(']');
  out.close('}');
  return {.type = json_type, .body = std::move(out).take()};
}

reply policy_rules(const api_call& call) {
  const auto offset = count_of(call, "offset", 0, 10'000'000, 0);
  if (!offset) return offset.error();
  const auto limit = count_of(call, "limit", 1, 500, 100);
  if (!limit) return limit.error();
  const auto policy = call.sources.policy();
  const auto& source = policy->source();
  const auto phase = call.parameter("phase");
  const auto words = lower(call.parameter("q"));
  const auto use = call.parameter("use");
  if (!use.empty() && use != "unused" && use != "used")
    return api_error(http::status::bad_request, "`use` is used or unused.");
  if (!phase.empty() && phase != "deny" && !policy->find_phase(phase))
    return api_error(http::status::not_found, "The policy has no such phase.");

  std::vector<placed_rule> found;
  const auto take = [&](const std::vector<allowlist::rule>& rules, std::string_view of) {
    for (const auto& rule : rules) {
      const placed_rule placed{&rule, of};
      if (!words.empty() && !mentions(placed, words)) continue;
      if (!use.empty() && (call.sources.activity->of_rule(rule.id).count > 0) != (use == "used")) continue;
      found.push_back(placed);
    }
  };
  if (phase.empty() || phase == "deny") take(source.deny, {});
  for (const auto& one : source.phases) {
    if (phase.empty() || phase == one.name) take(one.allow, one.name);
  }
  const auto budgets = call.sources.registry->budgets();
  json_writer out;
  out.open('{');
  out.key("total").number(found.size());
  out.key("offset").number(*offset);
  out.key("since").time(call.sources.activity->since());
  out.key("rules").open('[');
  for (std::size_t i = *offset; i < found.size() && i - *offset < *limit; ++i)
    write(out, found[i], *call.sources.activity, budgets);
  out.close(']');
  out.close('}');
  return {.type = json_type, .body = std::move(out).take()};
}

reply policy_findings(const api_call& call) {
  const auto policy = call.sources.policy();
  const auto findings = allowlist::lint(
      *policy, {.now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())});
  json_writer out;
  out.open('{');
  out.key("total").number(findings.size());
  out.key("findings").open('[');
  for (std::size_t i = 0; i < findings.size() && i < most_findings; ++i) {
    const auto& one = findings[i];
    out.open('{');
    out.key("code").text(one.check->code);
    out.key("severity").text(allowlist::to_string(one.check->severity));
    out.key("title").text(one.check->title);
    out.key("text").text(one.text);
    out.key("danger").text(one.check->danger);
    out.key("fix").text(one.check->fix);
    out.key("at").text(one.where.to_string());
    out.close('}');
  }
  out.close(']');
  out.close('}');
  return {.type = json_type, .body = std::move(out).take()};
}

reply try_it(const api_call& call) {
  const auto destination = call.parameter("destination");
  const auto method = call.parameter("method");
  if (destination.empty() || destination.size() > 2048)
    return api_error(http::status::bad_request, "`destination` is a URL or HOST:PORT.");
  const bool is_token = method.size() <= 32 && std::ranges::all_of(method, [](char c) {
                          return (c >= 'A' && c <= 'Z') || c == '-';
                        });
  if (!is_token) return api_error(http::status::bad_request, "`method` is a word in capital letters.");
  auto explained =
      call.sources.explain(std::string(destination), method.empty() ? "GET" : std::string(method));
  if (!explained) return api_error(http::status::unprocessable_entity, explained.error());
  return {.type = json_type, .body = std::move(*explained)};
}

}  // namespace exeat::admin
