#include "config/print_policy.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "allowlist/bundles.hpp"
#include "config/builtin_policy.hpp"
#include "config/load.hpp"

using namespace exeat;

namespace {

config::shared_policy load(const std::string& text) {
  auto policy = config::parse_policy(text, "p");
  if (!policy) FAIL(config::to_string(policy.error()), text);
  return *policy;
}

// Writes random policies by hand, in spellings of its own, so that print_policy is held against something
// else.
class author {
 public:
  explicit author(unsigned seed) : random_(seed) {}

  std::string policy() {
    std::string out = "version: 1\n";
    if (chance(4)) out += "upload_limit: " + size() + "\n";
    if (chance(4)) out += "download_limit: " + size() + "\n";
    if (chance(4)) out += fmt::format("request_limit: {}\n", 1 + below(1000));
    out += "phases:\n";
    for (const auto* name : {"setup", "agent", "mcp-x"}) {
      out += fmt::format("  {}:\n", name);
      if (chance(2)) out += fmt::format("    untrusted: {}\n", chance(2));
      if (chance(3)) out += fmt::format("    mode: {}\n", chance(2) ? "audit" : "enforce");
      if (chance(3)) out += fmt::format("    hints: {}\n", chance(2) ? "full" : "code");
      if (chance(3)) out += fmt::format("    ech: {}\n", chance(2) ? "allow" : "refuse");
      if (chance(4)) out += "    upload_limit: " + size() + "\n";
      if (chance(4)) out += fmt::format("    request_limit: {}\n", 1 + below(1000));
      if (chance(4)) out += fmt::format("    time_limit: {}{}\n", 1 + below(99), chance(2) ? "s" : "h");
      if (chance(6)) out += "    final: true\n";
      if (chance(4)) out += "    canary: [vault-1.example, tokens-2.example]\n";
      if (chance(4) && !out.ends_with("example]\n"))
        out += "    canary: {action: lockdown, names: [\"state-3.example\"]}\n";
      out += "    allow:\n";
      const int rules = 1 + below(6);
      for (int i = 0; i < rules; ++i) out += "      - " + (chance(5) ? use() : allow()) + "\n";
    }
    out += "deny:\n  - {host: '**.webhook.site', apex: true}\n";
    for (int i = below(4); i > 0; --i) {
      out += fmt::format("  - {{host: {}, final: {}{}{}}}\n", host(), chance(2),
                         chance(2) ? ", ports: 80" : "", note("reason"));
    }
    if (chance(2)) {
      out += fmt::format(
          "addresses:\n  - {{cidr: 10.20.{}.0/24, hosts: ['**.corp.example'], reason: store{}}}\n",
          below(200), chance(2) ? ", literal: true" : "");
    }
    out += fmt::format(
        "tests:\n  - {{phase: agent, url: 'http://x.example:8080/a', expect: deny, method: {}}}\n",
        chance(2) ? "GET" : "POST");
    return out;
  }

 private:
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  bool chance(int n) { return below(n) == 0; }
  std::string host() {
    constexpr const char* front[]{"", "*.", "**.", "a.", "b.a."};
    return fmt::format("'{}h{}.example'", front[below(5)], counter_++);
  }
  std::string size() {
    constexpr const char* units[]{"", "kB", "MB", "KiB", "MiB", "GiB"};
    return fmt::format("{}{}", 1 + below(1000), units[below(6)]);
  }
  std::string note(std::string_view key) {
    constexpr const char* texts[]{"plain words",
                                  "'yes'",
                                  "\"with \\\" and \\\\ x\"",
                                  "'# {}[], : -'",
                                  "\"\xc3\xa4\xe2\x82\xac \xf0\x9f\x98\x80\"",
                                  "'12'",
                                  "' lead'",
                                  "'2027-01-01'"};
    return chance(2) ? "" : fmt::format(", {}: {}", key, texts[below(8)]);
  }
  std::string use() {
    const auto all = allowlist::bundles();
    return fmt::format("{{use: {}{}{}{}{}}}",
                       all[static_cast<std::size_t>(below(static_cast<int>(all.size())))].name, note("owner"),
                       note("accept_risk"), note("reason"), chance(3) ? ", expires: 2099-12-31" : "");
  }
  std::string allow() {
    if (chance(8)) return fmt::format("{{cidr: '{}.0.0.0/8'}}", 11 + counter_++ % 80);
    const auto name = host();
    const bool wild = name[1] == '*';
    auto out = fmt::format("{{host: {}", name);
    if (wild && chance(2)) out += ", apex: true";
    if (chance(4)) {
      out += ", ports: 80, methods: [POST, GET], paths: [/x/**, '/y', '/z/*']";
    } else {
      constexpr const char* ports[]{"", ", ports: 443", ", ports: any", ", ports: [8443, 80, '9000-9010']",
                                    ", ports: 80-90"};
      out += ports[below(5)];
      if (chance(4)) out += ", tls: any";
      if (chance(4)) out += chance(2) ? ", ech: allow" : ", ech: refuse";
    }
    if (wild && chance(3)) out += fmt::format(", max_names: {}", 1 + below(20));
    if (wild && chance(3)) out += fmt::format(", max_name_entropy: {}", 4 + below(200));
    if (chance(5)) out += ", resolve_in: [192.0.2.0/24, '2001:db8::/32']";
    if (chance(4)) out += ", upload_limit: " + size();
    if (chance(4)) out += ", download_limit: " + size();
    if (chance(4)) out += fmt::format(", request_limit: {}", 1 + below(1000));
    if (chance(5)) out += ", expires: 2031-01-31";
    return out + note("reason") + note("owner") + note("ticket") + note("accept_risk") + "}";
  }

