#include "allowlist/explanation.hpp"

#include <doctest/doctest.h>
#include <yaml-cpp/yaml.h>

#include <string>

#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using exeat::core::reason;
using exeat::core::scheme;

namespace {

policy_source example() {
  policy_source source;
  auto trusted = phase_with(
      "setup", {at(allow("*.x.com"), 4), at(allow("y.com"), 5), at(until(allow("old.com"), 2020, 2, 3), 6),
                at(allow("**.z.com"), 7), at(allow("bare.org"), 8)});
  trusted.untrusted = false;
  auto wordy = phase_with("agent", {at(allow("secret.other.org"), 20), at(allow("y.com"), 21)});
  wordy.hints = hint_level::full;
  source.phases = {trusted, phase_with("mcp", {at(allow("y.com"), 30)}), wordy};
  source.deny = {at(deny("**.hook.site"), 40), at(deny("8.8.8.0/24"), 41)};
  return source;
}

constexpr phase_id trusted{0}, terse{1}, wordy{2};

struct asked {
  policy p = compile(example()).value();
  exeat::core::destination d;
  refused r;
  std::optional<guard_refusal> g;

  asked(phase_id phase, const exeat::core::destination& destination, scheme s = scheme::https)
      : d(destination) {
    const auto decided = decide(p, {.phase = phase, .scheme = s, .to = &d, .now = now});
    r = {.policy = &p,
         .phase = phase,
         .scheme = s,
         .to = &d,
         .reason = decided.reason,
         .governing = decided.governing,
         .guard = nullptr,
         .decision = "0123456789ABC"};
  }
  asked(phase_id phase, const exeat::core::destination& destination, std::string_view resolved)
      : asked(phase, destination) {
    const auto address = ip(resolved);
    g = guard(p, d, std::span(&address, 1), now);
    r.reason = g.value().reason;
    r.guard = &*g;
  }
  asked(const asked&) = delete;

  std::string client() const {
    const auto e = explain_to_client(r);
    std::string out = e.message + "\n";
    for (const auto& line : e.next) out += line + "\n";
    return out;
  }
  std::string log() const { return hint_for_log(r); }
};

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// The YAML to paste, indented by two, loaded as a whole list.
YAML::Node pasted(const refused& r) {
  std::string block;
  for (const auto& line : explain_to_client(r).next) {
    if (line.starts_with("  ")) block += line + "\n";
  }
  return YAML::Load(block);
}

}  // namespace

TEST_CASE("code: the reason's sentence, the id, and nothing of the policy") {
  for (const std::string_view host : {"x.com", "old.com", "y.com", "a.hook.site", "10.0.0.1"}) {
    CAPTURE(host);
    asked a(terse, to(host, 8443));
    const auto e = explain_to_client(a.r);
    CHECK(e.message == exeat::core::row_of(a.r.reason).doc);
    REQUIRE(e.next.size() == 1);
    CHECK(e.next[0] == "Show decision 0123456789ABC to whoever owns the policy (`exeat report` lists it).");
  }
  asked guarded(terse, to("y.com"), "10.0.0.7");
  CHECK_FALSE(has(guarded.client(), "10.0.0.7"));
  CHECK_FALSE(has(guarded.client(), "cidr:"));
}

TEST_CASE("full: the rule to paste loads, and lets the request through") {
  struct row {
    exeat::core::destination d;
    scheme s;
    std::string key, value, port;
  };
  for (const auto& [d, s, key, value, port] :
       {row{to("foo.example"), scheme::https, "host", "foo.example", ""},
        row{to("foo.example", 80), scheme::http, "host", "foo.example", "80"},
        row{to("foo.example", 443), scheme::http, "host", "foo.example", "443"},
        row{to("foo.example", 8443), scheme::https, "host", "foo.example", "8443"},
        row{to("null"), scheme::https, "host", "null", ""},
        row{to("9.9.9.9"), scheme::https, "cidr", "9.9.9.9/32", ""},
        row{to("2600::1", 80), scheme::http, "cidr", "2600::1/128", "80"}}) {
    asked a(trusted, d, s);
    CAPTURE(a.client());
    const auto list = pasted(a.r);
    REQUIRE(list.IsSequence());
    REQUIRE(list.size() == 1);
    CHECK(list[0][key].as<std::string>() == value);
    CHECK(list[0][key].IsScalar());
    CHECK(list[0]["ports"].IsDefined() == !port.empty());
    std::vector<port_range> ports;
    if (!port.empty()) {
      CHECK(list[0]["ports"][0].as<std::string>() == port);
      ports.push_back({d.port, d.port});
    }
    CHECK(ask(policy_with({allow(value, ports)}), d, s).verdict == verdict::allow);
    // The log's line says the same in one.
    const auto log = a.log();
    const auto start = log.find("- {");
    REQUIRE(start != std::string::npos);
    const auto line = YAML::Load(log.substr(start));
    CHECK(line[0][key].as<std::string>() == value);
    CHECK(line[0]["ports"].IsDefined() == !port.empty());
    CHECK(has(log, "phases.setup.allow"));
  }
}

