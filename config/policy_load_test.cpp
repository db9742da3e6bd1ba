#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "allowlist/policy.hpp"
#include "config/builtin_policy.hpp"
#include "config/load.hpp"

using namespace exeat;
using namespace std::string_literals;

namespace {

struct broken {
  std::string text;
  std::vector<std::string> errors;  // whole lines, in order
};

constexpr auto head = "version: 1\nphases:\n  agent:\n    allow:\n";

std::vector<std::string> lines_of(const config::errors& errors) {
  std::vector<std::string> out;
  for (const auto& e : errors) out.push_back(e.to_string());
  return out;
}

void expect(const std::vector<broken>& table) {
  for (const auto& row : table) {
    CAPTURE(row.text);
    const auto policy = config::parse_policy(row.text, "p");
    REQUIRE_FALSE(policy);
    const auto lines = lines_of(policy.error());
    REQUIRE(lines.size() == row.errors.size());
    for (std::size_t i = 0; i < lines.size(); ++i) CHECK(lines[i] == row.errors[i]);
  }
}

core::reason decide(const allowlist::policy& policy, std::string_view phase, std::string_view host,
                    std::uint16_t port = 443, core::scheme scheme = core::scheme::https) {
  core::destination to{.host = core::host_name::parse(host).value(), .port = port};
  using namespace std::chrono;
  return allowlist::decide(policy, {.phase = policy.find_phase(phase).value(),
                                    .scheme = scheme,
                                    .to = &to,
                                    .now = sys_days(2026y / 6 / 1)})
      .reason;
}

}  // namespace

TEST_CASE("a whole policy is read into values") {
  const auto policy = config::parse_policy(R"(
version: 1
phases:
  setup:
    untrusted: false
    hints: code
    ech: allow
    allow:
      - host: "**.debian.org"
        apex: true
        ports: [80, 443, "8000-8100"]
        reason: apt
        owner: platform
        ticket: SEC-142
        expires: 2027-03-31
      - {cidr: 192.0.2.0/24, ports: any, tls: any}
      - {host: bücher.example, ports: 8443, ech: refuse}
  agent:
    mode: audit
    hints: full
    allow: []
deny:
  - {host: "**.com"}
  - {cidr: "2001:db8::/32", ports: 22, reason: no}
addresses:
  - {cidr: 10.20.0.0/24, hosts: [artifacts.corp.example, "*.mirror.corp.example"], reason: store}
  - {cidr: 10.9.9.9, literal: true}
)",
                                           "p.yaml");
  if (!policy) FAIL(config::to_string(policy.error()));
  const auto& source = (*policy)->source();
  CHECK(source.file == "p.yaml");
  REQUIRE(source.phases.size() == 2);
  const auto& setup = source.phases[0];
  CHECK(setup.name == "setup");
  CHECK_FALSE(setup.untrusted);
  CHECK(setup.hints == allowlist::hint_level::code);
  CHECK(setup.ech == allowlist::ech_mode::allow);
  REQUIRE(setup.allow.size() == 3);
  const auto& debian = setup.allow[0];
  const auto& pattern = std::get<allowlist::host_pattern>(debian.what);
  CHECK(pattern.to_string() == "**.debian.org");
  CHECK(pattern.apex);
  CHECK(debian.ports.to_string() == "80,443,8000-8100");
  CHECK(debian.ports_written);
  CHECK(debian.tls == allowlist::tls_mode::require);
  CHECK_FALSE(debian.ech);
  CHECK(debian.reason == "apt");
  CHECK(debian.owner == "platform");
  CHECK(debian.ticket == "SEC-142");
  CHECK(debian.expires ==
        std::chrono::year_month_day(std::chrono::year(2027), std::chrono::month(3), std::chrono::day(31)));
  CHECK(debian.where == allowlist::mark{"p.yaml", 9, 9});
  CHECK(std::get<core::cidr>(setup.allow[1].what).to_string() == "192.0.2.0/24");
  CHECK(setup.allow[1].ports == allowlist::port_set::any());
  CHECK(setup.allow[1].tls == allowlist::tls_mode::any);
  CHECK(std::get<allowlist::host_pattern>(setup.allow[2].what).to_string() == "xn--bcher-kva.example");
  CHECK(setup.allow[2].ech == allowlist::ech_mode::refuse);
  CHECK(source.phases[1].untrusted);
  CHECK(source.phases[1].mode == allowlist::phase_mode::audit);
  CHECK(source.phases[1].hints == allowlist::hint_level::full);
  REQUIRE(source.deny.size() == 2);
  CHECK(source.deny[0].ports == allowlist::port_set::any());
  CHECK_FALSE(source.deny[0].ports_written);
  CHECK(source.deny[1].ports.to_string() == "22");
  REQUIRE(source.addresses.size() == 2);
  CHECK(source.addresses[0].hosts.size() == 2);
  CHECK(source.addresses[0].reason == "store");
  CHECK_FALSE(source.addresses[0].literal);
  CHECK(source.addresses[1].literal);
  CHECK(source.addresses[1].prefix.is_single());
}

