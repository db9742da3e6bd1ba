#include "review/report.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string>

#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::review;
using namespace std::chrono_literals;
namespace json = boost::json;

namespace {

const auto start = log::refusal().time;

blocked_group refused(std::string host = "evil.example", std::uint64_t count = 3,
                      std::string reason = "no-rule") {
  blocked_group out;
  out.host = std::move(host);
  out.port = 443;
  out.scheme = "https";
  out.phase = "agent";
  out.reason = std::move(reason);
  out.count = count;
  out.jobs = 1;
  out.first_seen = start;
  out.last_seen = start + 4s;
  return out;
}

report of(std::vector<blocked_group> rows) {
  report out;
  for (auto& row : rows) {
    out.total += row.count;
    (row.would_deny == row.count ? out.would_deny : out.blocked).push_back(std::move(row));
  }
  return out;
}

new_destination fresh(std::string host) {
  return {.host = std::move(host),
          .port = 443,
          .phase = "agent",
          .rule = "agent/**.example:443",
          .rule_at = "policy.yaml:7",
          .count = 2,
          .jobs = 1,
          .bytes_up = 1,
          .bytes_down = 2,
          .first_seen = start,
          .last_seen = start};
}

/// All that a report can hold, hostile wherever a client, or whoever writes a log, chooses.
report hostile(std::string_view text) {
  auto row = refused(std::string(text));
  row.phase = text;
  row.reason = text;
  row.hint = text;
  row.rule_at = std::string(text) + ":1";
  auto audit = row;
  audit.would_deny = audit.count;
  auto out = of({row, audit});
  out.fresh.emplace().push_back(fresh(std::string(text)));
  out.budgets.emplace().push_back(
      {.phase = std::string(text), .rule = "", .kind = std::string(text), .at = start});
  out.unused.emplace().push_back(
      {std::string(text), std::string(text), std::string(text), std::string(text)});
  return out;
}

const std::string attacks[] = {"\n::error::owned",
                               "::error::owned",
                               "::add-mask::x",
                               "x ##[set-env name=PATH]y",
                               "####[[error]x",
                               "a`|b<img src=x>&amp;\r\n| x |[l](//e)",
                               "</failure><testcase name=\"\">]]>&x;",
                               "\x1b[31m\u202e\xff",
                               "\",\"level\":\"none",
                               "%0A::error::x",
                               std::string(2, '\0')};

}  // namespace

TEST_CASE("text: as wide as needed, the most frequent first, meanings and what to do") {
  auto first = refused();
  first.hint = "say `tls: any`";
  CHECK(
      text_report(of({first, refused("", 1, "bad-host")}))
          .starts_with("COUNT  DESTINATION       PHASE  REASON    FIRST SEEN           LAST SEEN (UTC)\n"
                       "    3  evil.example:443  agent  no-rule   2027-03-31 12:03:44  2027-03-31 12:03:48\n"
                       "    1  -                 agent  bad-host  2027-03-31 12:03:44  2027-03-31 12:03:48\n"
                       "\n4 refused\n\nno-rule: No rule of the phase names this destination.\nbad-host: "));
  CHECK(text_report(of({first})).ends_with("\nTo allow:\n  evil.example:443: say `tls: any`\n"));
  CHECK(text_report({}) == "0 refused\n");
}

TEST_CASE("text: each part that the source knows of") {
  auto mixed = refused("mixed.example");
  mixed.would_deny = 1;
  auto audit = refused("audit.example", 2);
  audit.would_deny = 2;
  auto all = of({mixed, audit});
  all.fresh.emplace().push_back(fresh("new.example"));
  all.budgets.emplace().push_back(
      {.phase = "agent", .rule = "", .kind = "upload", .used = 5U << 20, .limit = 20U << 20, .at = start});
  all.unused.emplace().push_back({"agent", "agent/old.example:443", "policy.yaml:9", "not needed"});
  const auto text = text_report(all);
  for (const auto* const part :
       {"no-rule (1 of 3 audit)", "Would have been refused, but for audit mode:\n", "no-rule (audit)",
        "5 refused, 3 of them let through in audit mode\n", "\nAllowed, and never seen before:\n",
        "new.example:443", "\nBudgets:\n", " 25%  5MiB of 20MiB  upload  phase agent\n",
        "  agent/old.example:443 (policy.yaml:9): not needed\n"})
    CHECK_MESSAGE(text.find(part) != std::string::npos, part, " in ", text);
}

