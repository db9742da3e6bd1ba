#include "review/query.hpp"

#include <doctest/doctest.h>

#include "log/test_event.hpp"
#include "review/ledger.hpp"

using namespace exeat;
using namespace exeat::review;
using namespace std::chrono_literals;

namespace {

const auto start = std::chrono::time_point_cast<std::chrono::hours>(std::chrono::system_clock::now()) - 10h;

struct fixture {
  proxy::event event(std::string_view host, std::chrono::minutes after = 0min) {
    auto out = log::refusal(host);
    out.time = start + after;
    out.id = core::decision_id{++number};
    return out;
  }
  void allow(std::string_view host, std::string_view job, std::chrono::minutes after,
             std::string_view rule = "agent/x") {
    auto one = event(host, after);
    one.verdict = proxy::outcome::allow;
    one.reason = core::reason::allowed;
    one.job = job;
    one.rule = rule;
    one.rule_where = "policy.yaml:3";
    all.add(one);
  }
  database& read() {
    std::uint64_t lost = 0;
    book.write(all, lost);
    all = aggregate();
    reader.emplace(std::move(*open_to_read(path)));
    return *reader;
  }

  log::temporary_directory directory;
  std::string path = directory / "review.sqlite";
  ledger book{std::move(*open_to_write(path, 64U << 20)), {}};
  aggregate all;
  std::optional<database> reader;
  std::uint64_t number = 0;
};

std::vector<std::string> hosts(const answer<blocked_page>& page) {
  REQUIRE(page);
  std::vector<std::string> out;
  for (const auto& one : page->groups) out.push_back(one.host);
  return out;
}
using names = std::vector<std::string>;

}  // namespace

TEST_CASE("refusals are grouped over jobs, filtered, ordered and paged") {
  fixture f;
  for (int i = 0; i < 3; ++i) {
    auto one = f.event("b.example", std::chrono::minutes(i));
    one.job = i == 0 ? "j1" : "j2";
    one.rule = "agent/near";
    one.hint = i == 2 ? "newest" : "older";
    f.all.add(one);
  }
  auto audit = f.event("a.example", 30min);
  audit.phase = "setup";
  audit.verdict = proxy::outcome::would_deny;
  audit.reason = core::reason::deny_rule;
  f.all.add(audit);
  f.all.add(f.event("c.example", 5min));
  f.all.add(f.event("c.example", 5min));
  f.allow("fine.example", "j1", 1min);
  auto& db = f.read();

  const auto page = blocked(db, {});
  CHECK(hosts(page) == names{"b.example", "c.example", "a.example"});
  CHECK(page->groups_total == 3);
  CHECK(page->count_total == 6);
  const auto& b = page->groups[0];
  CHECK(b.count == 3);
  CHECK(b.jobs == 2);
  CHECK(b.would_deny == 0);
  CHECK(b.rule == "agent/near");
  CHECK(b.hint == "newest");
  CHECK(b.first_seen == start);
  CHECK(b.last_seen == start + 2min);
  CHECK(page->groups[2].would_deny == 1);

  CHECK(hosts(blocked(db, {}, {.by = order::host})) == names{"a.example", "b.example", "c.example"});
  CHECK(hosts(blocked(db, {}, {.by = order::last_seen})) == names{"a.example", "c.example", "b.example"});
  CHECK(hosts(blocked(db, {}, {.by = order::first_seen})) == names{"a.example", "c.example", "b.example"});
  const auto second = blocked(db, {}, {.limit = 1, .offset = 1});
  CHECK(hosts(second) == names{"c.example"});
  CHECK(second->groups_total == 3);
  CHECK(second->count_total == 6);
  CHECK(blocked(db, {}, {.limit = 1, .offset = 9})->groups_total == 3);

  CHECK(hosts(blocked(db, {.phase = "setup"})) == names{"a.example"});
  CHECK(hosts(blocked(db, {.job = "j1"})) == names{"b.example"});
  CHECK(blocked(db, {.job = "j1"})->groups[0].count == 1);
  CHECK(hosts(blocked(db, {.job = ""})) == names{"c.example", "a.example"});
  CHECK(hosts(blocked(db, {.reason = "deny-rule"})) == names{"a.example"});
  CHECK(hosts(blocked(db, {.host = "b.ex"})) == names{"b.example"});
  CHECK(hosts(blocked(db, {.host = "%"})).empty());
  CHECK(hosts(blocked(db, {.port = 80})).empty());
  CHECK(hosts(blocked(db, {.since = start + 5min})) == names{"c.example", "a.example"});
  CHECK(hosts(blocked(db, {.mode = refusals::audit})) == names{"a.example"});
  CHECK(hosts(blocked(db, {.mode = refusals::enforced})) == names{"b.example", "c.example"});
}