  std::mt19937 random_;
  int counter_ = 0;
};

void check_same(const std::vector<allowlist::rule>& a, const std::vector<allowlist::rule>& b) {
  static const allowlist::rule_terms none;
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i].id);
    CHECK(a[i].id == b[i].id);
    CHECK(a[i].what == b[i].what);
    CHECK(a[i].ports == b[i].ports);
    CHECK(a[i].ports_written == b[i].ports_written);
    CHECK(a[i].tls == b[i].tls);
    CHECK(a[i].ech == b[i].ech);
    CHECK(a[i].reason == b[i].reason);
    CHECK(a[i].owner == b[i].owner);
    CHECK(a[i].ticket == b[i].ticket);
    CHECK(a[i].accept_risk == b[i].accept_risk);
    CHECK(a[i].expires == b[i].expires);
    CHECK(a[i].bundle == b[i].bundle);
    CHECK(a[i].final == b[i].final);
    CHECK((a[i].terms ? *a[i].terms : none) == (b[i].terms ? *b[i].terms : none));
  }
}

void check_same(const allowlist::policy_source& a, const allowlist::policy_source& b) {
  CHECK(a.limits == b.limits);
  REQUIRE(a.phases.size() == b.phases.size());
  for (std::size_t i = 0; i < a.phases.size(); ++i) {
    const auto& x = a.phases[i];
    const auto& y = b.phases[i];
    CHECK(std::tie(x.name, x.untrusted, x.mode, x.hints, x.ech, x.limits, x.final) ==
          std::tie(y.name, y.untrusted, y.mode, y.hints, y.ech, y.limits, y.final));
    CHECK(x.time_limit == y.time_limit);
    CHECK(x.canary_action == y.canary_action);
    CHECK(std::ranges::equal(x.canaries, y.canaries, {}, &allowlist::canary::name, &allowlist::canary::name));
    check_same(x.allow, y.allow);
  }
  check_same(a.deny, b.deny);
  REQUIRE(a.addresses.size() == b.addresses.size());
  for (std::size_t i = 0; i < a.addresses.size(); ++i) {
    const auto& x = a.addresses[i];
    const auto& y = b.addresses[i];
    CHECK(std::tie(x.prefix, x.hosts, x.literal, x.reason) ==
          std::tie(y.prefix, y.hosts, y.literal, y.reason));
  }
  REQUIRE(a.tests.size() == b.tests.size());
  for (std::size_t i = 0; i < a.tests.size(); ++i) {
    const auto& x = a.tests[i];
    const auto& y = b.tests[i];
    CHECK(std::tie(x.phase, x.url, x.method, x.path, x.expect, x.rule, x.reason) ==
          std::tie(y.phase, y.url, y.method, y.path, y.expect, y.rule, y.reason));
  }
}

}  // namespace

TEST_CASE("a printed policy loads as what it was") {
  for (unsigned seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    const auto text = author(seed).policy();
    const auto first = load(text);
    const auto printed = config::print_policy(first->source());
    const auto again = load(printed);
    check_same(first->source(), again->source());
    CHECK(config::print_policy(again->source()) == printed);
  }
}

TEST_CASE("the built-in policy is printed and loads") {
  const auto policy = config::builtin_policy();
  check_same(policy->source(), load(config::print_policy(policy->source()))->source());
}

TEST_CASE("scalars are plain where nobody can misread them") {
  using config::print_scalar;
  CHECK(print_scalar("why not") == "why not");
  CHECK(print_scalar("a.example") == "a.example");
  for (const auto* text :
       {"", "yes", "Null", "12", "a: b", "a #b", "*.a", "[x]", "a,b", " a", "a ", "- a", "~"}) {
    CAPTURE(text);
    CHECK(print_scalar(text) == fmt::format("\"{}\"", text));
  }
  CHECK(print_scalar("a\nb\"\\\x7f") == "\"a\\x0ab\\\"\\\\\\x7f\"");
  CHECK(print_scalar("\xff") == "\"\xef\xbf\xbd\"");
  CHECK(print_scalar("\xe2\x80\xae") == "\"\\u202e\"");
}
