#include "log/report.hpp"

#include <doctest/doctest.h>

#include <random>
#include <sstream>

#include "log/format.hpp"
#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::log;
using namespace std::chrono_literals;

namespace {

const auto start = refusal().time;

/// A line of blocked.log; `number` makes the id and moves the time on by seconds.
std::string line(unsigned number, std::string_view host = "evil.example",
                 core::reason reason = core::reason::no_rule, proxy::outcome verdict = proxy::outcome::deny) {
  proxy::event event = refusal(host);
  event.id = core::decision_id{number};
  event.time = start + std::chrono::seconds{number};
  event.reason = reason;
  event.verdict = verdict;
  std::string out;
  append_json(out, event);
  return out;
}

report report_of(const std::string& text, report_options options = {}) {
  std::istringstream in(text);
  options.files = {"-"};
  return make_report(options, in);
}

}  // namespace

TEST_CASE("refusals are grouped, counted and sorted by count") {
  const report r =
      report_of(line(1) + line(2, "b.example") + line(5) + line(3) + line(4, "", core::reason::bad_host));
  REQUIRE(r.rows.size() == 3);
  CHECK(r.total == 5);
  CHECK(r.malformed == 0);
  CHECK(r.rows[0].host == "evil.example");
  CHECK(r.rows[0].port == 443);
  CHECK(r.rows[0].phase == "agent");
  CHECK(r.rows[0].reason == "no-rule");
  CHECK(r.rows[0].count == 3);
  CHECK(r.rows[0].first_seen == "2027-03-31T12:03:45.000123Z");
  CHECK(r.rows[0].last_seen == "2027-03-31T12:03:49.000123Z");
}

TEST_CASE("other reasons, phases and ports are other groups; audit is told apart") {
  const report r = report_of(line(1) + line(2, "evil.example", core::reason::deny_rule) +
                             line(3, "evil.example", core::reason::no_rule, proxy::outcome::would_deny));
  REQUIRE(r.rows.size() == 2);
  CHECK(r.rows[0].would_deny == 1);
}

TEST_CASE("what is no refusal is passed over, what stands there twice counts once") {
  std::string noise;
  append_json(noise, message{start, level::info, "ready", "x"});
  append_json(noise, loss{start, metrics::log_sink::blocked, 7});
  noise += line(8, "fine.example", core::reason::allowed, proxy::outcome::allow);
  noise += line(9, "slow.example", core::reason::dns_timeout, proxy::outcome::error);
  noise += line(10, "cut.example", core::reason::sni_mismatch, proxy::outcome::error);
  const report r = report_of(noise + line(1) + line(1));
  CHECK(r.total == 2);
  CHECK(r.lost == 7);
  CHECK(r.malformed == 0);
}

TEST_CASE("malformed lines are counted and harm nothing") {
  const std::string good = line(1);
  std::string bad = "\n{}\nnot json\n[1]\n\"x\"\n{\"time\":1}\n" + good.substr(0, good.size() / 2) + "\n";
  bad += R"({"time":"2027-03-31T12:03:44.000123Z","event":"decision","verdict":"deny","reason":"no-rule"})"
         "\n";
  bad +=
      R"({"time":"2027-03-31T12:03:44.000123Z","event":"decision","decision":"1","verdict":"deny","reason":"no-rule","port":65536})"
      "\n";
  bad += std::string(1 << 20, '[') + "\n" + std::string(100, '\0') + "\n";
  const report r = report_of(bad + good + good.substr(0, 40));
  CHECK(r.total == 1);
  CHECK(r.malformed == 11);
}

TEST_CASE("any bytes at all are no crash") {
  std::mt19937 random(11);
  std::string text;
  for (unsigned i = 0; i < 3000; ++i) {
    std::string l = line(i, "h" + std::to_string(i % 50));
    l[random() % (l.size() - 1)] = static_cast<char>(random());
    if (i % 5 == 0) l = line(i, std::string(1, static_cast<char>(random())) + "`|<script>\n\x1b[31m\u202e");
    text += l;
  }
  CHECK(report_of(text).total > 500);
}

TEST_CASE("of one phase, or one job, alone") {
  std::string text;
  for (unsigned number = 0; number < 6; ++number) {
    proxy::event event = refusal();
    event.id = core::decision_id{number};
    event.phase = number < 4 ? "agent" : "setup";
    event.job = number % 2 == 0 ? "a" : "";
    append_json(text, event);
  }
  CHECK(report_of(text, {.phase = "agent"}).total == 4);
  CHECK(report_of(text, {.job = ""}).total == 3);
  CHECK(report_of(text, {.phase = "setup", .job = "a"}).total == 1);
}

TEST_CASE("since") {
  const std::string text = line(0) + line(10) + line(20);
  report_options options;
  options.since = start + 10s;
  CHECK(report_of(text, options).total == 2);

  using namespace std::chrono;
  const auto now = system_clock::time_point{sys_days{2027y / 4 / 1}};
  CHECK(parse_since("24h", now) == sys_days{2027y / 3 / 31});
  CHECK(parse_since("2027-03-31", now) == sys_days{2027y / 3 / 31});
  CHECK(parse_since("2027-03-31T12:30:01Z", now) == sys_days{2027y / 3 / 31} + 12h + 30min + 1s);
  for (const char* wrong :
       {"", "yesterday", "2027-02-30", "2027-03-31T24:00:00Z", "2027-03-31T12:30:01", "24"}) {
    CHECK_FALSE(parse_since(wrong, now));
  }
}

TEST_CASE("rotated siblings are read too; what is not there is said") {
  const temporary_directory directory;
  const std::string file = directory / "blocked.log";
  std::ofstream(file) << line(3);
  std::ofstream(file + ".1") << line(2);
  std::ofstream(file + ".2") << line(1);
  std::istringstream none;
  report_options options{.files = {file}};
  CHECK(make_report(options, none).total == 3);
  options.rotated = false;
  CHECK(make_report(options, none).total == 1);
  options.rotated = true;
  options.files = {file, directory / "missing", directory / ""};
  const auto both = make_report(options, none);
  CHECK(both.total == 3);
  CHECK(both.unreadable ==
        std::vector<std::string>{"cannot read " + directory / "missing" + ": No such file or directory",
                                 "cannot read " + (directory / "") + ": Is a directory"});
}
