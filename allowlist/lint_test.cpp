#include "allowlist/lint.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;

namespace {

// "code line", in the order of the file, of all checks but the chatty ones.
using found = std::vector<std::string>;

found codes(policy_source source, const lint_options& options = {.now = now}) {
  found out;
  const auto p = compile(std::move(source)).value();
  for (const auto& one : lint(p, options)) {
    CHECK_FALSE(one.text.empty());
    if (one.check->code != "no-reason" && one.check->code != "no-tests" && one.check->code != "wide-wildcard")
      out.push_back(std::string(one.check->code) + " " + std::to_string(one.where.line));
  }
  return out;
}

// One untrusted phase.
found of(std::vector<rule> rules, std::vector<rule> denied = {}) {
  return codes(source_with(std::move(rules), std::move(denied)));
}

found of_trusted(std::vector<rule> rules) {
  auto source = source_with(std::move(rules));
  source.phases[0].untrusted = false;
  return codes(std::move(source));
}

rule with_terms(rule r, rule_terms terms) {
  r.terms = std::make_shared<const rule_terms>(std::move(terms));
  return r;
}

rule with_tls_any(rule r) {
  r.tls = tls_mode::any;
  return r;
}

std::optional<std::uint64_t> upload_limit_of(const rule& r) {
  return r.terms ? r.terms->limits.upload : std::nullopt;
}

}  // namespace

TEST_CASE("rules that deny shadows") {
  CHECK(of({at(allow("a.x.com"), 4)}, {deny("**.x.com")}) == found{"never-matches 4"});
  CHECK(of({at(allow("*.x.com"), 4)}, {deny("*.x.com")}) == found{"never-matches 4"});
  CHECK(of({at(allow("*.a.x.com"), 4)}, {deny("**.x.com")}) == found{"never-matches 4"});
  CHECK(of({at(allow("*.a.x.com"), 4)}, {deny("*.x.com")}).size() == 1);  // the deny is idle
  CHECK(of({at(allow("**.x.com"), 4)}, {deny("*.x.com")}).empty());
  CHECK(of({at(with_apex(allow("*.x.com")), 4)}, {deny("*.x.com")}).empty());
  CHECK(of({at(with_apex(allow("*.x.com")), 4)}, {with_apex(deny("**.x.com"))}) == found{"never-matches 4"});
  CHECK(of({at(with_apex(allow("*.x.com")), 4)}, {deny("**.x.com"), deny("x.com")}) ==
        found{"never-matches 4"});
  // Ports: one deny or several together.
  CHECK(of({at(allow("x.com", {{8000, 8001}}), 4)}, {deny("x.com", {{8000, 8000}})}).empty());
  CHECK(of({at(allow("x.com", {{8000, 8001}}), 4)},
           {deny("x.com", {{8000, 8000}}), deny("x.com", {{8001, 8001}})}) == found{"never-matches 4"});
  CHECK(of({at(allow("192.0.2.0/28"), 4)}, {deny("192.0.2.0/24")}) == found{"never-matches 4"});
  CHECK(of({at(allow("192.0.2.0/24"), 4)}, {deny("192.0.2.0/28")}).empty());
}