TEST_CASE("a rule without ports means 443, and 443 alone") {
  const auto policy = config::parse_policy(head + "      - {host: a.example}\n"s, "p");
  REQUIRE(policy);
  const auto& rule = (*policy)->source().phases[0].allow[0];
  CHECK(rule.ports.to_string() == "443");
  CHECK_FALSE(rule.ports_written);
  CHECK(decide(**policy, "agent", "a.example") == core::reason::allowed);
  CHECK(decide(**policy, "agent", "a.example", 80) == core::reason::port_not_allowed);
  CHECK(decide(**policy, "agent", "b.example") == core::reason::no_rule);
}

TEST_CASE("the digest is that of the octets") {
  const auto text = head + "      - {host: a.example}\n"s;
  const auto policy = config::parse_policy(text, "p");
  REQUIRE(policy);
  // printf 'version: 1\nphases:\n  agent:\n    allow:\n      - {host: a.example}\n' | sha256sum
  CHECK((*policy)->source().digest == "da590289ad01608e1b1689014b6c25335be370bbe9497e6acc51a90e3eeee285");
}

TEST_CASE("all errors of a file come at once, in order, with line, column, text and the nearest word") {
  expect(
      {{R"(version: 1
phasess: {}
phases:
  Agent:
    untrustd: true
    mode: enforced
    allow:
      - hots: x.example
      - {host: x.example, prots: [80]}
      - {host: x.example, ports: [0, 70000, "90-80", any, x]}
      - {host: "*.com"}
deny:
  - {host: x.example, expires: 2027-01-01}
)",
        {"p:2:1: unknown key: `phasess` (did you mean `phases`?)",
         "p:4:3: a phase's name is a lower-case letter, then letters, digits and hyphens, 63 at most: "
         "`Agent`",
         "p:5:5: unknown key: `untrustd` (did you mean `untrusted`?)",
         "p:6:11: `mode`: expected enforce or audit, found: `enforced` (did you mean `enforce`?)",
         "p:8:9: unknown key: `hots` (did you mean `host`?)",
         "p:8:9: the rule names neither a `host` nor a `cidr`",
         "p:9:27: unknown key: `prots` (did you mean `ports`?)",
         "p:10:35: `ports`: expected a port from 1 to 65535, a range such as 8000-8100, or any, found: `0`",
         "p:10:38: `ports`: expected a port from 1 to 65535, a range such as 8000-8100, or any, found: "
         "`70000`",
         "p:10:45: the range ends before it begins: `90-80`",
         "p:10:54: stands alone (`ports: any`), not in a list: `any`",
         "p:10:59: `ports`: expected a port from 1 to 65535, a range such as 8000-8100, or any, found: `x`",
         "p:11:16: a wildcard on a public suffix would cover names of unrelated owners; name the domain "
         "in front of "
         "the suffix: `*.com`",
         "p:13:23: a deny that expires would open by itself one day: take it out by hand when it is due: "
         "`expires`"}}});
}

