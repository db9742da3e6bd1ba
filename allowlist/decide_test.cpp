#include <doctest/doctest.h>

#include <string_view>

#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using exeat::core::reason;
using exeat::core::scheme;

namespace {
void check(const decision& d, verdict v, reason r, std::string_view rule) {
  CHECK(d.verdict == v);
  CHECK(exeat::core::code_of(d.reason) == exeat::core::code_of(r));
  CHECK(governing(d) == rule);
}
}  // namespace

TEST_CASE("an empty phase refuses everything") {
  const auto p = policy_with({});
  check(ask(p, to("x.com")), verdict::deny, reason::no_rule, "");
  check(ask(p, to("8.8.8.8")), verdict::deny, reason::ip_literal, "");
}

TEST_CASE("a request that names nothing, or a phase that is not there, is refused") {
  const auto p = policy_with({allow("x.com")});
  CHECK(decide(p, {.phase = phase_id{0}, .now = now}).verdict == verdict::deny);
  const auto x = to("x.com");
  CHECK(decide(p, {.phase = phase_id{1}, .to = &x, .now = now}).verdict == verdict::deny);
  CHECK(decide(p, {.phase = phase_id{65535}, .to = &x, .now = now}).verdict == verdict::deny);
}

TEST_CASE("phases do not see each other's rules") {
  policy_source source = source_with({allow("x.com")});
  source.phases.push_back(phase_with("mcp", {allow("y.com")}));
  const auto p = compile(source).value();
  CHECK(ask(p, to("x.com")).verdict == verdict::allow);
  CHECK(ask(p, to("y.com")).verdict == verdict::deny);
}

TEST_CASE("the most specific rule governs") {
  const auto p = policy_with({allow("**.x.com"), allow("*.x.com"), allow("a.x.com"), allow("**.b.x.com"),
                              allow("a.x.com", {{80, 80}, {443, 443}})});
  check(ask(p, to("a.x.com")), verdict::allow, reason::allowed, "agent/a.x.com:443");
  check(ask(p, to("a.x.com", 80)), verdict::allow, reason::allowed, "agent/a.x.com:80,443");
  check(ask(p, to("c.x.com")), verdict::allow, reason::allowed, "agent/*.x.com:443");
  check(ask(p, to("d.c.x.com")), verdict::allow, reason::allowed, "agent/**.x.com:443");
  check(ask(p, to("d.b.x.com")), verdict::allow, reason::allowed, "agent/**.b.x.com:443");
  check(ask(p, to("x.com")), verdict::deny, reason::no_rule, "");
}

TEST_CASE("a less specific rule admits where the more specific does not match") {
  const auto p = policy_with({allow("**.x.com", {{8443, 8443}}), allow("a.x.com"),
                              until(allow("b.x.com", {{8443, 8443}}), 2020, 1, 1)});
  check(ask(p, to("a.x.com", 8443)), verdict::allow, reason::allowed, "agent/**.x.com:8443");
  check(ask(p, to("b.x.com", 8443)), verdict::allow, reason::allowed, "agent/**.x.com:8443");
}

TEST_CASE("apex is an exact rule for the bare name") {
  const auto p = policy_with({with_apex(allow("**.x.com")), allow("**.com", {{1, 65535}})});
  check(ask(p, to("x.com")), verdict::allow, reason::allowed, "agent/**.x.com:443");
}

TEST_CASE("plain HTTP needs a port that was written down") {
  const auto p = policy_with({allow("x.com"), allow("y.com", {{80, 80}}), allow("z.com", {{1, 65535}})});
  check(ask(p, to("x.com", 80), scheme::http), verdict::deny, reason::port_not_allowed, "agent/x.com:443");
  check(ask(p, to("x.com", 443), scheme::http), verdict::deny, reason::scheme_not_allowed, "agent/x.com:443");
  check(ask(p, to("y.com", 80), scheme::http), verdict::allow, reason::allowed, "agent/y.com:80");
  check(ask(p, to("z.com", 443), scheme::http), verdict::allow, reason::allowed, "agent/z.com:any");
  check(ask(p, to("y.com", 443)), verdict::deny, reason::port_not_allowed, "agent/y.com:80");
}

TEST_CASE("a rule is valid to the end of its day, UTC") {
  const auto p = policy_with({until(allow("x.com"), 2026, 6, 15)});
  const auto at = [&](std::chrono::sys_seconds when) { return ask(p, to("x.com"), scheme::https, when); };
  CHECK(at(now).verdict == verdict::allow);
  CHECK(at(now + std::chrono::seconds(86399)).verdict == verdict::allow);
  check(at(now + std::chrono::days(1)), verdict::deny, reason::rule_expired, "agent/x.com:443");
}

TEST_CASE("a date that does not exist never matches") {
  CHECK(ask(policy_with({until(allow("x.com"), 2030, 2, 30)}), to("x.com")).verdict == verdict::deny);
}

TEST_CASE("the nearest miss is told: expired, then scheme, then port") {
  const auto p = policy_with({until(allow("**.x.com"), 2020, 1, 1), allow("a.x.com", {{8443, 8443}}),
                              allow("b.x.com", {{22, 22}}), allow("*.b.x.com", {{23, 23}})});
  check(ask(p, to("a.x.com")), verdict::deny, reason::rule_expired, "agent/**.x.com:443");
  check(ask(p, to("a.x.com", 80)), verdict::deny, reason::port_not_allowed, "agent/a.x.com:8443");
  check(ask(p, to("a.x.com"), scheme::http), verdict::deny, reason::scheme_not_allowed, "agent/**.x.com:443");
}

