#include "allowlist/explain.hpp"

#include <doctest/doctest.h>

#include <set>

#include "allowlist/explain_likeness.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using exeat::core::scheme;

namespace {

using pairs = std::vector<std::pair<std::string, std::string>>;

// "what-the-rule-names relation", in order.
pairs of(const related_rules& rules) {
  pairs out;
  for (const auto& r : rules.rules) out.emplace_back(what_text(*r.rule), code_of(r.relation));
  return out;
}

pairs in_agent(const policy& p, const exeat::core::destination& d, scheme s = scheme::https) {
  return of(explain(p, {.scheme = s, .to = &d, .now = now}).phases.at(0));
}
pairs in_deny(const policy& p, const exeat::core::destination& d) {
  return of(explain(p, {.scheme = scheme::https, .to = &d, .now = now}).deny);
}

likeness alike(std::string_view a, std::string_view b) {
  return likeness_of(shape_of(name(a)), shape_of(name(b)));
}

}  // namespace

TEST_CASE("what governs comes first, what is outranked behind it") {
  const auto p =
      policy_with({allow("**.x.com"), allow("*.x.com"), allow("a.x.com"), allow("a.x.com", {{1, 65535}})});
  CHECK(in_agent(p, to("a.x.com")) == pairs{{"a.x.com", "governs"},
                                            {"a.x.com", "outranked"},
                                            {"*.x.com", "outranked"},
                                            {"**.x.com", "outranked"}});
  const auto wanted = to("a.x.com");
  const auto e = explain(p, {.scheme = scheme::https, .to = &wanted, .now = now});
  CHECK(e.phases[0].rules[0].rule == ask(p, to("a.x.com")).governing);
  CHECK(e.phases[0].rules[2].text == "matches too, but agent/a.x.com:443 is more specific and governs");
}

TEST_CASE("near misses are named as such") {
  const auto p =
      policy_with({allow("*.star.com"), allow("bare.com"), until(allow("old.com"), 2020, 2, 3),
                   allow("web.com", {{80, 80}}), allow("tls.com"), with_apex(allow("*.both.com"))});
  CHECK(in_agent(p, to("star.com")) == pairs{{"*.star.com", "needs-apex"}});
  CHECK(in_agent(p, to("a.b.star.com")) == pairs{{"*.star.com", "too-deep"}});
  CHECK(in_agent(p, to("a.bare.com")) == pairs{{"bare.com", "only-apex"}});
  CHECK(in_agent(p, to("old.com")) == pairs{{"old.com", "expired"}});
  CHECK(in_agent(p, to("web.com")) == pairs{{"web.com", "other-port"}});
  CHECK(in_agent(p, to("tls.com"), scheme::http) == pairs{{"tls.com", "other-scheme"}});
  CHECK(in_agent(p, to("both.com")) == pairs{{"*.both.com", "governs"}});
  CHECK(in_agent(p, to("a.both.com")) == pairs{{"*.both.com", "governs"}});
  CHECK(in_agent(p, to("a.b.both.com")) == pairs{{"*.both.com", "too-deep"}});
  CHECK(in_agent(p, to("elsewhere.org")).empty());
}

TEST_CASE("a deny is named, and so is a deny that narrowly misses") {
  const auto p = policy_with({allow("**.x.com"), allow("y.com")},
                             {deny("*.bad.x.com"), deny("y.com", {{25, 25}}), deny("10.0.0.0/8")});
  CHECK(in_agent(p, to("a.bad.x.com")) == pairs{{"**.x.com", "overruled"}});
  CHECK(in_deny(p, to("a.bad.x.com")) == pairs{{"*.bad.x.com", "denies"}});
  CHECK(in_deny(p, to("bad.x.com")) == pairs{{"*.bad.x.com", "needs-apex"}});
  CHECK(in_agent(p, to("bad.x.com")) == pairs{{"**.x.com", "governs"}});
  CHECK(in_deny(p, to("y.com")) == pairs{{"y.com", "other-port"}});
  CHECK(in_deny(p, to("10.1.2.3")) == pairs{{"10.0.0.0/8", "denies"}});
  CHECK(in_deny(p, to("::ffff:10.1.2.3")) == pairs{{"10.0.0.0/8", "denies"}});
}

TEST_CASE("address literals") {
  const auto p = policy_with({allow("192.0.2.0/24"), allow("192.0.2.7/32", {{22, 22}})});
  CHECK(in_agent(p, to("192.0.2.7")) == pairs{{"192.0.2.0/24", "governs"}, {"192.0.2.7/32", "other-port"}});
  CHECK(in_agent(p, to("192.0.3.7")).empty());
}

