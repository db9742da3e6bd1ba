#include "cli/policy_hold.hpp"

#include <doctest/doctest.h>

#include "cli/answer.hpp"

using namespace exeat;

namespace {

config::shared_policy policy(const std::string& rest) {
  auto parsed = config::parse_policy("version: 1\n" + rest, "p");
  REQUIRE_MESSAGE(parsed, config::to_string(parsed.error()));
  return *parsed;
}

config::shared_policy phases(const std::string& setup, const std::string& agent,
                             const std::string& mcp = "[]") {
  return policy("phases:\n  setup: {untrusted: false, allow: " + setup + "}\n  agent: {allow: " + agent +
                "}\n  mcp: {allow: " + mcp + "}\n");
}

std::optional<admin::held_state> widening(const config::shared_policy& before,
                                          const config::shared_policy& after, jobs::step sealed = 0) {
  jobs::job job("", jobs::plan{{{"setup"}, {"agent"}}});
  job.seal_before(sealed);
  return cli::policy_change(before, after, cli::current_time()).widening(job);
}

}  // namespace

TEST_CASE("what opens in an untrusted phase that is not sealed holds a policy back") {
  const auto before = phases("[]", "[{host: a.example}]");
  const auto held =
      widening(before, phases("[]", "[{host: a.example}, {host: b.example}, {host: c.example}]"));
  REQUIRE(held);
  CHECK(held->findings == 2);
  CHECK(held->first.starts_with("phase agent: b.example, port 443 (https)"));
  const auto by_terms = widening(before, phases("[]", "[{host: a.example, tls: any}]"));
  REQUIRE(by_terms);
  CHECK(by_terms->first.contains("tls"));
  // The phase that the job comes to counts as well as the one that it is in.
  CHECK(widening(before, phases("[]", "[{host: '*.a.example'}, {host: a.example}]"), 1));
}

TEST_CASE("what is narrower, trusted, sealed or in no phase of the job does not") {
  const auto before = phases("[]", "[{host: a.example}]");
  CHECK_FALSE(widening(before, before));
  CHECK_FALSE(widening(before, phases("[]", "[]")));
  CHECK_FALSE(widening(before, phases("[{host: b.example}]", "[{host: a.example, reason: other words}]")));
  CHECK_FALSE(widening(before, phases("[]", "[{host: a.example}]", "[{host: b.example}]")));
  CHECK_FALSE(widening(before, phases("[]", "[{host: a.example}, {host: b.example}]"), 2));
}

TEST_CASE("what holds for every phase counts for those that are untrusted") {
  const std::string agent = "phases: {setup: {untrusted: false}, agent: {allow: [{host: a.example}]}}\n";
  const auto before = policy(agent);
  const auto after =
      policy(agent + "addresses: [{cidr: 10.0.0.0/8, hosts: ['**.corp.example'], reason: r}]\n");
  const auto held = widening(before, after);
  REQUIRE(held);
  CHECK(held->findings == 1);
  CHECK(held->first.starts_with("every phase: excepted from the guard: 10.0.0.0/8"));
  CHECK_FALSE(widening(after, before));
  CHECK_FALSE(widening(before, after, 2));
}
