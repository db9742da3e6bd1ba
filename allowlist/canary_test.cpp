// Names that no honest process asks for: refused before everything else, and never told from any other name.
#include <doctest/doctest.h>

#include <algorithm>

#include "allowlist/diff.hpp"
#include "allowlist/explanation.hpp"
#include "allowlist/suggest.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat;
using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using core::reason;

namespace {

constexpr std::string_view planted = "vault-1f.corp.example";

// A phase `agent` with one canary, and a phase `setup` without.
policy_source source(std::vector<rule> rules, std::vector<rule> denied = {}) {
  auto out = source_with(std::move(rules), std::move(denied));
  out.phases[0].canaries.push_back({name(planted), {"policy.yaml", 9, 7}});
  out.phases.push_back(phase_with("setup", {allow("**.corp.example", {{1, 65535}})}));
  return out;
}

std::string conflict_of(policy_source source) {
  const auto compiled = compile(std::move(source));
  return compiled ? "" : compiled.error().front().where.to_string() + ": " + compiled.error().front().text;
}

// All that a client is shown of a refusal.
std::string shown(const policy& p, const core::destination& to, core::scheme scheme = core::scheme::https) {
  const auto decided = ask(p, to, scheme);
  REQUIRE(decided.verdict != verdict::allow);
  const auto told = explain_to_client({.policy = &p,
                                       .scheme = scheme,
                                       .to = &to,
                                       .reason = decided.reason,
                                       .governing = decided.governing,
                                       .decision = "0123456789ABC"});
  std::string out(core::code_of(shown_to_client(decided.reason, decided.governing)));
  out += "\n" + told.message;
  for (const auto& line : told.next) out += "\n" + line;
  const auto host = core::to_string(to.host);
  for (auto at = out.find(host); at != std::string::npos; at = out.find(host))
    out.replace(at, host.size(), "HOST");
  return out;
}

}  // namespace

TEST_CASE("a canary is refused on every port, by every scheme, and in audit too; its neighbours are not it") {
  auto written = source({allow("api.example")});
  for (const auto mode : {phase_mode::enforce, phase_mode::audit}) {
    written.phases[0].mode = mode;
    const auto p = compile(written).value();
    for (const std::uint16_t port : std::initializer_list<std::uint16_t>{1, 80, 443, 65535}) {
      for (const auto scheme : {core::scheme::http, core::scheme::https}) {
        const auto decided = ask(p, to(planted, port), scheme);
        CHECK(decided.verdict == verdict::deny);
        CHECK(decided.reason == reason::canary);
        CHECK(decided.governing == nullptr);
      }
    }
    for (const auto* other :
         {"a.vault-1f.corp.example", "vault-1g.corp.example", "corp.example", "vault-1f.corp.example2"})
      CHECK(ask(p, to(other)).reason == reason::no_rule);
    CHECK(ask(p, to("10.0.0.1")).reason == reason::ip_literal);
    const auto here = to(planted);
    CHECK(decide(p, {.phase = phase_id{1}, .to = &here, .now = now}).verdict == verdict::allow);
  }
}

TEST_CASE("a canary comes before deny, and remembers the deny that would have refused it") {
  const auto p = compile(source({}, {deny("**.corp.example", {{443, 443}})})).value();
  CHECK(ask(p, to(planted)).reason == reason::canary);
  CHECK(governing(ask(p, to(planted))) == "deny/**.corp.example:443");
  CHECK(ask(p, to(planted, 80)).governing == nullptr);
}

TEST_CASE("the client sees what it sees of any other name, in every octet") {
  for (const auto level : {hint_level::code, hint_level::full}) {
    for (const bool denied : {false, true}) {
      auto written = source({allow("*.other.example")},
                            denied ? std::vector{deny("*.corp.example", {{443, 443}})} : std::vector<rule>());
      written.phases[0].hints = level;
      const auto p = compile(written).value();
      for (const auto scheme : {core::scheme::http, core::scheme::https}) {
        for (const std::uint16_t port : std::initializer_list<std::uint16_t>{80, 443, 8080})
          CHECK(shown(p, to(planted, port), scheme) == shown(p, to("vault-2f.corp.example", port), scheme));
      }
      CHECK(shown(p, to(planted)).starts_with(denied ? "deny-rule\n" : "no-rule\n"));
    }
  }
  CHECK(shown_to_client(reason::not_tls) == reason::not_tls);
  CHECK(shown_to_client(reason::canary) == reason::no_rule);
}

