// Bundles by `use`, the terms of rules, and what a policy includes.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "allowlist/bundles.hpp"
#include "allowlist/policy.hpp"
#include "config/load.hpp"
#include "config/temporary_directory.hpp"

using namespace exeat;
using namespace std::string_literals;

namespace {

using files = std::map<std::string, std::string>;

// Files by path; a directory lists those right below it.
config::include_source source_of(const files& all) {
  return {
      .read = [&all](const std::string& path) -> std::expected<std::string, config::errors> {
        const auto found = all.find(path);
        if (found != all.end()) return found->second;
        return std::unexpected(config::errors{
            {.kind = config::error_kind::unreadable, .where = {.file = path}, .message = "no such file"}});
      },
      .list =
          [&all](const std::string& directory) -> std::expected<std::vector<std::string>, config::errors> {
        std::vector<std::string> out;
        for (const auto& [path, text] : all) {
          if (path.starts_with(directory)) out.push_back(path);
        }
        return out;
      }};
}

std::string first_error(const std::string& text, const files& all = {}) {
  const auto policy = config::parse_policy(text, "base/p.yaml", source_of(all));
  if (policy) return "";
  return policy.error().front().to_string();
}

const allowlist::rule* governing(const allowlist::policy& policy, std::string_view phase,
                                 std::string_view host, std::uint16_t port = 443) {
  const core::destination to{.host = core::host_name::parse(host).value(), .port = port};
  const auto decision =
      allowlist::decide(policy, {.phase = policy.find_phase(phase).value(), .to = &to, .now = {}});
  return decision.verdict == allowlist::verdict::allow ? decision.governing : nullptr;
}

std::string rule_error(const std::string& rule) {
  return first_error("version: 1\nphases:\n  agent:\n    allow:\n      - " + rule + "\n");
}

constexpr auto base = "version: 1\ninclude: [add.yaml]\nphases:\n  agent:\n    allow: [{host: a.example}]\n";

}  // namespace

TEST_CASE("use brings every host of a bundle, with the notes of its entry") {
  const auto policy = config::parse_policy(
      "version: 1\nphases:\n  agent:\n    allow:\n"
      "      - {use: anthropic, owner: me, accept_risk: model, upload_limit: 5MiB, expires: 2100-01-01}\n",
      "p");
  REQUIRE(policy);
  const auto* bundle = allowlist::find_bundle("anthropic");
  REQUIRE(bundle != nullptr);
  const auto& rules = (*policy)->source().phases[0].allow;
  REQUIRE(rules.size() == bundle->hosts.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    CHECK(rules[i].bundle == "anthropic");
    CHECK(allowlist::what_text(rules[i]) == bundle->hosts[i].host);
    CHECK(rules[i].reason == bundle->hosts[i].reason);
    CHECK(rules[i].owner == "me");
    CHECK(rules[i].accept_risk == "model");
    CHECK(rules[i].where.line == 5);
    CHECK_FALSE(rules[i].ports_written);
    REQUIRE(rules[i].terms);
    CHECK(rules[i].terms->limits.upload == 5U << 20);
  }
}

TEST_CASE("every bundle loads, alone and all together") {
  std::string all = "version: 1\nphases:\n  agent:\n    allow:\n";
  for (const auto& bundle : allowlist::bundles()) {
    CAPTURE(bundle.name);
    const auto entry = "      - use: " + std::string(bundle.name) + "\n";
    CHECK(first_error("version: 1\nphases:\n  agent:\n    allow:\n" + entry).empty());
    all += entry;
  }
  CHECK(first_error(all).empty());
}

TEST_CASE("what is written out governs before a bundle") {
  const auto policy = config::parse_policy(
      "version: 1\nphases:\n  agent:\n    allow:\n      - use: anthropic\n"
      "      - {host: api.anthropic.com, reason: mine, upload_limit: 1MiB}\n",
      "p");
  REQUIRE(policy);
  REQUIRE(governing(**policy, "agent", "api.anthropic.com") != nullptr);
  CHECK(governing(**policy, "agent", "api.anthropic.com")->reason == "mine");
}

