#include "allowlist/suggest.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>

#include "allowlist/test_policy.hpp"

using namespace exeat;
using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using core::reason;

namespace {

observation saw(std::string_view host, std::uint16_t port = 443, bool plain = false,
                std::string_view phase = "agent") {
  return {.phase = phase,
          .host = host,
          .port = port,
          .plain = plain,
          .method = plain ? "GET" : "CONNECT",
          .date = "2026-06-01"};
}

suggestions propose(const policy* base, const std::vector<observation>& seen, suggest_options options = {}) {
  suggester all(base);
  for (const auto& one : seen) {
    all.refused(one);
    all.refused(one);
  }
  options.now = now;
  return all.propose(options);
}

std::string why(const suggestions& all, std::string_view destination) {
  for (const auto& one : all.held_back) {
    if (one.destination == destination) return one.why;
  }
  return {};
}

policy base_policy() {
  auto source = source_with(
      {allow("api.github.com"), until(allow("old.example"), 2020, 1, 1), allow("**.corp.example")},
      {deny("**.webhook.site")});
  auto setup = phase_with("setup", {});
  setup.untrusted = false;
  source.phases.push_back(setup);
  auto closed = phase_with("closed", {});
  closed.final = true;
  source.phases.push_back(closed);
  return compile(std::move(source)).value();
}

}  // namespace

TEST_CASE("concrete hosts and ports, by phase, with counts") {
  const auto base = base_policy();
  const auto all = propose(&base, {saw("one.example"), saw("two.example", 8443), saw("web.example", 80, true),
                                   saw("setup.example", 443, false, "setup")});
  REQUIRE(all.rules.size() == 4);
  CHECK(all.rules[0].phase == "agent");
  CHECK(what_text(all.rules[0].rule) == "one.example");
  CHECK_FALSE(all.rules[0].rule.ports_written);
  CHECK(all.rules[0].rule.reason == "observed 2 times, first 2026-06-01");
  CHECK(all.rules[1].rule.ports.to_string() == "8443");
  REQUIRE(all.rules[2].rule.terms);
  CHECK(all.rules[2].rule.terms->methods == std::vector<std::string>{"GET"});
  CHECK(all.rules[3].phase == "setup");
  CHECK(all.held_back.empty());
}

TEST_CASE("what a person has to decide is held back") {
  const auto base = base_policy();
  const auto all =
      propose(&base, {saw("api.githab.com"), saw("x.webhook.site"), saw("old.example"), saw("10.0.0.7"),
                      saw("93.184.216.34"), saw("gist.github.com"), saw("deadbeefdeadbeef01.example"),
                      saw("a.example", 443, false, "nowhere"), saw("a.example", 443, false, "closed"),
                      saw("not a name"), saw("h.example", 443, true), saw("mzxw6ytboi2gk3tdn5sgs3th.example"),
                      saw("x.s3.amazonaws.com")});
  CHECK(all.rules.empty());
  CHECK(why(all, "api.githab.com:443").starts_with("easily taken for"));
  CHECK(why(all, "x.webhook.site:443").starts_with("refused by deny/"));
  CHECK(why(all, "old.example:443").starts_with("rule-expired: change agent/old.example:443"));
  CHECK(why(all, "10.0.0.7:443").starts_with("a special-purpose"));
  CHECK(why(all, "93.184.216.34:443").starts_with("an address"));
  CHECK_FALSE(why(all, "gist.github.com:443").empty());
  CHECK(why(all, "deadbeefdeadbeef01.example:443").find("hexadecimal") != std::string::npos);
  CHECK(why(all, "mzxw6ytboi2gk3tdn5sgs3th.example:443").find("encoded") != std::string::npos);
  CHECK(why(all, "a.example:443").size() > 5);
  CHECK(why(all, "not a name:443") == "not a name");
  CHECK(why(all, "http://h.example:443") == "plain HTTP to 443");
  CHECK_FALSE(why(all, "x.s3.amazonaws.com:443").empty());
  CHECK(all.held_back.size() == 13);
}