TEST_CASE("rules that a wider one covers") {
  CHECK(of({at(allow("a.x.com"), 4), at(allow("**.x.com"), 5)}) == found{"redundant 4"});
  CHECK(of({at(allow("x.com"), 4), at(with_apex(allow("*.x.com")), 5)}) == found{"duplicate 4"});
  CHECK(of({at(allow("x.com"), 4), at(allow("**.x.com"), 5)}).empty());
  CHECK(of({at(allow("a.b.x.com"), 4), at(allow("*.x.com"), 5)}).empty());
  CHECK(of({at(allow("x.com"), 4), at(allow("x.com", {{443, 444}}), 5)}) == found{"redundant 4"});
  CHECK(of({at(allow("x.com", {{22, 22}}), 4), at(allow("**.x.com"), 5)}).empty());
  CHECK(of({at(allow("192.0.2.7/32"), 4), at(allow("192.0.2.0/24"), 5)}) == found{"redundant 4"});
  // 443 written lets plain HTTP through that 443 implied does not.
  CHECK(of({at(allow("a.x.com", {{443, 443}}), 4), at(allow("**.x.com"), 5)}).empty());
  CHECK(of({at(allow("a.x.com"), 4), at(allow("**.x.com", {{443, 443}}), 5)}) == found{"redundant 4"});
  // Other terms, or a rule of other terms that would take over.
  CHECK(of_trusted({at(allow("a.x.com"), 4), at(with_tls_any(allow("**.x.com")), 5)}).empty());
  CHECK(of_trusted({at(allow("a.x.com"), 4), at(with_tls_any(allow("*.x.com")), 5), at(allow("**.x.com"), 6)})
            .empty());
  CHECK(
      of_trusted({at(allow("a.x.com"), 4), at(with_terms(allow("**.x.com"), {.max_names = 3}), 5)}).empty());
  CHECK(of_trusted({at(with_terms(allow("a.x.com"), {.limits = {.upload = 9}}), 4), at(allow("**.x.com"), 5)})
            .empty());
  CHECK(of_trusted({at(with_terms(allow("a.x.com"), {.limits = {.upload = 9}}), 4),
                    at(with_terms(allow("**.x.com"), {.limits = {.upload = 9}}), 5)}) ==
        found{"redundant 4"});
  // Expiry: a rule that goes away earlier covers nothing.
  CHECK(of({at(allow("a.x.com"), 4), at(until(allow("**.x.com"), 2028, 1, 1), 5)}).empty());
  CHECK(of({at(until(allow("a.x.com"), 2027, 1, 1), 4), at(until(allow("**.x.com"), 2028, 1, 1), 5)}) ==
        found{"redundant 4"});
  CHECK(of({at(allow("a.x.com"), 4), at(until(allow("**.x.com"), 2020, 1, 1), 5)}) == found{"expired 5"});
}

TEST_CASE("repetitions that compile folds are still seen") {
  CHECK(of({at(allow("x.com"), 4), at(allow("x.com"), 9)}) == found{"duplicate 9"});
  CHECK(of({at(allow("x.com"), 4)}, {at(deny("**.x.com"), 7), at(deny("**.x.com"), 8)}) ==
        found{"idle-deny 7", "duplicate 8"});
}

TEST_CASE("expired, and about to") {
  const auto rules = [] {
    return source_with({at(until(allow("a.com"), 2026, 6, 14), 4), at(until(allow("b.com"), 2026, 6, 15), 5),
                        at(until(allow("c.com"), 2026, 7, 14), 6),
                        at(until(allow("d.com"), 2026, 7, 15), 7)});
  };
  CHECK(codes(rules()) == found{"expired 4", "expires-soon 5", "expires-soon 6"});
  CHECK(codes(rules(), {.now = now, .expires_within = std::chrono::days(1)}) ==
        found{"expired 4", "expires-soon 5"});
  CHECK(codes(rules(), {.now = now, .expires_within = std::chrono::days(0)}) == found{"expired 4"});
}

TEST_CASE("reasons, owners and tests that are missing") {
  auto explained = allow("a.com");
  explained.reason = "why";
  explained.owner = "who";
  auto source = source_with({at(explained, 4), at(allow("b.com"), 5)}, {deny("b.com", {{25, 25}})});
  source.addresses.push_back({.prefix = exeat::core::cidr::parse("10.0.0.1").value(),
                              .hosts = {host_pattern::parse("b.com").value()},
                              .literal = false,
                              .reason = {},
                              .where = {"policy.yaml", 9, 5}});
  const auto all = [&](bool owners, policy_source s) {
    std::multiset<std::string> out;
    const auto p = compile(std::move(s)).value();
    for (const auto& one : lint(p, {.now = now, .require_owner = owners}))
      out.insert(std::string(one.check->code) + " " + std::to_string(one.where.line));
    return out;
  };
  using multi = std::multiset<std::string>;
  CHECK(all(false, source) == multi{"no-reason 5", "no-reason 9", "no-tests 1"});
  const auto p = compile(source).value();
  CHECK(lint(p, {.now = now, .require_reason = false}).size() == 1);  // no-tests
  source.tests.push_back(
      {.phase = "agent", .url = {}, .to = to("a.com"), .rule = {}, .reason = {}, .where = {}});
  CHECK(all(true, source) == multi{"no-owner 5", "no-reason 5", "no-reason 9"});
}