TEST_CASE("the version and the phases are required") {
  expect({
      {"", {"p:1:1: the file is empty; it starts with `version: 1`"}},
      {"# nothing\n", {"p:1:1: the file is empty; it starts with `version: 1`"}},
      {"phases: {a: {}}\n", {"p:1:1: `version: 1` is missing"}},
      {"version: 2\nphases: {a: {}}\n",
       {"p:1:10: `version`: expected version 1, which is what this program reads, found: `2`"}},
      {"version: 1\n", {"p:1:1: `phases` is missing: without a phase nothing is allowed to anybody"}},
      {"version: 1\nphases: {}\n", {"p:1:1: `phases` names no phase"}},
      {"- a\n", {"p:1:1: expected a map that starts with `version: 1`, found a list"}},
      {"hello\n", {"p:1:1: expected a map that starts with `version: 1`, found: `hello`"}},
  });
}

TEST_CASE("what YAML would make ambiguous is refused") {
  expect({
      {"version: 1\nversion: 1\nphases: {a: {}}\n",
       {"p:2:1: the key stands twice, first in line 1: `version`"}},
      {"version: 1\nphases:\n  a: {allow: []}\n  b: {}\n  a: {}\n",
       {"p:5:3: the key stands twice, first in line 3: `a`"}},
      {head + "      - {host: a.example, host: b.example}\n"s,
       {"p:5:27: the key stands twice, first in line 5: `host`"}},
      {"version: 1\nphases: &x\n  a: {}\n", {"p:2:9: anchors (`&name`) are not read"}},
      {"version: 1\nphases:\n  a: &x {}\n  b: *x\n",
       {"p:3:6: anchors (`&name`) are not read", "p:4:6: aliases (`*name`) are not read: write the value out",
        "p:4:6: `b`: expected a phase such as {allow: []}, found an empty text"}},
      {"version: 1\nphases:\n  a:\n    <<: {mode: audit}\n",
       {"p:4:5: merge keys are not read: write the entries out: `<<`"}},
      {"version: !!int 1\nphases: {a: {}}\n", {"p:1:10: tags are not read: `tag:yaml.org,2002:int`"}},
      {"version: 1\nphases: {a: {}}\n---\nversion: 1\n", {"p:3:1: a second document: a file holds one"}},
      {"version: 1\nphases: {a: {}}\n? [x]\n: 1\n", {"p:3:3: a key must be a word"}},
  });
}

TEST_CASE("octets that a reviewer cannot see are refused") {
  expect({
      {"version: 1\nphases: {a: {}} # \xe2\x80\xae\n",
       {"p:2:19: an invisible character that changes how the text looks (control, direction or line "
        "separator): "
        "`\\xe2\\x80\\xae`"}},
      {"version: 1\nphases: {\xff: {}}\n", {"p:2:10: the file is not UTF-8 here: `\\xff`"}},
      {"version: 1\n# a\rphases: {a: {}}\n", {"p:2:4: a carriage return without a line feed"}},
      {"version: 1\n# \x01 and \x7f\nphases: {a: {}}\n",
       {"p:2:3: a control character: `\\x01`", "p:2:9: a control character: `\\x7f`"}},
      {"version: 1\n#\0\nphases: {a: {}}\n"s, {"p:2:2: a control character: `\\x00`"}},
      {"\xff\xfev\0e\0r\0"s,
       {"p:1:1: the file is not UTF-8 here: `\\xff`", "p:1:2: the file is not UTF-8 here: `\\xfe`",
        "p:1:4: a control character: `\\x00`", "p:1:6: a control character: `\\x00`",
        "p:1:8: a control character: `\\x00`"}},
      {head + "      - {host: a.example, reason: \"a\\nb\"}\n"s,
       {"p:5:35: `reason`: expected a text in one line without control characters, found: `a\\x0ab`"}},
  });
  CHECK(config::parse_policy("\xef\xbb\xbfversion: 1\r\nphases: {a: {}}\r\n", "p"));
}