TEST_CASE("once is not enough in an untrusted phase, and enough in a trusted one") {
  const auto base = base_policy();
  suggester all(&base);
  all.refused(saw("once.example"));
  all.refused(saw("once.example", 443, false, "setup"));
  const auto got = all.propose({.now = now});
  REQUIRE(got.rules.size() == 1);
  CHECK(got.rules[0].phase == "setup");
  CHECK(why(got, "once.example:443") == "asked for once");
  CHECK(all.propose({.min_count = 1, .now = now}).rules.size() == 2);
}

TEST_CASE("what the policy allows by now, and what no rule would change, is counted") {
  const auto base = base_policy();
  suggester all(&base);
  all.refused(saw("a.corp.example"));
  auto odd = saw("x.example");
  odd.reason = reason::bad_host;
  all.refused(odd);
  const auto got = all.propose({.now = now});
  CHECK(got.already_allowed == 1);
  CHECK(got.other_reasons.at("bad-host") == 1);
  CHECK(got.rules.empty());
}

TEST_CASE("a wildcard only when asked for, backed by names, and bounded") {
  const auto base = base_policy();
  std::vector<std::string> names;
  for (int i = 0; i < 8; ++i) names.push_back(fmt::format("edge{}.cdn.example", i));
  std::vector<observation> seen;
  for (const auto& name : names) seen.push_back(saw(name));
  CHECK(propose(&base, seen).rules.size() == 8);
  const auto wild = propose(&base, seen, {.wildcards = 5});
  REQUIRE(wild.rules.size() == 1);
  CHECK(what_text(wild.rules[0].rule) == "*.cdn.example");
  CHECK(wild.rules[0].rule.terms->max_names == 8);
  CHECK(wild.rules[0].rule.terms->max_name_entropy == 32);  // edge7 is 26 bits
  CHECK(propose(&base, seen, {.wildcards = 9}).rules.size() == 8);
  std::vector<observation> suffix{saw("aa.github.io"), saw("bb.github.io"), saw("cc.co.uk"), saw("dd.co.uk")};
  for (const auto& one : propose(&base, suffix, {.wildcards = 2}).rules)
    CHECK(std::get<host_pattern>(one.rule.what).depth == depth::exact);
}

