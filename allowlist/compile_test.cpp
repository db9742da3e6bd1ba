#include <doctest/doctest.h>

#include <set>
#include <string>

#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;

namespace {

std::vector<conflict> conflicts_of(policy_source source) {
  auto result = compile(std::move(source));
  return result ? std::vector<conflict>() : result.error();
}

bool says(const conflict& c, std::string_view text) {
  return c.text.find(text) != std::string::npos;
}

rule with_tls_any(rule r) {
  r.tls = tls_mode::any;
  return r;
}

}  // namespace

TEST_CASE("rule ids say phase, host and ports, and do not depend on the order") {
  policy_source source = source_with({allow("*.x.com"), allow("api.x.com", {{80, 80}, {443, 443}}),
                                      allow("10.0.0.0/8", {{1, 65535}}), with_apex(allow("*.x.com"))},
                                     {deny("**.webhook.site")});
  source.phases.push_back(phase_with("setup", {allow("*.x.com")}));
  source.phases.push_back(phase_with("deny", {allow("**.webhook.site", {{1, 65535}})}));
  policy_source turned = source;
  std::swap(turned.phases[0].allow[0], turned.phases[0].allow[3]);
  const auto ids = [](const policy& p) {
    std::set<std::string> out;
    for (const auto& phase : p.source().phases)
      for (const auto& rule : phase.allow) out.insert(rule.id);
    for (const auto& rule : p.source().deny) out.insert(rule.id);
    return out;
  };
  const auto a = compile(source).value();
  const auto b = compile(turned).value();
  CHECK(ids(a) == std::set<std::string>{"agent/*.x.com:443", "agent/*.x.com:443#2", "agent/api.x.com:80,443",
                                        "agent/10.0.0.0/8:any", "setup/*.x.com:443",
                                        "deny/**.webhook.site:any", "deny/**.webhook.site:any#2"});
  CHECK(ids(a) == ids(b));
  CHECK(a.source().phases[0].allow[0].id == "agent/*.x.com:443");
  CHECK(b.source().phases[0].allow[0].id == "agent/*.x.com:443#2");
  CHECK(a.source().deny[0].id == "deny/**.webhook.site:any");
  CHECK(a.rule_count() == 7);
}

TEST_CASE("rule ids are bounded, whatever the ports") {
  std::vector<port_range> odd, other;
  for (std::uint16_t p = 1; p < 4000; p += 2) odd.push_back({p, p});
  other = odd;
  other.back() = {9000, 9000};
  const auto p = policy_with({allow("x.com", odd), allow("x.com", other)});
  const auto& rules = p.source().phases[0].allow;
  CHECK(rules[0].id.size() < 80);
  CHECK(rules[0].id != rules[1].id);
}

TEST_CASE("phases are found by name") {
  policy_source source;
  source.phases = {phase_with("setup", {}), phase_with("agent", {})};
  const auto p = compile(source).value();
  CHECK(p.find_phase("agent") == phase_id{1});
  CHECK(p.phase_of(phase_id{0}).name == "setup");
  CHECK_FALSE(p.find_phase("mcp").has_value());
  CHECK_FALSE(p.find_phase("").has_value());
}

TEST_CASE("two phases of one name") {
  policy_source source;
  source.phases = {phase_with("agent", {}), phase_with("setup", {}), phase_with("agent", {})};
  source.phases[0].where = {"policy.yaml", 3, 3};
  source.phases[2].where = {"policy.yaml", 30, 3};
  const auto found = conflicts_of(source);
  REQUIRE(found.size() == 1);
  CHECK(found[0].where.line == 30);
  CHECK(says(found[0], "policy.yaml:3"));
}

TEST_CASE("a repetition is folded into the one that stands first") {
  const auto p = policy_with({at(allow("x.com"), 9), at(allow("x.com"), 4), at(allow("y.com"), 5)},
                             {deny("z.com"), deny("z.com")});
  CHECK(p.rule_count() == 3);
  CHECK(ask(p, to("x.com")).governing->where.line == 4);
}

TEST_CASE("443 implied and 443 written fold into the written one") {
  for (const bool written_first : {true, false}) {
    std::vector<rule> rules{allow("x.com"), allow("x.com", {{443, 443}})};
    if (written_first) std::swap(rules[0], rules[1]);
    const auto p = policy_with(rules);
    CHECK(p.rule_count() == 1);
    CHECK(ask(p, to("x.com"), exeat::core::scheme::http).verdict == verdict::allow);
  }
}

TEST_CASE("equally specific rules that differ are a conflict, told once, with both places") {
  for (const bool turned : {false, true}) {
    std::vector<rule> rules{at(allow("x.com"), 4), at(with_tls_any(allow("x.com")), 9)};
    if (turned) std::swap(rules[0], rules[1]);
    const auto found = conflicts_of(source_with(rules));
    REQUIRE(found.size() == 1);
    CHECK(found[0].where.line == 9);
    CHECK(says(found[0], "policy.yaml:4"));
    CHECK(says(found[0], "`tls`"));
    CHECK_FALSE(says(found[0], "`ech`"));
  }
}