TEST_CASE("full: near misses are told") {
  CHECK(has(asked(trusted, to("x.com")).client(),
            "`*.x.com` (policy.yaml:4) does not cover x.com itself; `apex: true` beside it would."));
  CHECK(has(asked(trusted, to("a.b.x.com")).client(), "`**.x.com` would cover more"));
  CHECK(has(asked(trusted, to("www.bare.org")).client(), "`bare.org` (policy.yaml:8) covers bare.org alone"));
  CHECK(has(asked(trusted, to("z.com")).client(), "`**.z.com` (policy.yaml:7) does not cover z.com itself"));
  CHECK(has(asked(trusted, to("old.com")).client(),
            "`old.com` (policy.yaml:6) would have matched until 2020-02-03 (UTC)."));
  CHECK(
      has(asked(trusted, to("y.com", 8443)).client(), "`y.com` (policy.yaml:5) covers port 443, not 8443."));
  CHECK(has(asked(trusted, to("y.com", 443), scheme::http).client(), "opens port 443 for TLS only"));
  CHECK(has(asked(trusted, to("a.hook.site")).client(),
            "`**.hook.site` (policy.yaml:40) stands under `deny`."));
  CHECK_FALSE(has(asked(trusted, to("a.hook.site")).client(), "- host"));
  CHECK(has(asked(trusted, to("y.com", 22)).client(), "tls: any   # SSH is not TLS"));
}

TEST_CASE("full: what is used up is told with its number") {
  auto source = example();
  source.phases[0].limits.requests = 100;
  source.phases[0].time_limit = std::chrono::minutes(90);
  source.phases[0].allow[1].terms =
      std::make_shared<const rule_terms>(rule_terms{.limits = {.upload = {}, .download = {}, .requests = 5}});
  source.limits.requests = 1000;
  const auto p = compile(std::move(source)).value();
  const auto y = to("y.com");
  refused r{.policy = &p,
            .phase = trusted,
            .to = &y,
            .reason = reason::request_limit,
            .governing = ask(p, y).governing,
            .decision = "0123456789ABC"};
  CHECK(has(
      explain_to_client(r).message,
      "`request_limit` is 5 for `y.com` (policy.yaml:5) and 100 for phase `setup` and 1000 for the job."));
  CHECK(has(hint_for_log(r), "`request_limit` is 5"));
  r.reason = reason::time_limit;
  CHECK(has(explain_to_client(r).message, "`time_limit` is 90m for phase `setup`."));
}

TEST_CASE("no level names rules of other phases") {
  for (const phase_id phase : {trusted, terse}) {
    CHECK_FALSE(has(asked(phase, to("a.secret.other.org")).client(), "(policy.yaml"));
    CHECK_FALSE(has(asked(phase, to("secret.other.org")).client(), "policy.yaml:20"));
    CHECK_FALSE(has(asked(phase, to("a.secret.other.org")).log(), "policy.yaml:20"));
  }
}

TEST_CASE("the guard: a trusted phase gets the exact line, an untrusted one no address") {
  asked a(trusted, to("y.com"), "10.20.0.5");
  CHECK(has(a.client(), "10.20.0.5 is Private-Use (RFC 1918)."));
  const auto list = pasted(a.r);
  CHECK(list[0]["cidr"].as<std::string>() == "10.20.0.5/32");
  CHECK(list[0]["hosts"][0].as<std::string>() == "y.com");

  asked untrusted(wordy, to("y.com"), "10.20.0.5");
  CHECK_FALSE(has(untrusted.client(), "10.20.0.5"));
  CHECK_FALSE(has(untrusted.client(), "Private"));
  CHECK(has(untrusted.log(), "- {cidr: 10.20.0.5/32, hosts: [y.com], reason: "));

  asked meta(trusted, to("y.com"), "169.254.169.254");
  CHECK(has(meta.client(), "hands out credentials"));

  asked denied(trusted, to("y.com"), "8.8.8.8");
  CHECK(has(denied.client(), "`8.8.8.0/24` (policy.yaml:41) stands under `deny`."));
  CHECK_FALSE(has(denied.client(), "8.8.8.8"));
}