TEST_CASE("wrong kinds of values are named, and an absent value is reported at its key") {
  expect({
      {"version: 1\nphases:\n", {"p:2:1: `phases`: expected a map of phases, found nothing"}},
      {"version: 1\nphases: [a]\n", {"p:2:9: `phases`: expected a map of phases, found a list"}},
      {"version: 1\nphases:\n  agent:\n  mcp: {}\n",
       {"p:3:3: `agent`: expected a phase such as {allow: []}, found nothing"}},
      {"version: 1\nphases:\n  a:\n    allow:\n  b: {}\n",
       {"p:4:5: `allow`: expected a list of rules (`[]` for none), found nothing"}},
      {"version: 1\nphases: {a: {}}\ndeny: x.example\n",
       {"p:3:7: `deny`: expected a list of rules (`[]` for none), found: `x.example`"}},
      {head + "      - x.example\n"s,
       {"p:5:9: `allow`: expected a rule such as {host: example.org}, found: `x.example`"}},
      {head + "      -\n      # comment - here\n      - {host: b.example}\n"s,
       {"p:5:7: `allow`: expected a rule such as {host: example.org}, found nothing"}},
      {head + "      - ~\n"s, {"p:5:9: `allow`: expected a rule such as {host: example.org}, found nothing"}},
      {head + "      - {host: [a.example]}\n"s, {"p:5:16: `host`: expected a host name, found a list"}},
      {head + "      - {host: a.example, ports: []}\n"s,
       {"p:5:34: an empty list of ports admits nothing: leave `ports` out or name some"}},
      {head + "      - {host: a.example, ports: {}}\n"s,
       {"p:5:34: `ports`: expected a port from 1 to 65535, a range such as 8000-8100, or any, found a map"}},
      {head + "      - {host: a.example, reason: }\n"s, {"p:5:27: `reason`: expected a text, found nothing"}},
      {"version: 1\nphases: {a: {untrusted: yes}}\n",
       {"p:2:25: `untrusted`: expected true or false, found: `yes`"}},
      {"version: 1\nphases: {a: {untrusted: \"true\"}}\n",
       {"p:2:25: `untrusted`: expected true or false, found: `true`"}},
  });
}

TEST_CASE("syntax errors have a place") {
  expect({
      {"version: 1\nphases: {a: {}\n",
       {"p:3:1: not readable as YAML: while parsing a flow mapping, did not find expected ',' or '}'"}},
      {"version: 1\nphases: \"a\n",
       {"p:2:9: not readable as YAML: while scanning a quoted scalar, found unexpected end of stream"}},
      {"version: 1\n\tphases: {}\n",
       {"p:2:1: not readable as YAML: while scanning a plain scalar, found a tab character that violates "
        "indentation"}},
  });
}

TEST_CASE("a quoted text that the end of the file cuts short is no name") {
  const std::string no_end =
      "not readable as YAML: while scanning a quoted scalar, found unexpected end of stream";
  expect({
      {head + "      - host: \"a.exam\n"s, {"p:5:15: " + no_end}},
      {head + "      - host: 'a.exam\n"s, {"p:5:15: " + no_end}},
      {head + "      - host: 'it''s\n"s, {"p:5:15: " + no_end}},
  });
  CHECK(config::parse_policy(
      head + "      - {host: 'a.example', reason: \"it's \\\"quoted\\\"\", owner: 'it''s'}"s, "p"));
}

