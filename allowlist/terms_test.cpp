// What a rule asks for beyond host and port, rules from bundles, and what is final.
#include <doctest/doctest.h>

#include "allowlist/address_guard.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat;
using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using core::reason;

namespace {

rule with_terms(rule r, rule_terms terms) {
  r.terms = std::make_shared<const rule_terms>(std::move(terms));
  return r;
}
rule from_bundle(rule r, std::string name) {
  r.bundle = std::move(name);
  return r;
}
rule included(rule r) {
  r.included = true;
  return r;
}
decision ask_http(const policy& p, const core::destination& d, std::string_view method,
                  std::string_view path) {
  return decide(p, {.phase = phase_id{0},
                    .scheme = core::scheme::http,
                    .to = &d,
                    .now = now,
                    .method = method,
                    .path = path});
}

}  // namespace

TEST_CASE("methods and paths hold plain HTTP and open no tunnel") {
  const auto p = policy_with(
      {with_terms(allow("x.com", {{80, 80}}), {.methods = {"GET", "HEAD"}, .paths = {"/a/**", "/b"}}),
       allow("**.com.example", {{1, 65535}})});
  const auto x = to("x.com", 80);
  CHECK(ask_http(p, x, "GET", "/b").verdict == verdict::allow);
  CHECK(ask_http(p, x, "HEAD", "/a/b").verdict == verdict::allow);
  CHECK(ask_http(p, x, "POST", "/b").reason == reason::method_not_allowed);
  CHECK(ask_http(p, x, "get", "/b").reason == reason::method_not_allowed);
  CHECK(ask_http(p, x, "GET", "/c").reason == reason::path_not_allowed);
  CHECK(ask_http(p, x, "GET", "/a/../c").reason == reason::path_not_allowed);
  CHECK(ask_http(p, x, "", "/b").reason == reason::method_not_allowed);
  CHECK(ask_http(p, x, "GET", "").reason == reason::path_not_allowed);
  CHECK(ask(p, x).reason == reason::http_only);
  CHECK(governing(ask_http(p, x, "POST", "/b")) == "agent/x.com:80");
}

TEST_CASE("a wider rule does not help where the governing one's methods refuse") {
  const auto p = policy_with(
      {with_terms(allow("a.x.com", {{80, 80}}), {.methods = {"GET"}}), allow("*.x.com", {{80, 80}})});
  CHECK(ask_http(p, to("a.x.com", 80), "POST", "/").reason == reason::method_not_allowed);
  CHECK(ask_http(p, to("b.x.com", 80), "POST", "/").verdict == verdict::allow);
  CHECK(ask(p, to("a.x.com", 80)).reason == reason::http_only);
}

TEST_CASE("what refuses by its methods is let through in audit, and says so") {
  auto source = source_with({with_terms(allow("x.com", {{80, 80}}), {.methods = {"GET"}})});
  source.phases[0].mode = phase_mode::audit;
  const auto p = compile(std::move(source)).value();
  const auto d = ask_http(p, to("x.com", 80), "POST", "/");
  CHECK(d.verdict == verdict::would_deny);
  CHECK(d.reason == reason::method_not_allowed);
}

TEST_CASE("resolve_in narrows what the guard lets through") {
  const auto p = policy_with(
      {with_terms(allow("x.com"), {.resolve_in = {core::cidr::parse("93.184.216.0/24").value()}})});
  const auto* governing = ask(p, to("x.com")).governing;
  const auto judge = [&](std::vector<core::ip_address> addresses) {
    const auto refusal = guard(p, to("x.com"), addresses, now, governing);
    return refusal ? refusal->reason : reason::allowed;
  };
  CHECK(judge({ip("93.184.216.34")}) == reason::allowed);
  CHECK(judge({ip("93.184.216.34"), ip("93.184.217.1")}) == reason::outside_resolve_in);
  CHECK(judge({ip("2606:2800:220:1:248:1893:25c8:1946")}) == reason::outside_resolve_in);
  CHECK(judge({ip("10.0.0.1")}) == reason::address_forbidden);
  // The IPv4 prefix does not hold another form of the address.
  CHECK(judge({ip("64:ff9b::5db8:d822")}) == reason::outside_resolve_in);
  CHECK_FALSE(guard(p, to("x.com"), std::vector{ip("1.1.1.1")}, now));
}