TEST_CASE("every attribute counts") {
  const auto differs = [](auto change) {
    rule changed = allow("x.com");
    change(changed);
    return conflicts_of(source_with({allow("x.com"), changed})).size();
  };
  CHECK(differs([](rule&) {}) == 0);
  CHECK(differs([](rule& r) { r.tls = tls_mode::any; }) == 1);
  CHECK(differs([](rule& r) { r.ech = ech_mode::allow; }) == 1);
  CHECK(differs([](rule& r) { r = until(r, 2027, 1, 1); }) == 1);
  CHECK(differs([](rule& r) { r.reason = "why"; }) == 1);
  CHECK(differs([](rule& r) { r.owner = "who"; }) == 1);
  CHECK(differs([](rule& r) { r.ticket = "SEC-1"; }) == 1);
}

TEST_CASE("only rules that can match one request, and equally, contradict each other") {
  const auto count = [](rule a, rule b) {
    b.tls = tls_mode::any;
    return conflicts_of(source_with({std::move(a), std::move(b)})).size();
  };
  CHECK(count(allow("x.com", {{80, 80}, {443, 443}}), allow("x.com", {{22, 22}, {443, 443}})) == 1);
  CHECK(count(allow("x.com", {{80, 80}}), allow("x.com", {{22, 22}})) == 0);
  CHECK(count(allow("x.com", {{80, 90}}), allow("x.com", {{85, 85}})) == 0);  // the narrower governs
  CHECK(count(allow("*.x.com"), allow("**.x.com")) == 0);
  CHECK(count(allow("*.x.com"), allow("x.com")) == 0);
  CHECK(count(with_apex(allow("*.x.com")), allow("x.com")) == 1);
  CHECK(count(with_apex(allow("*.x.com")), with_apex(allow("**.x.com"))) == 1);  // both are the bare x.com
  CHECK(count(with_apex(allow("*.x.com")), allow("*.x.com")) == 1);
  CHECK(count(allow("10.0.0.0/8"), allow("10.0.0.0/16")) == 0);
  CHECK(count(allow("10.0.0.0/8"), allow("10.0.0.0/8")) == 1);
  policy_source apart = source_with({allow("x.com")});
  apart.phases.push_back(phase_with("setup", {with_tls_any(allow("x.com"))}));
  CHECK(conflicts_of(apart).empty());
}

TEST_CASE("many rules of one host are compared only where they can meet") {
  std::vector<rule> rules;
  for (std::uint16_t port = 1; port <= 20000; ++port) {
    rules.push_back(allow("x.com", {{port, port}}));
    rules.back().ticket = std::to_string(port);
  }
  CHECK(conflicts_of(source_with(rules)).empty());
}

TEST_CASE("conflicts come all at once, in the order of the file") {
  policy_source source = source_with({at(allow("x.com"), 4), at(with_tls_any(allow("x.com")), 9)});
  source.deny = {at(deny("y.com"), 20), at(with_tls_any(deny("y.com")), 21)};
  source.addresses.push_back({.prefix = exeat::core::cidr::parse("169.254.0.0/16").value(),
                              .hosts = {},
                              .literal = true,
                              .reason = {},
                              .where = {"policy.yaml", 1, 1}});
  const auto found = conflicts_of(source);
  REQUIRE(found.size() == 3);
  CHECK(found[0].where.line == 1);
  CHECK(found[1].where.line == 9);
  CHECK(found[2].where.line == 21);
}

TEST_CASE("no exception wider than one address covers cloud metadata") {
  const auto count = [](std::string_view prefix) {
    policy_source source;
    source.addresses.push_back({.prefix = exeat::core::cidr::parse(prefix).value(),
                                .hosts = {},
                                .literal = true,
                                .reason = {},
                                .where = {}});
    return conflicts_of(source).size();
  };
  for (const std::string_view prefix :
       {"169.254.0.0/16", "169.254.169.254/31", "0.0.0.0/0", "168.63.129.0/24", "100.64.0.0/10", "fd00::/8",
        "fd00:ec2::/32", "fe80::/10", "::ffff:0:0/96", "64:ff9b::/96", "::/0", "192.0.0.192/31"}) {
    CAPTURE(prefix);
    CHECK(count(prefix) == 1);
  }
  for (const std::string_view prefix :
       {"169.254.169.254/32", "10.0.0.0/8", "fd00:ec2::254/128", "192.168.0.0/16", "169.254.128.0/19",
        "fd12:3456::/32", "127.0.0.0/8"}) {
    CAPTURE(prefix);
    CHECK(count(prefix) == 0);
  }
}