TEST_CASE("deep nesting ends the reading") {
  const std::string deep = "version: 1\nphases: " + std::string(100'000, '[');
  const auto policy = config::parse_policy(deep, "p");
  REQUIRE_FALSE(policy);
  CHECK(policy.error()[0].message == "not readable as YAML: nested more than 32 deep");
  CHECK(policy.error()[0].where.line == 2);
}

TEST_CASE("more errors than anybody reads are counted") {
  std::string text = "version: 1\nphases:\n  a:\n";
  for (int i = 0; i < 250; ++i) text += "    k" + std::to_string(i) + ": 1\n";
  const auto policy = config::parse_policy(text, "p");
  REQUIRE_FALSE(policy);
  REQUIRE(policy.error().size() == 201);
  CHECK(policy.error().front().where == allowlist::mark{"p", 4, 5});
  CHECK(policy.error().back().to_string() == "p: 50 more errors are not shown");
}

TEST_CASE("rules that cannot mean what they say") {
  expect({
      {head + "      - {reason: why}\n"s, {"p:5:9: the rule names neither a `host` nor a `cidr`"}},
      {head + "      - {host: a.example, cidr: 192.0.2.0/24}\n"s,
       {"p:5:9: `host` and `cidr` do not go together: write two rules"}},
      {head + "      - {host: a.example, apex: true}\n"s,
       {"p:5:33: `apex` belongs beside a wildcard `host`: `true`"}},
      {head + "      - {cidr: 192.0.2.0/24, apex: false}\n"s,
       {"p:5:36: `apex` belongs beside a wildcard `host`: `false`"}},
      {head + "      - {cidr: 192.0.2.1/24}\n"s,
       {"p:5:16: " + std::string(describe(core::cidr_error::host_bits_set)) + ": `192.0.2.1/24`"}},
      {head + "      - {host: 192.0.2.1}\n"s,
       {"p:5:16: an IP address is never matched by a host rule; use `cidr`: `192.0.2.1`"}},
      {head + "      - {host: \"*\"}\n"s,
       {"p:5:16: a wildcard alone would cover every name; put a domain behind it: `*`"}},
      {head + "      - {host: \"*.githubusercontent.com\"}\n"s,
       {"p:5:16: a wildcard on a public suffix would cover names of unrelated owners; name the domain in "
        "front of "
        "the suffix: `*.githubusercontent.com`"}},
      {head + "      - {host: https://a.example/}\n"s,
       {"p:5:16: not a host name: labels of letters, digits, '-' and '_' joined by dots, without scheme, "
        "port or "
        "path: `https://a.example/`"}},
      {head + "      - {host: a.example, expires: 2027-02-29}\n"s,
       {"p:5:36: no such day in the calendar: `2027-02-29`"}},
      {head + "      - {host: a.example, expires: 1.3.2027}\n"s,
       {"p:5:36: `expires`: expected a date as YYYY-MM-DD, found: `1.3.2027`"}},
      {head + "      - {host: a.example, tls: of}\n"s,
       {"p:5:32: `tls`: expected require or any, found: `of`"}},
      {"version: 1\nphases: {a: {}}\naddresses:\n  - {cidr: 10.0.0.0/24}\n  - {hosts: [a.example]}\n",
       {"p:4:5: the exception names neither `hosts` nor `literal: true`: nothing could use it",
        "p:5:5: the exception names no `cidr`"}},
      {"version: 1\nphases: {a: {}}\naddresses:\n  - {cidr: 10.0.0.0/24, hosts: []}\n",
       {"p:4:32: `hosts`: expected a list of at least one host, found a list"}},
      {"version: 1\nphases: {a: {}}\ndeny:\n  - {host: a.example, tls: any}\n",
       {"p:4:23: has no meaning under `deny`: nothing of what it names gets through: `tls`"}},
  });
}

TEST_CASE("tests are read into values") {
  const auto policy = config::parse_policy(R"(
version: 1
tests:
  - {phase: agent, url: "https://a.example/path?q", expect: allow, rule: "agent/a.example:443"}
  - {phase: agent, url: "http://b.example:8080", expect: deny, reason: no-rule}
  - {phase: agent, url: "bücher.example:22", expect: would_deny}
phases: {agent: {}}
)",
                                           "p");
  if (!policy) FAIL(config::to_string(policy.error()));
  const auto& tests = (*policy)->source().tests;
  REQUIRE(tests.size() == 3);
  CHECK(tests[0].phase == "agent");
  CHECK(tests[0].url == "https://a.example/path?q");
  CHECK(core::to_string(tests[0].to) == "a.example:443");
  CHECK(tests[0].scheme == core::scheme::https);
  CHECK(tests[0].expect == allowlist::expectation::allow);
  CHECK(tests[0].rule == "agent/a.example:443");
  CHECK_FALSE(tests[0].reason);
  CHECK(tests[0].where == allowlist::mark{"p", 4, 5});
  CHECK(core::to_string(tests[1].to) == "b.example:8080");
  CHECK(tests[1].scheme == core::scheme::http);
  CHECK(tests[1].expect == allowlist::expectation::deny);
  CHECK(tests[1].reason == core::reason::no_rule);
  CHECK(core::to_string(tests[2].to) == "xn--bcher-kva.example:22");
  CHECK(tests[2].expect == allowlist::expectation::would_deny);
}

TEST_CASE("faulty tests are errors with their place") {
  const auto with = [](const std::string& test) {
    return "version: 1\ntests:\n  - " + test + "\nphases: {agent: {}}\n";
  };
  expect({
      {with("{phase: agnet, url: a.example, expect: deny}"),
       {"p:3:5: the test names an unknown phase: `agnet` (did you mean `agent`?)"}},
      {with("{phase: agent, url: \"ftp://a.example/\", expect: deny}"),
       {"p:3:25: only https, http, wss and ws pass a proxy as URLs; for anything else give HOST:PORT: "
        "`ftp://a.example/`"}},
      {with("{phase: agent, url: a.example, expect: denyy}"),
       {"p:3:44: `expect`: expected allow, deny or would_deny, found: `denyy` (did you mean `deny`?)"}},
      {with("{phase: agent, url: a.example, expect: deny, reason: not-tls}"),
       {"p:3:58: `reason`: expected allowed, no-rule, deny-rule, canary, rule-expired, port-not-allowed, "
        "scheme-not-allowed, ip-literal, address-forbidden, address-denied, http-only, method-not-allowed, "
        "path-not-allowed or name-entropy, found: `not-tls`"}},
      {with("{phase: agent, uri: a.example, expect: deny}"),
       {"p:3:5: the test names no `url`", "p:3:20: unknown key: `uri` (did you mean `url`?)"}},
      {with("{}"),
       {"p:3:5: the test names no `phase`", "p:3:5: the test names no `url`",
        "p:3:5: the test does not say what to `expect`"}},
      {with("agent"),
       {"p:3:5: `tests`: expected a test such as {phase: agent, url: \"https://example.org/\", expect: "
        "deny}, "
        "found: `agent`"}},
      {"version: 1\nphases: {a: {}}\ntests: 1\n",
       {"p:3:8: `tests`: expected a list of tests (`[]` for none), found: `1`"}},
  });
}

TEST_CASE("canaries in their short form and in the long one") {
  const auto policy = config::parse_policy(R"(
version: 1
phases:
  setup: {canary: [b.corp.example, Übung.example]}
  agent:
    canary: {action: lockdown, names: [A.corp.example.]}
    allow: [{host: b.corp.example}]
tests:
  - {phase: agent, url: a.corp.example, expect: deny, reason: canary}
)",
                                           "p");
  REQUIRE(policy);
  const auto& setup = (*policy)->source().phases[0];
  REQUIRE(setup.canaries.size() == 2);
  CHECK(setup.canaries[0].name.view() == "b.corp.example");
  CHECK(setup.canaries[0].where.to_string() == "p:4");
  CHECK(setup.canaries[1].name.view() == "xn--bung-zra.example");
  CHECK(setup.canary_action == allowlist::canary_action::alert);
  CHECK((*policy)->source().phases[1].canary_action == allowlist::canary_action::lockdown);
  CHECK(decide(**policy, "agent", "a.corp.example") == core::reason::canary);
  CHECK(decide(**policy, "agent", "b.corp.example") == core::reason::allowed);
  CHECK(decide(**policy, "setup", "b.corp.example", 80, core::scheme::http) == core::reason::canary);
}