TEST_CASE("what is wrong with a use, or with a term, is said where it stands") {
  CHECK(rule_error("{use: anthropick}") ==
        "base/p.yaml:5:15: unknown bundle (`exeat bundles` lists them): `anthropick` (did you mean "
        "`anthropic`?)");
  CHECK(rule_error("{use: node, host: a.example}").find("write two rules") != std::string::npos);
  CHECK(rule_error("{use: node, ports: 80}").find("its own ports") != std::string::npos);
  CHECK(rule_error("{use: [node]}").find("a bundle") != std::string::npos);
  CHECK(rule_error("{host: a.example, max_names: 3}").find("wildcard") != std::string::npos);
  CHECK(rule_error("{host: '*.a.example', max_names: 0}").find("max_names") != std::string::npos);
  CHECK(rule_error("{host: '*.a.example', max_name_entropy: 64}").empty());
  CHECK(rule_error("{host: a.example, max_name_entropy: 64}").find("wildcard") != std::string::npos);
  CHECK(rule_error("{cidr: 1.1.1.0/24, max_name_entropy: 64}").find("wildcard") != std::string::npos);
  CHECK(rule_error("{use: node, max_name_entropy: 64}").find("write out") != std::string::npos);
  for (const auto* bits : {"3", "0", "-1", "1339", "64 bits", "[64]"})
    CHECK_FALSE(rule_error(fmt::format("{{host: '*.a.example', max_name_entropy: {}}}", bits)).empty());
  CHECK(rule_error("{host: a.example, upload_limit: 5}").empty());
  CHECK_FALSE(rule_error("{host: a.example, upload_limit: 5 MB}").empty());
  CHECK_FALSE(rule_error("{host: a.example, upload_limit: 0}").empty());
  CHECK_FALSE(rule_error("{host: a.example, upload_limit: -1}").empty());
  CHECK(rule_error("{cidr: 1.1.1.1, resolve_in: 1.1.1.1}").find("not looked up") != std::string::npos);
  CHECK_FALSE(rule_error("{host: a.example, resolve_in: []}").empty());
  CHECK(rule_error("{host: a.example, methods: [GET]}").find("ports: [80]") != std::string::npos);
  CHECK(rule_error("{host: a.example, ports: [80, 443], paths: /a}").find("ports: [80]") !=
        std::string::npos);
  CHECK(rule_error("{host: a.example, ports: any, paths: /a}").find("ports: [80]") != std::string::npos);
  CHECK(rule_error("{host: a.example, ports: 80, paths: [/a, /b/**], methods: GET}").empty());
  CHECK(rule_error("{host: a.example, ports: 80, methods: [get]}").find("did you mean `GET`") !=
        std::string::npos);
  CHECK(rule_error("{host: a.example, ports: 80, methods: [CONNECT]}").find("tunnel") != std::string::npos);
  CHECK(rule_error("{host: a.example, ports: 80, paths: [/a/../b]}").find("more than one way") !=
        std::string::npos);
  CHECK(rule_error("{host: a.example, ports: 80, methods: [GET], tls: any}").find("no meaning") !=
        std::string::npos);
  CHECK(rule_error("{host: a.example, inspect: true}").find("not inspected by this version") !=
        std::string::npos);
  CHECK(rule_error("{host: a.example, final: true}").find("under `deny`") != std::string::npos);
  CHECK(first_error("version: 1\nphases: {agent: {allow: []}}\ndeny: [{host: a.example, max_names: 3}]\n")
            .find("no meaning under `deny`") != std::string::npos);
}