TEST_CASE("what an untrusted phase should not have, and a trusted one may") {
  CHECK(of({at(with_tls_any(allow("a.com", {{22, 22}})), 4)}) == found{"tls-any 4"});
  CHECK(of_trusted({at(with_tls_any(allow("a.com", {{22, 22}})), 4)}).empty());
  CHECK(of({at(allow("a.com", {{80, 80}, {443, 443}}), 4)}) == found{"plain-http 4"});
  CHECK(of({at(allow("a.com", {{80, 80}}), 4)}).empty());
  CHECK(of({at(allow("a.com", {{80, 80}}), 4), at(allow("*.com.a.com"), 5)}).empty());
  CHECK(of({at(allow("a.com", {{80, 80}}), 4), at(allow("a.com"), 5)}) == found{"plain-http 4"});
  CHECK(of_trusted({at(allow("a.com", {{80, 80}, {443, 443}}), 4)}).empty());
  // What is for plain HTTP only opens nothing for https.
  CHECK(of({at(with_terms(allow("a.com", {{80, 80}, {443, 443}}), {.methods = {"GET"}}), 4)}).empty());
  CHECK(of({at(with_terms(allow("a.com", {{80, 80}}), {.paths = {"/a"}}), 4), at(allow("*.a.com"), 5),
            at(allow("a.com"), 6)}) == found{"plain-http 4"});
  CHECK(of({at(allow("a.com", {{1, 65535}}), 4)}) == found{"any-port 4"});
  CHECK(of_trusted({at(allow("a.com", {{1, 65535}}), 4)}) == found{"any-port 4"});
}

TEST_CASE("audit, and address exceptions that are too wide") {
  auto source = source_with({allow("a.com")});
  source.phases[0].mode = phase_mode::audit;
  source.phases[0].where = {"policy.yaml", 3, 3};
  int line = 10;
  for (const auto* prefix : {"10.0.0.0/24", "10.0.0.0/23", "fd00::/64", "fd00::/63"}) {
    source.addresses.push_back({.prefix = exeat::core::cidr::parse(prefix).value(),
                                .hosts = {host_pattern::parse("a.com").value()},
                                .literal = false,
                                .reason = "why",
                                .where = {"policy.yaml", line++, 5}});
  }
  CHECK(codes(std::move(source)) == found{"audit-mode 3", "wide-exception 11", "wide-exception 13"});
}

TEST_CASE("an untrusted phase that is wider than a trusted one") {
  const auto with = [](std::vector<rule> setup, std::vector<rule> agent) {
    policy_source source;
    source.phases = {phase_with("setup", std::move(setup)), phase_with("agent", std::move(agent))};
    source.phases[0].untrusted = false;
    source.phases[1].where = {"policy.yaml", 20, 3};
    return codes(std::move(source));
  };
  CHECK(with({allow("a.x.com")}, {allow("**.x.com")}) == found{"wider-than-trusted 20"});
  CHECK(with({allow("a.x.com"), allow("y.com")}, {allow("**.x.com")}).empty());
  CHECK(with({allow("a.x.com")}, {allow("a.x.com"), allow("b.com")}).empty());
  CHECK(with({allow("**.x.com")}, {allow("**.x.com")}).empty());
  CHECK(with({allow("a.x.com")}, {allow("a.x.com"), allow("*.y.com")}) == found{"wider-than-trusted 20"});
  CHECK(with({allow("a.x.com", {{22, 22}})}, {allow("**.x.com")}).empty());
  CHECK(with({}, {allow("**.x.com")}).empty());
  CHECK(with({allow("a.x.com", {{80, 80}})},
             {with_terms(allow("**.x.com", {{80, 80}}), {.methods = {"GET"}}), allow("*.y.com")})
            .empty());
  CHECK(with({with_terms(allow("a.x.com", {{80, 80}}), {.methods = {"GET"}})},
             {allow("**.x.com", {{80, 80}})}) == found{"wider-than-trusted 20"});
}

TEST_CASE("denies that meet nothing") {
  const auto idle = [](std::vector<rule> allowed, const rule& denied) {
    return codes(source_with(std::move(allowed), {at(denied, 9)})) == found{"idle-deny 9"};
  };
  CHECK(idle({allow("a.com")}, deny("b.com")));
  CHECK(idle({allow("a.com")}, deny("**.a.com")));
  CHECK(idle({allow("*.a.com")}, deny("a.com")));
  CHECK(idle({allow("*.a.com")}, deny("x.y.a.com")));
  CHECK(idle({allow("*.b.a.com")}, deny("*.a.com")));
  CHECK_FALSE(idle({allow("**.a.com")}, deny("x.y.a.com")));
  CHECK_FALSE(idle({allow("**.a.com")}, deny("*.y.a.com")));
  CHECK_FALSE(idle({allow("*.a.com")}, deny("x.a.com")));
  CHECK_FALSE(idle({with_apex(allow("*.a.com"))}, deny("a.com")));
  CHECK_FALSE(idle({allow("**.b.a.com")}, deny("**.a.com", {{25, 25}})));
  CHECK_FALSE(idle({allow("a.com")}, deny("10.0.0.0/8")));
  auto guard = deny("b.com");
  guard.final = true;
  CHECK_FALSE(idle({allow("a.com")}, guard));
}