TEST_CASE("faulty canaries") {
  const auto with = [](std::string canary) {
    return "version: 1\nphases:\n  agent:\n    canary: " + canary +
           "\n    allow: [{host: '*.corp.example'}]\n";
  };
  std::string many = "[";
  for (int i = 0; i < 65; ++i) many += "n" + std::to_string(i) + ".example, ";
  expect({
      {with("[]"), {"p:4:13: `canary`: expected a list of at least one host name, found a list"}},
      {with("a.example"),
       {"p:4:13: `canary`: expected a list of host names, or a map such as {names: [NAME], action: "
        "lockdown}, found: `a.example`"}},
      {with("{action: alert}"), {"p:4:13: the canary has no `names`"}},
      {with("{names: [a.example], action: lockdwn}"),
       {"p:4:42: `action`: expected alert or lockdown, found: `lockdwn` (did you mean `lockdown`?)"}},
      {with("['*.a.example']"),
       {"p:4:14: a canary is one name: what nobody knows nobody hits by chance, a wildcard everybody does: "
        "`*.a.example`"}},
      {with("[10.0.0.1]"), {"p:4:14: an IP address is never matched by a host rule; use `cidr`: `10.0.0.1`"}},
      {with("[a.example, A.example.]"), {"p:4:25: the name stands in this list already: `A.example.`"}},
      {with(many + "]"), {"p:4:13: more than 64 canaries in one phase"}},
      {with("[a.corp.example]"),
       {"p:4:14: `a.corp.example` is a canary of phase `agent`, but the rule `*.corp.example` at p:5 allows "
        "it there: a name cannot be both"}},
      {"version: 1\ncanary: [a.example]\nphases: {agent: {}}\n",
       {"p:2:1: belongs into a phase: phases.NAME.canary: `canary`"}},
  });
}

