// `exeat check`: the proxy's own answer, without a proxy.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "allowlist/address_guard.hpp"
#include "allowlist/explanation.hpp"
#include "cli/commands.hpp"
#include "cli/destination.hpp"
#include "core/safe_text.hpp"
#include "proxy/refusal.hpp"

namespace exeat::cli {
namespace {

struct answer {
  allowlist::verdict verdict = allowlist::verdict::deny;
  core::reason reason = core::reason::no_rule;
  const allowlist::rule* rule = nullptr;
  allowlist::explanation told;  // to the client; empty where it is let through
  std::string hint;             // what to add to the policy; may be empty
};

// A literal is its own address, so the guard needs no look-up. Names are not looked up here.
answer judge(const allowlist::policy& policy, allowlist::phase_id phase, const wanted& wanted) {
  const allowlist::request request{
      .phase = phase,
      .scheme = wanted.scheme,
      .to = &wanted.to,
      .now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
  const auto decision = allowlist::decide(policy, request);
  answer out{.verdict = decision.verdict, .reason = decision.reason, .rule = decision.governing};
  std::optional<allowlist::guard_refusal> guarded;
  if (const auto* literal = std::get_if<core::ip_address>(&wanted.to.host);
      literal != nullptr && decision.verdict != allowlist::verdict::deny) {
    guarded = allowlist::guard(policy, wanted.to, {literal, 1});
    if (guarded) {
      out.verdict = allowlist::verdict::deny;
      out.reason = guarded->reason;
    }
  }
  if (out.verdict == allowlist::verdict::allow) return out;
  const allowlist::refused refused{.policy = &policy,
                                   .phase = phase,
                                   .scheme = wanted.scheme,
                                   .to = &wanted.to,
                                   .reason = out.reason,
                                   .governing = out.rule,
                                   .guard = guarded ? &*guarded : nullptr,
                                   .decision = "<id>"};
  out.told = allowlist::explain_to_client(refused);
  // With full hints the client has been told the same.
  if (allowlist::hints_of(policy.phase_of(phase)) == allowlist::hint_level::code) {
    out.hint = allowlist::hint_for_log(refused);
  }
  return out;
}

void print_text(const std::string& phase, const std::string& url, const answer& answer) {
  const auto verdict = answer.verdict == allowlist::verdict::would_deny
                           ? std::string("would be denied (audit)")
                       : answer.verdict == allowlist::verdict::allow ? "allowed"
                                                                     : "denied";
  fmt::print("{}: {} in phase {}: {}\n", verdict, url, phase, core::code_of(answer.reason));
  if (answer.rule != nullptr) {
    const auto* near = answer.verdict == allowlist::verdict::allow ? "rule" : "nearest rule";
    fmt::print("  {}: {} ({})\n", answer.reason == core::reason::deny_rule ? "rule" : near, answer.rule->id,
               answer.rule->where.to_string());
    if (!answer.rule->reason.empty())
      fmt::print("  because: {}\n", config::printable(answer.rule->reason, 1000));
  }
  if (answer.verdict != allowlist::verdict::allow) {
    fmt::print("  the client {} told: {}\n", answer.verdict == allowlist::verdict::deny ? "is" : "would be",
               proxy::reason_phrase(answer.reason));
    fmt::print("    {}\n", answer.told.message);
    for (const auto& line : answer.told.next) fmt::print("    {}\n", line);
  }
  if (!answer.hint.empty()) fmt::print("  to allow it: {}\n", answer.hint);
}

// One member behind another; `name` is a literal of ours.
void member(std::string& out, std::string_view name, std::string_view text) {
  out += out.empty() ? "{\"" : ",\"";
  out += name;
  out += "\":";
  core::append_json_string(out, text);
}

void print_json(const std::string& phase, const std::string& url, const answer& answer) {
  std::string out;
  member(out, "phase", phase);
  member(out, "url", url);
  member(out, "verdict", allowlist::to_string(answer.verdict));
  member(out, "reason", core::code_of(answer.reason));
  if (answer.rule != nullptr) {
    member(out, "rule", answer.rule->id);
    member(out, "rule_at", answer.rule->where.to_string());
  }
  if (answer.verdict != allowlist::verdict::allow) {
    member(out, "reason_phrase", proxy::reason_phrase(answer.reason));
    member(out, "message", answer.told.message);
    out += ",\"next\":[";
    for (bool first = true; const auto& line : answer.told.next) {
      if (!first) out += ',';
      core::append_json_string(out, line);
      first = false;
    }
    out += ']';
  }
  if (!answer.hint.empty()) member(out, "hint", answer.hint);
  fmt::print("{}}}\n", out);
}

int fail(std::string_view message) {
  fmt::print(stderr, "exeat check: {}\n", message);
  return exit_error;
}

std::expected<config::shared_policy, config::errors> policy_for(const check_options& options) {
  if (options.policy.empty() && options.config_file.empty()) return config::builtin_policy();
  if (options.config_file.empty()) {
    return config::load_policy_file(options.policy, {.insecure = options.insecure_policy_file});
  }
  const auto settings = config::load_settings(
      options.config_file, {.policy = options.policy, .insecure_policy_file = options.insecure_policy_file});
  if (!settings) return std::unexpected(settings.error());
  return config::load_policy(*settings);
}

// The arguments, with "-" replaced by the lines of standard input; blank lines and comments left out.
std::vector<std::string> urls_of(const check_options& options) {
  std::vector<std::string> out;
  for (const auto& url : options.urls) {
    if (url != "-") {
      out.push_back(url);
      continue;
    }
    for (std::string line; std::getline(std::cin, line);) {
      const auto first = line.find_first_not_of(" \t\r");
      if (first == std::string::npos || line[first] == '#') continue;
      out.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
    }
  }
  return out;
}

}  // namespace

int run_check(const check_options& options) {
  const auto policy = policy_for(options);
  if (!policy) {
    fmt::print(stderr, "{}", config::to_string(policy.error()));
    return exit_error;
  }
  std::vector<std::string> phases = options.phases;
  std::vector<std::string_view> names;
  for (const auto& phase : (*policy)->source().phases) names.push_back(phase.name);
  if (phases.empty()) phases.assign(names.begin(), names.end());
  for (const auto& phase : phases) {
    if ((*policy)->find_phase(phase)) continue;
    const auto nearest = config::nearest_word(phase, names);
    return fail(fmt::format(
        "{} has no phase `{}`{}; it has {}", (*policy)->source().file, config::printable(phase),
        nearest.empty() ? "" : fmt::format(" (did you mean `{}`?)", nearest), fmt::join(names, ", ")));
  }
  const auto urls = urls_of(options);
  if (urls.empty()) return fail("nothing to check: give a URL, HOST:PORT, or - for a list on standard input");

  int status = exit_ok;
  for (const auto& url : urls) {
    const auto wanted = parse_destination(url);
    if (!wanted) {
      fail(fmt::format("`{}`: {}", config::printable(url), wanted.error()));
      status = exit_error;
      continue;
    }
    for (const auto& phase : phases) {
      const auto answer = judge(**policy, *(*policy)->find_phase(phase), *wanted);
      (options.json ? print_json : print_text)(phase, config::printable(url, 4096), answer);
      if (answer.verdict == allowlist::verdict::deny && status == exit_ok) status = exit_denied;
    }
  }
  return status;
}

}  // namespace exeat::cli
