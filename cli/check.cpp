// `exeat check`: the proxy's own answer, without a proxy.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "cli/answer.hpp"
#include "cli/commands.hpp"
#include "cli/markdown.hpp"
#include "core/safe_text.hpp"
#include "proxy/refusal.hpp"

namespace exeat::cli {
namespace {

void print_text(const std::string& phase, const std::string& url, const answer& answer) {
  fmt::print("{}: {} in phase {}: {}\n", words_for(answer.verdict), url, phase, core::code_of(answer.reason));
  if (answer.rule != nullptr) {
    const auto* near = answer.verdict == allowlist::verdict::allow ? "rule" : "nearest rule";
    fmt::print("  {}: {} ({})\n", answer.reason == core::reason::deny_rule ? "rule" : near, answer.rule->id,
               answer.rule->where.to_string());
    if (!answer.rule->reason.empty())
      fmt::print("  because: {}\n", config::printable(answer.rule->reason, 1000));
  }
  if (answer.verdict != allowlist::verdict::allow) {
    fmt::print("  the client {} told: {}\n", answer.verdict == allowlist::verdict::deny ? "is" : "would be",
               proxy::reason_phrase(allowlist::shown_to_client(answer.reason, answer.rule)));
    fmt::print("    {}\n", answer.told.message);
    for (const auto& line : answer.told.next) fmt::print("    {}\n", line);
  }
  if (!answer.hint.empty()) fmt::print("  to allow it: {}\n", answer.hint);
}

void print_json(const std::string& phase, const std::string& url, const answer& answer) {
  std::string out;
  append_member(out, "phase", phase);
  append_member(out, "url", url);
  append_member(out, "verdict", allowlist::to_string(answer.verdict));
  append_member(out, "reason", core::code_of(answer.reason));
  if (answer.rule != nullptr) {
    append_member(out, "rule", answer.rule->id);
    append_member(out, "rule_at", answer.rule->where.to_string());
  }
  if (answer.verdict != allowlist::verdict::allow) {
    append_member(out, "reason_phrase",
                  proxy::reason_phrase(allowlist::shown_to_client(answer.reason, answer.rule)));
    append_member(out, "message", answer.told.message);
    out += ",\"next\":[";
    for (bool first = true; const auto& line : answer.told.next) {
      if (!first) out += ',';
      core::append_json_string(out, line);
      first = false;
    }
    out += ']';
  }
  if (!answer.hint.empty()) append_member(out, "hint", answer.hint);
  fmt::print("{}}}\n", out);
}

void print_markdown(const std::string& phase, const std::string& url, const answer& answer) {
  const auto* rule = answer.rule;
  fmt::print("| {} | {} | {} | {} | {} | {} |\n", words_for(answer.verdict), code_span(url), code_span(phase),
             core::code_of(answer.reason), rule == nullptr ? "" : code_span(rule->id + " " + rule->at),
             code_span(answer.hint));
}

int fail(std::string_view message) {
  fmt::print(stderr, "exeat check: {}\n", message);
  return exit_error;
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
  const auto policy = load_chosen(options.policy);
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

  const auto now = current_time();
  int status = exit_ok;
  const auto print = options.format == "json"       ? print_json
                     : options.format == "markdown" ? print_markdown
                                                    : print_text;
  if (options.format == "markdown") {
    fmt::print(
        "| verdict | destination | phase | reason | rule | to allow it |\n|---|---|---|---|---|---|\n");
  }
  for (const auto& url : urls) {
    const auto wanted = config::parse_destination(url);
    if (!wanted) {
      fail(fmt::format("`{}`: {}", config::printable(url), wanted.error()));
      status = exit_error;
      continue;
    }
    for (const auto& phase : phases) {
      const auto answer = judge(**policy, *(*policy)->find_phase(phase), *wanted, now, options.method);
      print(phase, config::printable(url, 4096), answer);
      if (answer.verdict == allowlist::verdict::deny && status == exit_ok) status = exit_denied;
    }
  }
  return status;
}

}  // namespace exeat::cli