TEST_CASE("a key in the wrong place is told where it belongs") {
  const auto error = [](const std::string& text) {
    const auto policy = config::parse_policy(text, "p");
    return policy ? std::string() : policy.error().front().to_string();
  };
  CHECK(error(head + "      - {host: a.example, inspect: true}\n"s).find("not inspected by this version") !=
        std::string::npos);
  CHECK(error("version: 1\nphases: {a: {}}\nuse: node\n").find("belongs into a phase") != std::string::npos);
  CHECK(error("version: 1\nphases: {a: {}}\nmax_names: 1\n").find("unknown key") != std::string::npos);
  CHECK(error("version: 1\nphases: {a: {max_names: 1}}\n").find("unknown key") != std::string::npos);
}

TEST_CASE("conflicts between entries are errors of the same form") {
  const auto policy =
      config::parse_policy(head + "      - {host: a.example, tls: any}\n      - {host: a.example}\n"s, "p");
  REQUIRE_FALSE(policy);
  REQUIRE(policy.error().size() == 1);
  CHECK(policy.error()[0].where.file == "p");
  CHECK(policy.error()[0].where.line >= 5);
  CHECK_FALSE(policy.error()[0].message.empty());
}

TEST_CASE("the built-in policy is valid, excepts no address and enforces everywhere") {
  const auto policy = config::builtin_policy();
  REQUIRE(policy);
  const auto& source = policy->source();
  CHECK(source.addresses.empty());
  CHECK(source.file == "built-in");
  std::vector<std::string> names;
  for (const auto& phase : source.phases) {
    names.push_back(phase.name);
    CHECK(phase.mode == allowlist::phase_mode::enforce);
    CHECK(phase.untrusted == (phase.name != "setup"));
    for (const auto& rule : phase.allow) {
      CHECK_FALSE(rule.reason.empty());
      CHECK(rule.tls == allowlist::tls_mode::require);
      CHECK_FALSE(rule.expires);
    }
  }
  CHECK(names == std::vector<std::string>{"setup", "agent", "mcp"});
  CHECK(decide(*policy, "setup", "mirror.debian.org", 80, core::scheme::http) == core::reason::allowed);
  CHECK(decide(*policy, "setup", "raw.githubusercontent.com") == core::reason::allowed);
  CHECK(decide(*policy, "agent", "api.anthropic.com") == core::reason::allowed);
  CHECK(decide(*policy, "agent", "mirror.debian.org") == core::reason::no_rule);
  CHECK(decide(*policy, "mcp", "api.anthropic.com") == core::reason::no_rule);
}