TEST_CASE("deny beats every allow, in every phase") {
  const auto p = policy_with(
      {allow("hook.x.com"), allow("y.com", {{1, 65535}}), allow("8.8.8.8/32")},
      {deny("**.x.com"), deny("y.com", {{22, 22}}), deny("8.8.8.0/24"), until(deny("z.com"), 2020, 1, 1)});
  check(ask(p, to("hook.x.com")), verdict::deny, reason::deny_rule, "deny/**.x.com:any");
  check(ask(p, to("x.com")), verdict::deny, reason::no_rule, "");
  check(ask(p, to("y.com", 22)), verdict::deny, reason::deny_rule, "deny/y.com:22");
  check(ask(p, to("y.com")), verdict::allow, reason::allowed, "agent/y.com:any");
  check(ask(p, to("8.8.8.8")), verdict::deny, reason::deny_rule, "deny/8.8.8.0/24:any");
  check(ask(p, to("z.com")), verdict::deny, reason::no_rule, "");
}

TEST_CASE("an address under deny is refused in every form that spells it") {
  const auto p = policy_with({allow("::/0"), allow("0.0.0.0/0")}, {deny("8.8.8.0/24")});
  for (const std::string_view text : {"8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
                                      "::8.8.8.8", "2600::5efe:808:808"}) {
    CAPTURE(text);
    check(ask(p, to(text)), verdict::deny, reason::deny_rule, "deny/8.8.8.0/24:any");
  }
  CHECK(ask(p, to("9.9.9.9")).verdict == verdict::allow);
}

TEST_CASE("a literal is matched by cidr rules alone, the longest prefix first") {
  const auto p =
      policy_with({allow("8.0.0.0/8"), allow("8.8.0.0/16", {{80, 80}}), allow("8.8.8.8/32", {{1, 65535}}),
                   allow("0.0.0.0/0", {{53, 53}}), allow("2600::/16"), allow("**.x.com")});
  check(ask(p, to("8.8.8.8")), verdict::allow, reason::allowed, "agent/8.8.8.8/32:any");
  check(ask(p, to("8.8.9.9")), verdict::allow, reason::allowed, "agent/8.0.0.0/8:443");
  check(ask(p, to("8.8.9.9", 80), scheme::http), verdict::allow, reason::allowed, "agent/8.8.0.0/16:80");
  check(ask(p, to("9.9.9.9", 53)), verdict::allow, reason::allowed, "agent/0.0.0.0/0:53");
  check(ask(p, to("9.9.9.9")), verdict::deny, reason::port_not_allowed, "agent/0.0.0.0/0:53");
  check(ask(p, to("2600:1::1")), verdict::allow, reason::allowed, "agent/2600::/16:443");
  check(ask(p, to("2700::1")), verdict::deny, reason::ip_literal, "");
  // An IPv4 prefix does not admit the IPv6 spelling of its addresses.
  check(ask(p, to("::ffff:8.8.8.8")), verdict::deny, reason::ip_literal, "");
}

TEST_CASE("audit turns every refusal of the policy into would_deny") {
  policy_source source = source_with({allow("x.com"), allow("hook.x.com")}, {deny("hook.x.com")});
  source.phases[0].mode = phase_mode::audit;
  const auto p = compile(source).value();
  check(ask(p, to("x.com")), verdict::allow, reason::allowed, "agent/x.com:443");
  check(ask(p, to("y.com")), verdict::would_deny, reason::no_rule, "");
  check(ask(p, to("x.com", 80)), verdict::would_deny, reason::port_not_allowed, "agent/x.com:443");
  check(ask(p, to("hook.x.com")), verdict::would_deny, reason::deny_rule, "deny/hook.x.com:any");
  check(ask(p, to("8.8.8.8")), verdict::would_deny, reason::ip_literal, "");
}

TEST_CASE("names of the greatest length and depth are decided") {
  std::string deep;
  for (int i = 0; i < 125; ++i) deep += "a.";
  const auto p = policy_with({allow("**.x.co")});
  CHECK(ask(p, to(deep.substr(0, 246) + "x.co")).verdict == verdict::allow);
  CHECK(ask(p, to(deep + "b.c")).verdict == verdict::deny);
  CHECK(ask(p, to(deep.substr(0, 252) + "c")).verdict == verdict::deny);
}

TEST_CASE("hints and ECH: what stands, or what follows from trust") {
  phase ph;
  rule r = allow("x.com");
  CHECK(hints_of(ph) == hint_level::code);
  CHECK(ech_of(ph, nullptr) == ech_mode::refuse);
  ph.untrusted = false;
  CHECK(hints_of(ph) == hint_level::full);
  CHECK(ech_of(ph, &r) == ech_mode::allow);
  ph.hints = hint_level::code;
  ph.ech = ech_mode::refuse;
  CHECK(hints_of(ph) == hint_level::code);
  CHECK(ech_of(ph, &r) == ech_mode::refuse);
  r.ech = ech_mode::allow;
  CHECK(ech_of(ph, &r) == ech_mode::allow);
}