TEST_CASE("limits of phase and job") {
  const auto policy = config::parse_policy(
      "version: 1\nupload_limit: 1GiB\nphases:\n  agent: {download_limit: 2MB, upload_limit: 7, allow: []}\n",
      "p");
  REQUIRE(policy);
  const auto& source = (*policy)->source();
  CHECK(source.limits.upload == 1U << 30);
  CHECK_FALSE(source.limits.download);
  CHECK(source.phases[0].limits ==
        allowlist::transfer_limits{.upload = 7, .download = 2'000'000, .requests = {}});

  const auto requests = config::parse_policy(
      "version: 1\nrequest_limit: 1000000000000\nphases:\n"
      "  agent: {request_limit: 7, time_limit: 90m, allow: [{host: a.example, request_limit: 1}, {use: "
      "openai, "
      "accept_risk: model, request_limit: 2}]}\n",
      "p");
  REQUIRE(requests);
  const auto& counted = (*requests)->source();
  CHECK(counted.limits.requests == 1'000'000'000'000);
  CHECK(counted.phases[0].limits.requests == 7);
  CHECK(counted.phases[0].time_limit == std::chrono::minutes(90));
  for (const auto& rule : counted.phases[0].allow)
    CHECK(rule.terms->limits.requests == (rule.bundle.empty() ? 1 : 2));
  const auto wrong = [](std::string_view keys) {
    return first_error("version: 1\nphases:\n  agent: {" + std::string(keys) + "}\n");
  };
  for (const auto* value : {"0", "-1", "1MB", "1000000000001", "1.5", "none", "[1]", "''"}) {
    CAPTURE(value);
    CHECK(wrong("request_limit: "s + value)
              .contains("`request_limit`: expected a number from 1 to 1000000000000"));
  }
  for (const auto* value : {"0", "30", "999ms", "366d", "never", "[1s]"}) {
    CAPTURE(value);
    CHECK(wrong("time_limit: "s + value).contains("`time_limit`: expected a duration"));
  }
  CHECK(first_error("version: 1\ntime_limit: 5m\nphases: {agent: {}}\n")
            .contains("belongs into a phase: phases.NAME.time_limit"));
  CHECK(rule_error("{host: a.example, time_limit: 5m}").contains("unknown key"));
}

TEST_CASE("an included file adds rules, denies and tests") {
  const files all{{"base/add.yaml",
                   "version: 1\nphases:\n  agent:\n    allow: [{host: b.example}]\n"
                   "deny: [{host: c.example}]\n"
                   "tests: [{phase: agent, url: \"https://b.example/\", expect: allow}]\n"}};
  const auto policy = config::parse_policy(base, "base/p.yaml", source_of(all));
  REQUIRE(policy);
  const auto* rule = governing(**policy, "agent", "b.example");
  REQUIRE(rule != nullptr);
  CHECK(rule->included);
  CHECK(rule->at == "base/add.yaml:4");
  CHECK(governing(**policy, "agent", "a.example") != nullptr);
  CHECK((*policy)->source().deny.size() == 1);
  CHECK((*policy)->source().tests.size() == 1);
  REQUIRE((*policy)->source().includes.size() == 1);
  CHECK((*policy)->source().includes[0].file == "base/add.yaml");
  auto changed = all;
  changed["base/add.yaml"] += "# \n";
  CHECK(config::parse_policy(base, "base/p.yaml", source_of(changed)).value()->source().digest !=
        (*policy)->source().digest);
}

TEST_CASE("an included file may hold nothing else") {
  const auto added = [](const std::string& text) { return first_error(base, {{"base/add.yaml", text}}); };
  const auto refused = "belongs to the base policy"s;
  CHECK(added("version: 1\n").empty());
  for (const auto* key : {"mode: audit", "untrusted: false", "hints: full", "ech: allow", "upload_limit: 5",
                          "final: true", "canary: [a.example]", "request_limit: 5", "time_limit: 5m"}) {
    CAPTURE(key);
    CHECK(added("version: 1\nphases:\n  agent: {"s + key + "}\n").find(refused) != std::string::npos);
  }
  CHECK(added("version: 1\naddresses: []\n").find(refused) != std::string::npos);
  CHECK(added("version: 1\nupload_limit: 5\n").find(refused) != std::string::npos);
  CHECK(added("version: 1\ninclude: [x.yaml]\n").find("includes nothing") != std::string::npos);
  CHECK(added("version: 1\nphases: {agent: {allow: [{host: x.example, tls: any}]}}\n").find(refused) !=
        std::string::npos);
  CHECK(added("version: 1\nphases: {agent: {allow: [{host: x.example, ech: allow}]}}\n").find(refused) !=
        std::string::npos);
  CHECK(added("version: 1\ndeny: [{host: x.example, final: true}]\n").find(refused) != std::string::npos);
  CHECK(added("version: 1\nphases: {agnt: {allow: []}}\n") ==
        "base/add.yaml:2:10: an included file adds to phases of the base policy, which has none of that "
        "name: `agnt` "
        "(did you mean `agent`?)");
  CHECK(added("phases: {}\n").find("version") != std::string::npos);
  CHECK(added("version: 1\ntests: [{phase: x, url: \"https://a.example/\", expect: deny}]\n")
            .starts_with("base/add.yaml:2:9: the test names an unknown phase"));
}