TEST_CASE("a canary seals a job that there is, for somebody who is proven to belong to it") {
  const auto policy = config::parse_policy(
      "version: 1\nphases:\n  agent: {canary: {names: [a.example], action: lockdown}}\n", "p");
  REQUIRE(policy);
  config::settings settings;
  settings.listeners = {
      {.endpoint = *config::parse_endpoint("127.0.0.1:3129"), .phase = "agent", .tls = {}, .where = {}}};
  const auto wrong = [&] { return config::to_string(config::check_phases(settings, **policy)); };
  CHECK(wrong().contains("canaries that lock the job down need one"));
  CHECK(wrong().contains("127.0.0.1:3129"));
  CHECK(wrong().contains("anybody may be that phase here"));
  CHECK(wrong().contains("p:3:"));
  settings.job.phases = {{"agent"}};
  CHECK_FALSE(wrong().contains("need one"));
  CHECK(wrong().contains("anybody may be that phase here"));
  settings.listeners[0].identity.push_back({.kind = config::identity_check::source::peer,
                                            .peers = {{.uid = 1002, .cgroup = {}, .phase = "agent"}},
                                            .certificates = {},
                                            .tokens = {},
                                            .sources = {},
                                            .upstreams = {},
                                            .any_of = {},
                                            .where = {}});
  CHECK(wrong().empty());
  const auto from = [&](const char* cidr) {
    settings.listeners[0].identity[1] = {.kind = config::identity_check::source::source,
                                         .peers = {},
                                         .certificates = {},
                                         .tokens = {},
                                         .sources = {{*core::cidr::parse(cidr), "agent"}},
                                         .upstreams = {},
                                         .any_of = {},
                                         .where = {}};
    return wrong();
  };
  // Any local process has such an address.
  for (const char* loopback : {"127.0.0.0/8", "127.0.0.1", "0.0.0.0/0", "::1", "::/0"})
    CHECK(from(loopback).contains("anybody may be that phase here"));
  CHECK(from("10.0.0.0/8").empty());
  settings.listeners[0].identity.pop_back();
  settings.listeners[0].endpoint = *config::parse_endpoint("unix:/run/exeat/agent.sock");
  CHECK(wrong().empty());
  settings.job.phases.clear();
  CHECK(wrong().contains("need one"));
  settings.listeners[0].identity = {{.kind = config::identity_check::source::credential,
                                     .peers = {},
                                     .certificates = {},
                                     .tokens = {},
                                     .job_tokens = true,
                                     .sources = {},
                                     .upstreams = {},
                                     .any_of = {},
                                     .where = {}}};
  CHECK(wrong().empty());
  // Where a canary only raises the alarm, nothing is asked of the listeners.
  const auto alert = config::parse_policy("version: 1\nphases:\n  agent: {canary: [a.example]}\n", "p");
  settings.listeners[0].endpoint = *config::parse_endpoint("127.0.0.1:3129");
  settings.listeners[0].identity = {{}};
  CHECK(config::check_phases(settings, **alert).empty());
}

TEST_CASE("listeners must name phases that the policy has") {
  config::settings settings;
  CHECK(config::check_phases(settings, *config::builtin_policy()).empty());
  settings.listeners[1].phase = "agnet";
  settings.listeners[1].where = {"exeat.yaml", 4, 5};
  const auto wrong = config::check_phases(settings, *config::builtin_policy());
  REQUIRE(wrong.size() == 1);
  CHECK(wrong[0].to_string() ==
        "exeat.yaml:4:5: the listener 127.0.0.1:3129 names a phase that built-in does not have: `agnet` (did "
        "you mean "
        "`agent`?)");
  CHECK_FALSE(config::load_policy(settings));
}
