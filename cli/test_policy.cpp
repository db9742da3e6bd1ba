// `exeat test`: a policy's own `tests:`, through the functions that the proxy asks.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/markdown.hpp"
#include "core/safe_text.hpp"

namespace exeat::cli {
namespace {

struct outcome {
  const allowlist::policy_test* test = nullptr;
  cli::answer answer;
  std::string failure;  // one sentence; empty where the test passes
};

std::string_view word_of(allowlist::expectation expected) {
  switch (expected) {
    case allowlist::expectation::allow:
      return "allow";
    case allowlist::expectation::would_deny:
      return "would_deny";
    case allowlist::expectation::deny:
      break;
  }
  return "deny";
}

// What keeps the answer from being the one that the test expects.
std::string failure_of(const allowlist::policy_test& test, const answer& answer) {
  const auto got = allowlist::to_string(answer.verdict);
  const auto expected = word_of(test.expect);
  if (got != expected) {
    auto text = fmt::format("expected {}, got {} ({})", expected, got, core::code_of(answer.reason));
    if (answer.verdict == allowlist::verdict::would_deny && test.expect == allowlist::expectation::deny)
      text += fmt::format(": phase {} is in audit and lets it through", test.phase);
    return text;
  }
  if (test.reason && *test.reason != answer.reason) {
    return fmt::format("expected the reason {}, got {}", core::code_of(*test.reason),
                       core::code_of(answer.reason));
  }
  if (!test.rule.empty() && (answer.rule == nullptr || answer.rule->id != test.rule)) {
    return fmt::format("expected the rule {}, got {}", config::printable(test.rule, 400),
                       answer.rule == nullptr ? std::string("none") : answer.rule->id);
  }
  return {};
}

std::vector<outcome> run_all(const allowlist::policy& policy) {
  const auto now = current_time();
  std::vector<outcome> out;
  for (const auto& test : policy.source().tests) {
    // The loader has refused tests of unknown phases.
    auto answer = judge(policy, policy.find_phase(test.phase).value(),
                        {.scheme = test.scheme, .to = test.to, .path = test.path}, now, test.method);
    auto failure = failure_of(test, answer);
    out.push_back({&test, std::move(answer), std::move(failure)});
  }
  return out;
}

std::string counted(std::size_t tests, std::size_t failed) {
  const auto all = fmt::format("{} test{}", tests, tests == 1 ? "" : "s");
  return failed == 0 ? all + ", all pass" : fmt::format("{}, {} failed", all, failed);
}

void print_text(const outcome& one) {
  fmt::print("{}  {} {}: {} ({})\n", one.failure.empty() ? "ok  " : "FAIL", one.test->phase,
             config::printable(one.test->url, 4096),
             one.failure.empty()
                 ? fmt::format("{}, {}", words_for(one.answer.verdict), core::code_of(one.answer.reason))
                 : one.failure,
             one.test->where.to_string());
  if (one.failure.empty()) return;
  if (one.answer.rule != nullptr)
    fmt::print("      rule: {} ({})\n", one.answer.rule->id, one.answer.rule->at);
  if (one.test->expect == allowlist::expectation::allow && !one.answer.hint.empty())
    fmt::print("      to allow it: {}\n", one.answer.hint);
}

void print_json(const outcome& one) {
  std::string out;
  append_member(out, "phase", one.test->phase);
  append_member(out, "url", one.test->url);
  append_member(out, "at", one.test->where.to_string());
  append_member(out, "expect", word_of(one.test->expect));
  append_member(out, "verdict", allowlist::to_string(one.answer.verdict));
  append_member(out, "reason", core::code_of(one.answer.reason));
  if (one.answer.rule != nullptr) {
    append_member(out, "rule", one.answer.rule->id);
    append_member(out, "rule_at", one.answer.rule->at);
  }
  append_json_member(out, "pass", one.failure.empty() ? "true" : "false");
  if (!one.failure.empty()) append_member(out, "failure", one.failure);
  fmt::print("{}}}\n", out);
}

void print_markdown(const std::vector<outcome>& all, std::size_t failed) {
  fmt::print("### exeat test: {}\n", counted(all.size(), failed));
  if (failed == 0) return;
  fmt::print("\n| phase | url | what is wrong | rule | test |\n|---|---|---|---|---|\n");
  for (const auto& one : all) {
    if (one.failure.empty()) continue;
    const auto* rule = one.answer.rule;
    fmt::print("| {} | {} | {} | {} | {} |\n", code_span(one.test->phase), code_span(one.test->url),
               code_span(one.failure), rule == nullptr ? "" : code_span(rule->id + " " + rule->at),
               code_span(one.test->where.to_string()));
  }
}

}  // namespace

int run_test(const test_options& options) {
  const auto policy = load_chosen(options.policy);
  if (!policy) {
    fmt::print(stderr, "{}", config::to_string(policy.error()));
    return exit_error;
  }
  if ((*policy)->source().tests.empty()) {
    fmt::print(stderr, "exeat test: {} has no `tests`\n", config::printable((*policy)->source().file, 4096));
    return options.require ? exit_error : exit_ok;
  }
  const auto all = run_all(**policy);
  std::size_t failed = 0;
  for (const auto& one : all) failed += one.failure.empty() ? 0 : 1;

  if (options.format == "markdown") {
    print_markdown(all, failed);
  } else if (options.format == "json") {
    for (const auto& one : all) print_json(one);
  } else {
    for (const auto& one : all) print_text(one);
    fmt::print("{}\n", counted(all.size(), failed));
  }
  return failed == 0 ? exit_ok : exit_denied;
}

}  // namespace exeat::cli