TEST_CASE("whatever the names are, each format stays in its medium") {
  for (const auto& attack : attacks) {
    const auto all = hostile(attack);
    const auto text = text_report(all);
    const auto markdown = markdown_report(all);
    const auto junit = junit_report(all);
    const auto commands = annotations(all);
    const auto json_text = json_report(all);
    const auto sarif = sarif_report(all, "policy.yaml");
    for (const auto* out : {&text, &markdown, &junit, &commands, &json_text, &sarif}) {
      CHECK(std::ranges::all_of(*out, [](char c) { return c == '\n' || (c >= 0x20 && c < 0x7f); }));
      CHECK(out->ends_with('\n'));
    }
    // What a runner of GitHub would take for a command: at the start of a line, the old form anywhere.
    for (const auto* out : {&text, &markdown, &junit}) {
      CHECK(out->find("##[") == std::string::npos);
      for (const auto& line : log::lines_of(*out)) {
        const auto begin = line.find_first_not_of(' ');
        CHECK_FALSE((begin != std::string::npos && line.substr(begin).starts_with("::")));
      }
    }
    CHECK(log::lines_of(commands).size() == 3);
    for (const auto& line : log::lines_of(commands)) {
      CHECK((line.starts_with("::error title=blocked%3A ") || line.starts_with("::warning title=")));
      const auto title = line.substr(line.find('=') + 1);
      CHECK(title.substr(0, title.find("::")).find_first_of(",:") == std::string::npos);
    }
    json::parse(json_text);
    const auto results = json::parse(sarif).at("runs").at(0).at("results").as_array();
    CHECK(results.size() == 3);
    CHECK(results.at(0).at("level") == "error");
    CHECK(std::ranges::count(junit, '\n') == 8);
    CHECK(junit.find("<img") == std::string::npos);
  }
}

TEST_CASE("Markdown from hostile names stays one table") {
  const auto lines =
      log::lines_of(markdown_report(of({refused("a`|b<img src=x>&amp;\r\n| x |[l](//e)", 1)})));
  REQUIRE(lines.size() >= 4);
  CHECK(lines[2] ==
        "| 1 | `a\\x60\\x7cb\\x3cimg src=x\\x3e\\x26amp;\\x0d\\x0a\\x7c x \\x7c[l](//e):443` | `agent` "
        "| `no-rule` | 2027-03-31 12:03:44 | 2027-03-31 12:03:48 |");
  CHECK(lines[3].empty());
  CHECK(lines[4] == "1 refused.");
  CHECK(markdown_report({}) == "0 refused.\n");
}

TEST_CASE("Markdown fits into a job summary, and says what is missing") {
  std::vector<blocked_group> rows;
  for (unsigned i = 0; i < 20'000; ++i) rows.push_back(refused(std::string(200, 'x') + std::to_string(i)));
  auto all = of(std::move(rows));
  auto& many = all.fresh.emplace();
  for (unsigned i = 0; i < 20'000; ++i) many.push_back(fresh("f" + std::to_string(i)));
  const auto out = markdown_report(all);
  CHECK(out.size() < markdown_max);
  CHECK(out.size() > markdown_max / 10 * 8);
  CHECK(out.find("60000 refused.") != std::string::npos);
  CHECK(out.find("never seen before") != std::string::npos);
  CHECK(
      out.ends_with(" lines are left out, for a job summary holds 1 MiB; `exeat report --format json` has "
                    "them.\n"));
}

TEST_CASE("JSON reads back") {
  auto row = refused();
  row.hint = "allow:\n  - host: x.example";
  auto all = of({row});
  all.fresh.emplace().push_back(fresh("new.example"));
  const auto out = json::parse(json_report(all)).as_object();
  const auto one = out.at("refusals").as_array().at(0).as_object();
  CHECK(one.at("host") == "evil.example");
  CHECK(one.at("port") == 443);
  CHECK(one.at("count") == 3);
  CHECK(one.at("first_seen") == "2027-03-31T12:03:44.000123Z");
  CHECK(one.at("hint") == "allow:\n  - host: x.example");
  CHECK(out.at("total") == 3);
  CHECK(out.at("new").at(0).at("bytes_down") == 2);
  CHECK_FALSE(out.contains("budgets"));
  CHECK(json::parse(json_report({})).at("refusals").as_array().empty());
}

TEST_CASE("SARIF points at the policy, JUnit always has a case") {
  auto row = refused();
  row.rule_at = "/etc/ex eat/policy.yaml:12";
  const auto results =
      json::parse(sarif_report(of({row, refused("b.example")}), "p.yaml")).at("runs").at(0).at("results");
  const auto place = [&](unsigned i) { return results.at(i).at("locations").at(0).at("physicalLocation"); };
  CHECK(place(0).at("artifactLocation").at("uri") == "file:///etc/ex%20eat/policy.yaml");
  CHECK(place(0).at("region").at("startLine") == 12);
  CHECK(place(1).at("artifactLocation").at("uri") == "p.yaml");
  CHECK(place(1).at("region").at("startLine") == 1);
  CHECK(results.at(0).at("ruleId") == "blocked/no-rule");
  CHECK(junit_report({}).find("tests=\"1\" failures=\"0\"") != std::string::npos);
  CHECK(junit_report(of({row})).find("tests=\"1\" failures=\"1\"") != std::string::npos);
}

TEST_CASE("annotations: no more than GitHub shows") {
  std::vector<blocked_group> rows;
  for (unsigned i = 0; i < 30; ++i) rows.push_back(refused("h" + std::to_string(i)));
  CHECK(log::lines_of(annotations(of(rows))).size() == 10);
  CHECK(annotations(of({refused()})) ==
        "::error title=blocked%3A evil.example%3A443::3 x no-rule in phase agent\n");
}