TEST_CASE("the table of checks is sound, and severities have words") {
  std::set<std::string_view> seen;
  for (const auto& check : lint_checks()) {
    CAPTURE(check.code);
    CHECK(seen.insert(check.code).second);
    CHECK(check.danger.ends_with('.'));
    CHECK(check.fix.ends_with('.'));
    CHECK(severity_of(to_string(check.severity)) == check.severity);
  }
  CHECK(std::ranges::is_sorted(lint_checks(), {}, &lint_check::code));
  CHECK_FALSE(severity_of("never"));
}

TEST_CASE("a redundant rule can be taken out without any answer changing") {
  // Small universes, so that rules meet.
  std::uint32_t seed = 7;
  const auto next = [&](std::uint32_t below) {
    seed = seed * 1664525U + 1013904223U;
    return (seed >> 16) % below;
  };
  const std::vector<std::string> names{"x.com", "a.x.com", "b.x.com", "a.a.x.com", "b.a.x.com"};
  const std::vector<std::vector<port_range>> ports{
      {}, {{443, 443}}, {{80, 80}, {443, 443}}, {{1, 65535}}, {{22, 22}}};
  std::size_t taken_out = 0;
  std::size_t shadowed = 0;
  for (int round = 0; round < 4000; ++round) {
    policy_source source;
    source.phases.push_back(phase_with("agent", {}));
    const auto some = [&](bool denying) {
      const auto& n = names[next(5)];
      const auto reach = next(3);
      auto r = allow((reach == 0 ? "" : reach == 1 ? "*." : "**.") + n, ports[next(5)]);
      if (reach != 0 && next(2) == 0) r = with_apex(r);
      if (denying && !r.ports_written) r.ports = port_set::any();
      if (!denying && next(4) == 0) r = with_tls_any(r);
      if (!denying && next(4) == 0) r = with_terms(r, {.limits = {.upload = 1 + next(2)}});
      if (!denying && next(4) == 0) r.bundle = "some";
      if (!denying && next(6) == 0) r = until(r, next(2) == 0 ? 2020 : 2030, 1, 1);
      return r;
    };
    for (std::uint32_t i = 0, n = 2 + next(4); i < n; ++i) source.phases[0].allow.push_back(some(false));
    for (std::uint32_t i = 0, n = next(3); i < n; ++i) source.deny.push_back(some(true));
    int line = 1;
    for (auto& r : source.phases[0].allow) r.where = {"p", line++, 1};
    const auto before = compile(source);
    if (!before) continue;
    for (const auto& one : lint(*before, {.now = now})) {
      const bool dead = one.check->code == "never-matches";
      const bool extra = one.check->code == "redundant" || one.check->code == "duplicate";
      if (!dead && !extra) continue;
      auto rest = source;
      std::erase_if(rest.phases[0].allow, [&](const rule& r) { return r.where == one.where; });
      if (rest.phases[0].allow.size() + 1 != source.phases[0].allow.size()) continue;  // a deny's line
      (dead ? shadowed : taken_out) += 1;
      const auto after = compile(rest).value();
      for (const auto* host :
           {"x.com", "a.x.com", "b.x.com", "c.x.com", "a.a.x.com", "c.a.x.com", "d.c.a.x.com"}) {
        for (const std::uint16_t port : {std::uint16_t{22}, std::uint16_t{80}, std::uint16_t{443}}) {
          for (const auto scheme : {exeat::core::scheme::https, exeat::core::scheme::http}) {
            const auto was = ask(*before, to(host, port), scheme);
            const auto is = ask(after, to(host, port), scheme);
            CAPTURE(one.text);
            CAPTURE(host);
            CAPTURE(port);
            REQUIRE(was.verdict == is.verdict);
            if (was.verdict != verdict::allow) continue;
            REQUIRE(was.governing->tls == is.governing->tls);
            REQUIRE(upload_limit_of(*was.governing) == upload_limit_of(*is.governing));
          }
        }
      }
    }
  }
  CHECK(taken_out > 200);
  CHECK(shadowed > 200);
}