TEST_CASE("the exception line loads, and excepts what was refused") {
  struct row {
    std::string_view host, address;
  };
  for (const auto& [host, address] :
       {row{"artifacts.corp.example", "10.20.0.5"}, row{"artifacts", "::1"}, row{"x.com", "169.254.169.254"},
        row{"x.com", "64:ff9b::10.0.0.1"}, row{"10.0.0.1", "10.0.0.1"}, row{"fd00::1", "fd00::1"}}) {
    CAPTURE(address);
    const auto loaded = YAML::Load(exception_line(to(host), ip(address)))[0];
    policy_source source = source_with({});
    address_exception e;
    e.prefix = exeat::core::cidr::parse(loaded["cidr"].as<std::string>()).value();
    if (loaded["hosts"]) e.hosts = {host_pattern::parse(loaded["hosts"][0].as<std::string>()).value()};
    if (loaded["literal"]) e.literal = loaded["literal"].as<bool>();
    CHECK(loaded["reason"].IsScalar());
    source.addresses.push_back(e);
    const auto p = compile(source).value();
    const auto one = ip(address);
    CHECK_FALSE(guard(p, to(host), std::span(&one, 1)).has_value());
    CHECK(guard(policy_with({}), to(host), std::span(&one, 1)).has_value());
  }
}

TEST_CASE("a special-purpose literal needs both lines, and is told so") {
  asked a(trusted, to("10.0.0.1"));
  CHECK(has(a.client(), "- cidr: 10.0.0.1/32"));
  CHECK(has(a.client(), "literal: true"));
  CHECK(has(a.log(), "literal: true"));
  CHECK_FALSE(has(asked(trusted, to("9.9.9.9")).client(), "literal: true"));
}

TEST_CASE("what the peek refuses names the fixes") {
  asked a(trusted, to("y.com", 80));
  a.r.reason = reason::not_tls;
  CHECK(has(a.log(), "http_proxy"));
  CHECK(has(a.log(), "ports: [80]"));
  CHECK(has(a.log(), "tls: any"));
  asked ssh(trusted, to("y.com", 8022));
  ssh.r.reason = reason::not_tls;
  CHECK(has(ssh.log(), "ports: [8022]"));
  CHECK(has(ssh.log(), "tls: any"));
  a.r.reason = reason::ech_refused;
  CHECK(has(a.log(), "ech: allow"));
  a.r.reason = reason::sni_mismatch;
  CHECK(has(a.log(), "SNI"));
}

TEST_CASE("other kinds of refusal say whose move it is, and stand without a policy") {
  const auto told = [](reason why) {
    return explain_to_client({.reason = why, .decision = "ID"}).next.back();
  };
  CHECK(has(told(reason::bad_host), "the request itself must change"));
  CHECK(has(told(reason::dns_not_found), "The policy allows it"));
  for (const auto why : {reason::upstream_unreachable, reason::upstream_timeout, reason::upstream_tls,
                         reason::upstream_refused, reason::upstream_credential, reason::upstream_not_http}) {
    CHECK(has(told(why), "show decision ID to whoever runs"));
  }
  CHECK(has(told(reason::too_many_connections), "Try again later"));
  CHECK(has(told(reason::no_rule), "Show decision ID"));
  CHECK(hint_for_log({.reason = reason::bad_host}).empty());
  asked a(trusted, to("y.com"));
  a.r.reason = reason::dns_timeout;
  CHECK(a.log().empty());
  a.r.phase = phase_id{77};
  a.r.reason = reason::no_rule;
  CHECK(explain_to_client(a.r).next.size() == 1);
}

TEST_CASE("the owner of a near miss is named, on one line") {
  policy_source source = source_with({until(allow("x.com"), 2020, 1, 1)});
  source.phases[0].untrusted = false;
  source.phases[0].allow[0].owner = "platform\nteam";
  const auto p = compile(source).value();
  const auto x = to("x.com");
  const auto e = explain_to_client({.policy = &p,
                                    .to = &x,
                                    .reason = reason::rule_expired,
                                    .governing = ask(p, x).governing,
                                    .decision = "ID"});
  CHECK(std::ranges::find(e.next, "The rule's owner: platform team.") != e.next.end());
}