TEST_CASE("a flood of names is neither proposed nor remembered without end") {
  const auto base = base_policy();
  suggester all(&base);
  for (int i = 0; i < 120'000; ++i) {
    const auto host = fmt::format("n{}.leak.example", i);
    all.refused(saw(host));
    all.refused(saw(host));
  }
  all.refused(saw("late.example"));
  const auto got = all.propose({.now = now});
  CHECK(got.rules.empty());
  CHECK(got.held_back.size() == 100'000);
  CHECK(got.left_out == 2 * 20'000 + 1);
  CHECK(got.held_back.front().why.find("names can carry data") != std::string::npos);
}

TEST_CASE("words are names, encoded data is not") {
  for (const std::string_view label :
       {"artifacts", "release-assets", "generativelanguage", "westcentralus", "productionresultssa12",
        "objects", "storage-download", "xn--bcher-kva", "eu-central-1", "k8s", "pythonhosted"}) {
    CAPTURE(label);
    CHECK(odd_label(label).empty());
  }
  for (const std::string_view label :
       {"0123456789abcdef", "a94a8fe5ccb19ba61c4c0873d391e9", "mzxw6ytboi2gk3tdn5sgs3th",
        "q2hlbgxvihdvcmxkisek7fz", "abcdefghijklmnopqrstuvwxyzabcdefghij"}) {
    CAPTURE(label);
    CHECK_FALSE(odd_label(label).empty());
  }
}

TEST_CASE("the rules allow what they were made from and nothing that was held back or never asked for") {
  const auto base = base_policy();
  std::mt19937 random(3);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::vector<std::string> hosts{"a.example",
                                       "b.a.example",
                                       "c.example",
                                       "api.githab.com",
                                       "x.webhook.site",
                                       "d.corp.example",
                                       "deadbeefdeadbeef01.example",
                                       "gist.github.com",
                                       "e.example",
                                       "f.e.example",
                                       "1.2.3.4"};
  std::size_t allowed = 0;
  for (int round = 0; round < 300; ++round) {
    suggester all(&base);
    std::vector<std::tuple<std::string, std::string, std::uint16_t, bool>> asked;
    for (int n = 1 + below(12); n > 0; --n) {
      const auto& host = hosts[static_cast<std::size_t>(below(static_cast<int>(hosts.size())))];
      const std::uint16_t port =
          std::array<std::uint16_t, 3>{443, 80, 8443}[static_cast<std::size_t>(below(3))];
      const bool plain = below(3) == 0;
      const std::string phase = below(2) == 0 ? "agent" : "setup";
      asked.emplace_back(phase, host, port, plain);
      all.refused(saw(host, port, plain, phase));
    }
    const auto got = all.propose({.wildcards = below(3) == 0 ? 2U : 0U, .now = now});
    auto source = base.source();
    for (auto& phase : source.phases) {
      for (const auto& one : got.rules) {
        if (one.phase != phase.name) continue;
        auto rule = one.rule;
        rule.included = true;
        phase.allow.push_back(rule);
      }
    }
    const auto merged = compile(source);
    REQUIRE(merged);
    const auto allows = [&](const policy& p, const std::string& phase, const std::string& host,
                            std::uint16_t port, bool plain) {
      const auto destination = to(host, port);
      return decide(p, {.phase = *p.find_phase(phase),
                        .scheme = plain ? core::scheme::http : core::scheme::https,
                        .to = &destination,
                        .now = now,
                        .method = "GET",
                        .path = "/"})
                 .verdict == verdict::allow;
    };
    for (const std::string phase : {"agent", "setup"}) {
      for (const auto& host : hosts) {
        for (const auto port : std::array<std::uint16_t, 4>{443, 80, 8443, 9000}) {
          for (const bool plain : {false, true}) {
            const bool now_allowed = allows(*merged, phase, host, port, plain);
            if (allows(base, phase, host, port, plain)) continue;
            const auto text = fmt::format("{}{}:{}", plain ? "http://" : "", host, port);
            const bool was_asked =
                std::ranges::find(asked, std::tuple(phase, host, port, plain)) != asked.end();
            const bool held = std::ranges::any_of(got.held_back, [&](const held_back& one) {
              return one.phase == phase && one.destination.find(host) != std::string::npos;
            });
            CAPTURE(text);
            CAPTURE(phase);
            if (was_asked) CHECK((now_allowed || held));
            // A wildcard admits its neighbours, which is why it must be asked for; a written port other than
            // 443 admits plain HTTP, too.
            const bool by_port =
                plain && port != 443 &&
                std::ranges::find(asked, std::tuple(phase, host, port, false)) != asked.end();
            const bool wild = std::ranges::any_of(got.rules, [&](const suggestion& one) {
              return std::get<host_pattern>(one.rule.what).depth != depth::exact;
            });
            if (now_allowed && !wild) CHECK((was_asked || by_port));
            allowed += now_allowed ? 1 : 0;
          }
        }
      }
    }
  }
  CHECK(allowed > 300);
}

TEST_CASE("what a log never needed") {
  auto wide = allow("**.x.example");
  auto one = allow("one.bundle.example");
  one.bundle = "b";
  auto two = allow("two.bundle.example");
  two.bundle = "b";
  auto other = allow("three.bundle.example");
  other.bundle = "c";
  const auto p = policy_with({allow("used.example"), allow("idle.example"), wide, one, two, other});
  usage all(p);
  all.allowed("agent/used.example:443", "used.example");
  all.allowed("agent/**.x.example:443", "a.x.example");
  all.allowed("agent/**.x.example:443", "b.x.example");
  all.allowed("agent/one.bundle.example:443", "one.bundle.example");
  all.allowed("agent/nonsense", "x");
  const auto found = all.find();
  REQUIRE(found.size() == 3);
  CHECK(found[0].rule->id == "agent/idle.example:443");
  CHECK(found[1].names == std::vector<std::string>{"a.x.example", "b.x.example"});
  CHECK(found[2].rule->bundle == "c");
}