TEST_CASE("the exceptions that concern a destination") {
  auto source = source_with({allow("a.corp.example")});
  source.addresses.push_back({.prefix = exeat::core::cidr::parse("10.0.0.0/24").value(),
                              .hosts = {host_pattern::parse("*.corp.example").value()},
                              .literal = false,
                              .reason = {},
                              .where = {}});
  source.addresses.push_back({.prefix = exeat::core::cidr::parse("10.0.1.0/24").value(),
                              .hosts = {},
                              .literal = true,
                              .reason = {},
                              .where = {}});
  const auto p = compile(std::move(source)).value();
  const auto count = [&](std::string_view host) {
    const auto wanted = to(host);
    return explain(p, {.scheme = scheme::https, .to = &wanted, .now = now}).exceptions.size();
  };
  CHECK(count("a.corp.example") == 1);
  CHECK(count("corp.example") == 0);
  CHECK(count("10.0.1.1") == 1);
  CHECK(count("10.0.0.1") == 0);
}

TEST_CASE("lookalikes of names that a rule spells") {
  const auto p = policy_with({allow("api.anthropic.com"), allow("*.modern.com"), allow("**.deep.example.org"),
                              allow("xn--bcher-kva.example")});
  const auto only = [&](std::string_view host) {
    const auto found = in_agent(p, to(host));
    return found.size() == 1 && found[0].second == "lookalike" ? found[0].first : std::string();
  };
  CHECK(only("api.anthropic.co") == "api.anthropic.com");
  CHECK(only("api.anthr0pic.com") == "api.anthropic.com");
  CHECK(only("api.anthroplc.com") == "api.anthropic.com");
  CHECK(only("apianthropic.com") == "api.anthropic.com");
  CHECK(only("api.antrhopic.com") == "api.anthropic.com");
  CHECK(only("a.rnodem.com") == "*.modern.com");
  CHECK(only("a.b.deep.exarnple.org") == "**.deep.example.org");
  CHECK(only("bcher.example") == "xn--bcher-kva.example");
  CHECK(only("xn--bcher-kva.exampel") == "xn--bcher-kva.example");
  CHECK(only("api.anthropics.org").empty());
  // A Cyrillic small letter a at the front: xn--pi-6kc.
  CHECK(only("xn--pi-6kc.anthropic.com") == "api.anthropic.com");
}

TEST_CASE("likeness") {
  CHECK(alike("paypal.com", "paypa1.com") == likeness::reads_alike);
  CHECK(alike("paypal.com", "paypai.com") == likeness::reads_alike);
  CHECK(alike("corn.com", "com.com") == likeness::reads_alike);
  CHECK(alike("wide.com", "vvide.com") == likeness::reads_alike);
  CHECK(alike("g00gle.com", "google.com") == likeness::reads_alike);
  CHECK(alike("example.com", "exmple.com") == likeness::one_away);
  CHECK(alike("example.com", "eaxmple.com") == likeness::one_away);
  CHECK(alike("example.com", "examples.com") == likeness::one_away);
  CHECK(alike("example.com", "example.com") == likeness::none);
  CHECK(alike("example.com", "exmpl.com") == likeness::none);
  CHECK(alike("a.io", "b.io") == likeness::none);
}

TEST_CASE("U-labels are shown where they convert back") {
  CHECK(u_labels_of(name("xn--bcher-kva.example")) == "b\u00fccher.example");
  CHECK(u_labels_of(name("plain.example")).empty());
  CHECK(u_labels_of(name("xn--zzzzzz99999.example")).empty());
}

TEST_CASE("what comes first is what decide says, and near misses are bounded") {
  std::vector<rule> rules;
  for (int i = 0; i < 200; ++i)
    rules.push_back(allow("host-number-" + std::to_string(1000 + i) + ".example"));
  const auto p = policy_with(std::move(rules));
  const auto wanted = to("host-number-100x.example");
  const auto e = explain(p, {.scheme = scheme::https, .to = &wanted, .now = now});
  CHECK(e.phases[0].rules.size() == 10);
  CHECK(e.phases[0].left_out == 0);
  const auto ports = [] {
    std::vector<rule> many;
    for (std::uint16_t i = 1; i <= 80; ++i) many.push_back(allow("x.com", {{i, i}}));
    return policy_with(std::move(many));
  }();
  const auto other = to("x.com");
  const auto bounded = explain(ports, {.scheme = scheme::https, .to = &other, .now = now});
  CHECK(bounded.phases[0].rules.size() == 50);
  CHECK(bounded.phases[0].left_out == 30);
}