TEST_CASE("what cannot be included") {
  CHECK(first_error(base) == "base/add.yaml: no such file (included at base/p.yaml:2)");
  CHECK_FALSE(config::parse_policy(base, "p"));
  const files self{{"base/p.yaml", base}};
  const auto text = [](const std::string& include) {
    return "version: 1\ninclude: " + include + "\nphases: {agent: {allow: []}}\n";
  };
  CHECK(first_error(text("p.yaml"), self).find("part of this policy already") != std::string::npos);
  CHECK(first_error(text("./../base/p.yaml"), self).find("part of this policy already") != std::string::npos);
  const files one{{"base/d/a.yaml", "version: 1\n"}};
  CHECK(first_error(text("[d/a.yaml, d/]"), one).find("part of this policy already") != std::string::npos);
  CHECK(first_error(text("d/"), one).empty());
  CHECK(first_error(text("{a: b}"), one).find("a list of paths") != std::string::npos);
  CHECK(first_error(text("[]"), one).empty());
}

TEST_CASE("a contradiction between files names both") {
  const auto text = first_error(
      base, {{"base/add.yaml", "version: 1\nphases: {agent: {allow: [{host: a.example, reason: x}]}}\n"}});
  CHECK(text.find("base/add.yaml:2") != std::string::npos);
  CHECK(text.find("base/p.yaml:5") != std::string::npos);
}

TEST_CASE("what is final in the base") {
  const files all{{"base/add.yaml", "version: 1\nphases: {agent: {allow: [{host: x.evil.example}]}}\n"}};
  CHECK(first_error("version: 1\ninclude: add.yaml\nphases: {agent: {final: true, allow: []}}\n", all)
            .find("no included file can add") != std::string::npos);
  CHECK(first_error("version: 1\ninclude: add.yaml\nphases: {agent: {allow: []}}\n"
                    "deny: [{host: '**.evil.example', final: true}]\n",
                    all)
            .find("it would never match") != std::string::npos);
  CHECK(
      first_error(
          "version: 1\ninclude: add.yaml\nphases: {agent: {allow: []}}\ndeny: [{host: '**.evil.example'}]\n",
          all)
          .empty());
}

TEST_CASE("from disk: relative to the file, directories in order, hidden files left out") {
  const config::temporary_directory here;
  here.write("p.yaml", "version: 1\ninclude: [one.yaml, more/]\nphases: {agent: {allow: []}}\n");
  const auto rule = [](std::string host) {
    return "version: 1\nphases: {agent: {allow: [{host: " + host + "}]}}\n";
  };
  here.write("one.yaml", rule("one.example"));
  here.make_directory("more");
  here.write("more/b.yaml", rule("b.example"));
  here.write("more/a.yml", rule("a.example"));
  here.write("more/.c.yaml", rule("c.example"));
  here.write("more/readme.txt", "no policy");
  const auto policy = config::load_policy_file((here / "p.yaml"));
  REQUIRE(policy);
  const auto& source = (*policy)->source();
  CHECK(source.phases[0].allow.size() == 3);
  REQUIRE(source.includes.size() == 4);
  CHECK(source.includes[1].file == (here / "more/"));
  CHECK(source.includes[2].file == (here / "more/a.yml"));

  here.write("p.yaml", "version: 1\ninclude: gone/\nphases: {agent: {allow: []}}\n");
  const auto missing = config::load_policy_file((here / "p.yaml"));
  REQUIRE_FALSE(missing);
  CHECK(missing.error().front().message.find("cannot be read") != std::string::npos);
}