TEST_CASE("one group: jobs, samples, hours") {
  fixture f;
  for (const int hour : {0, 1, 1}) {
    auto one = f.event("x.example", std::chrono::minutes(60 * hour));
    one.job = hour == 0 ? "a" : "b";
    one.process = "/usr/bin/curl";
    f.all.add(one);
  }
  auto& db = f.read();
  const auto page = blocked(db, {});
  REQUIRE(page->groups.size() == 1);
  const auto one = group_by_id(db, page->groups[0].id, start + 1h);
  REQUIRE(one);
  REQUIRE(*one);
  CHECK((*one)->group.count == 3);
  CHECK((*one)->jobs == std::vector<std::pair<std::string, std::uint64_t>>{{"b", 2}, {"a", 1}});
  REQUIRE((*one)->samples.size() == 3);
  CHECK((*one)->samples[2].decision == core::decision_id{1}.view());
  CHECK((*one)->samples[0].process == "/usr/bin/curl");
  CHECK((*one)->hours[47] == 2);
  CHECK((*one)->hours[46] == 1);
  const auto lines = sparklines(db, page->groups, {.job = "a"}, start + 1h);
  REQUIRE(lines);
  CHECK(lines->at(0)[46] == 1);
  CHECK(lines->at(0)[47] == 0);
  CHECK_FALSE(*group_by_id(db, 12345, start));
  CHECK(*group_of_decision(db, std::string(core::decision_id{1}.view())));
  CHECK_FALSE(*group_of_decision(db, "nonsense"));
}

TEST_CASE("what was let through for the first time") {
  fixture f;
  f.allow("old.example", "a", 0min);
  f.allow("old.example", "b", 10min);
  f.allow("new.example", "b", 11min);
  f.allow("own.example", "a", 1min);
  f.all.add(f.event("refused.example", 12min));
  f.book.note_start(start + 5min);
  auto& db = f.read();
  const auto hosts = [&](const filter& wanted) {
    names out;
    for (const auto& one : *allowed_first_seen(db, wanted, {.by = order::host})) out.push_back(one.host);
    return out;
  };
  CHECK(hosts({}) == names{"new.example"});
  CHECK(hosts({.since = start}) == names{"new.example", "old.example", "own.example"});
  CHECK(hosts({.job = "b"}) == names{"new.example"});
  CHECK(hosts({.job = "a"}) == names{"old.example", "own.example"});
  CHECK(hosts({.phase = "setup"}).empty());
  CHECK(allowed_first_seen(db, {})->at(0).rule_at == "policy.yaml:3");
}

TEST_CASE("rules, budgets and the whole") {
  fixture f;
  f.allow("a.example", "", 0min, "agent/*.example");
  f.allow("b.example", "", 3min, "agent/*.example");
  f.allow("c.example", "", 1min, "agent/c.example");
  auto denied = f.event("evil.example");
  denied.reason = core::reason::deny_rule;
  denied.rule = "deny/evil.example";
  f.all.add(denied);
  auto near = f.event("near.example");
  near.rule = "agent/c.example";
  f.all.add(near);
  f.book.write_budgets(
      {{.kind = metrics::budget_kind::upload, .phase = "agent", .rule = "", .used = 5, .limit = 9}}, start);
  auto& db = f.read();
  const auto rules = hits_by_rule(db);
  REQUIRE(rules);
  REQUIRE(rules->size() == 3);
  CHECK(rules->at(0).rule == "agent/*.example");
  CHECK(rules->at(0).count == 2);
  CHECK(rules->at(0).hosts == 2);
  CHECK(rules->at(0).last_hit == start + 3min);
  CHECK(rules->at(1).count == 1);
  CHECK(rules->at(2).rule == "deny/evil.example");
  CHECK(*hosts_of_rule(db, "agent", "agent/*.example") == names{"a.example", "b.example"});
  const auto used = budgets(db);
  REQUIRE(used);
  REQUIRE(used->size() == 1);
  CHECK(used->at(0).kind == "upload");
  CHECK(used->at(0).used == 5);
  const auto all = overview_of(db);
  REQUIRE(all);
  CHECK(all->decisions == 5);
  CHECK(all->refused == 2);
  CHECK(all->oldest == start);
  CHECK(all->reasons == std::vector<std::pair<std::string, std::uint64_t>>{{"deny-rule", 1}, {"no-rule", 1}});
}