TEST_CASE("what is written out governs before what a bundle brings, and does not contradict it") {
  const auto p = policy_with({from_bundle(allow("x.com"), "node"),
                              with_terms(allow("x.com", {{80, 80}, {443, 443}}), {.limits = {.upload = 7}})});
  REQUIRE(ask(p, to("x.com")).governing != nullptr);
  CHECK(ask(p, to("x.com")).governing->bundle.empty());
  const auto expired = policy_with({until(allow("x.com"), 2020, 1, 1), from_bundle(allow("x.com"), "node")});
  CHECK(ask(expired, to("x.com")).governing->bundle == "node");
}

TEST_CASE("two bundles may name the same host, each with its reason") {
  auto a = from_bundle(allow("x.com"), "a");
  a.reason = "one";
  auto b = from_bundle(allow("x.com"), "b");
  b.reason = "two";
  const auto p = compile(source_with({b, a})).value();
  CHECK(p.rule_count() == 1);
  auto limited = with_terms(from_bundle(allow("x.com"), "b"), {.limits = {.upload = 7}});
  const auto wrong = compile(source_with({a, limited}));
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().front().text.find("`upload_limit`") != std::string::npos);
}

TEST_CASE("rules that differ in a term are a contradiction that names it") {
  const auto text = [](rule_terms x, rule_terms y) {
    const auto wrong = compile(source_with({with_terms(allow("x.com", {{80, 80}}), std::move(x)),
                                            with_terms(allow("x.com", {{80, 80}}), std::move(y))}));
    return wrong ? std::string() : wrong.error().front().text;
  };
  CHECK(text({.max_names = 3}, {.max_names = 4}).find("`max_names`") != std::string::npos);
  CHECK(text({.max_name_entropy = 8}, {.max_name_entropy = 9}).find("`max_name_entropy`") !=
        std::string::npos);
  CHECK(text({.methods = {"GET"}}, {.paths = {"/"}}).find("`methods`, `paths`") != std::string::npos);
  CHECK(text({.methods = {"GET"}}, {.methods = {"GET"}}).empty());
  CHECK(text({.resolve_in = {core::cidr::parse("1.1.1.1").value()}}, {.max_names = 1}).find("`resolve_in`") !=
        std::string::npos);
}

TEST_CASE("an included file cannot open what is final") {
  auto final_deny = deny("**.evil.example");
  final_deny.final = true;
  const auto refused = [&](rule r, rule denied) {
    return !compile(source_with({std::move(r)}, {std::move(denied)}));
  };
  CHECK(refused(included(allow("a.evil.example")), final_deny));
  CHECK(refused(included(allow("*.b.evil.example")), final_deny));
  CHECK_FALSE(refused(allow("a.evil.example"), final_deny));
  CHECK_FALSE(refused(included(allow("evil.example")), final_deny));
  CHECK_FALSE(refused(included(allow("**.example.org")), final_deny));
  CHECK_FALSE(refused(included(allow("a.evil.example")), deny("**.evil.example")));
  auto one_port = final_deny;
  one_port.ports = port_set::of({{80, 80}});
  CHECK(refused(included(allow("a.evil.example", {{80, 80}, {443, 443}})), one_port));
  CHECK_FALSE(refused(included(allow("a.evil.example")), one_port));
  auto prefix = deny("10.0.0.0/8");
  prefix.final = true;
  CHECK(refused(included(allow("10.1.0.0/16")), prefix));

  auto source = source_with({included(allow("x.com"))});
  source.phases[0].final = true;
  const auto wrong = compile(source);
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().front().text.find("`final`") != std::string::npos);
  source.phases[0].allow[0].included = false;
  CHECK(compile(source));
}