TEST_CASE("the log has no hint that would let a canary pass") {
  const auto p = compile(source({allow("*.other.example")}, {deny("*.corp.example")})).value();
  const auto d = to(planted);
  CHECK(hint_for_log({.policy = &p, .to = &d, .reason = reason::canary}).empty());
  CHECK(hint_for_log({.policy = &p, .to = &d, .reason = reason::canary, .governing = ask(p, d).governing})
            .empty());
}

TEST_CASE("what is a canary and allowed in one phase is no policy") {
  const auto error = [](rule r) { return conflict_of(source({at(std::move(r), 4)})); };
  CHECK(error(allow("vault-1f.corp.example")) ==
        "policy.yaml:9: `vault-1f.corp.example` is a canary of phase `agent`, but the rule "
        "`vault-1f.corp.example` at policy.yaml:4 allows it there: a name cannot be both");
  CHECK(error(allow("*.corp.example", {{22, 22}})).contains("`*.corp.example` at policy.yaml:4"));
  CHECK(error(until(allow("**.example.corp.example"), 2020, 1, 1)).empty());
  CHECK(error(until(allow("**.corp.example"), 2020, 1, 1)).contains("cannot be both"));
  auto bundled = allow("**.corp.example");
  bundled.bundle = "corp";
  CHECK(error(bundled).contains("cannot be both"));
  auto apex = source({with_apex(allow("*.vault-1f.corp.example"))});
  CHECK(conflict_of(apex).contains("with `apex`"));
  CHECK(error(allow("*.vault-1f.corp.example")).empty());
  CHECK(error(allow("10.0.0.0/8")).empty());
}

TEST_CASE("diff: a canary that comes is narrower, one that goes opens nothing and is told") {
  const auto with = compile(source({})).value();
  auto bare_source = source({});
  bare_source.phases[0].canaries.clear();
  const auto bare = compile(bare_source).value();
  const auto came = diff(bare, with, now).value();
  REQUIRE(came.phases.size() == 1);
  CHECK(came.phases[0].facts ==
        std::vector<term_change>{{"canary", "none", std::string(planted), direction::narrower}});
  CHECK_FALSE(came.phases[0].is_wider());
  const auto went = diff(with, bare, now).value();
  REQUIRE(went.phases.size() == 1);
  CHECK(went.phases[0].facts ==
        std::vector<term_change>{{"canary", std::string(planted), "none", direction::neutral}});
  CHECK_FALSE(went.phases[0].is_wider());
  CHECK(went.widened_untrusted.empty());

  auto locking_source = source({});
  locking_source.phases[0].canary_action = canary_action::lockdown;
  const auto locking = compile(locking_source).value();
  CHECK(diff(with, locking, now).value().phases[0].facts ==
        std::vector<term_change>{{"canary.action", "alert", "lockdown", direction::narrower}});
  CHECK(diff(locking, with, now).value().phases[0].facts[0].direction == direction::neutral);
}

TEST_CASE("diff: a rule in place of a canary is wider") {
  const auto with = compile(source({})).value();
  auto open_source = source({allow(planted)});
  open_source.phases[0].canaries.clear();
  const auto changed = diff(with, compile(open_source).value(), now).value();
  CHECK(changed.widened_untrusted == std::vector<std::string>{"agent"});
}

TEST_CASE("suggest proposes nothing that would let a canary pass") {
  const auto p = compile(source({})).value();
  const auto saw = [](std::string_view host, reason why) {
    return observation{.phase = "agent",
                       .host = host,
                       .port = 443,
                       .method = "CONNECT",
                       .reason = why,
                       .date = "2026-06-01"};
  };
  for (const auto* base : {&p, static_cast<const policy*>(nullptr)}) {
    for (const std::uint64_t wildcards : std::initializer_list<std::uint64_t>{0, 2}) {
      suggester all(base);
      for (int i = 0; i < 3; ++i) {
        // It was asked for before it was a canary, and afterwards.
        all.refused(saw(planted, reason::no_rule));
        all.refused(saw(planted, reason::canary));
        for (const auto* other : {"docs.corp.example", "files.corp.example"})
          all.refused(saw(other, reason::no_rule));
      }
      const auto proposed = all.propose({.wildcards = wildcards, .now = now});
      REQUIRE(proposed.rules.size() == 2);
      for (const auto& one : proposed.rules) {
        CHECK_FALSE(std::get<host_pattern>(one.rule.what).matches(name(planted)));
        CHECK(std::get<host_pattern>(one.rule.what).depth == depth::exact);
      }
      CHECK(proposed.held_back.empty());
      CHECK(proposed.other_reasons.at("canary") == 6);
    }
  }
}
