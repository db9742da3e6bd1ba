#include "review/proposals.hpp"

#include <doctest/doctest.h>

#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::review;
using namespace std::chrono_literals;

namespace {

const auto start = log::refusal().time;

struct fixture {
  log::temporary_directory directory;
  database db{std::move(*open_to_write(directory / "x", 1U << 20))};
  answer<proposal> ask(wish wanted, std::chrono::minutes after = 0min) {
    return file(db, std::move(wanted), {.open = 6, .open_of_job = 2, .hourly_of_job = 3}, start + after);
  }
};

wish of_job(std::string host, std::string job = "j") {
  return {.by_job = true,
          .job = std::move(job),
          .requester = "",
          .phase = "agent",
          .host = std::move(host),
          .why = "w"};
}
wish of_person(std::string host) {
  return {.by_job = false,
          .job = "",
          .requester = "uid 7",
          .phase = "agent",
          .host = std::move(host),
          .why = "w"};
}

}  // namespace

TEST_CASE("asking again is counted, and no second proposal") {
  fixture f;
  const auto first = f.ask(of_person("Docs.Example."));
  REQUIRE(first);
  CHECK(first->wanted.host == "docs.example");
  auto more = of_person("docs.example");
  more.why = std::string(2000, 'x');
  const auto again = f.ask(more, 5min);
  REQUIRE(again);
  CHECK(again->id == first->id);
  CHECK(again->times == 2);
  CHECK(again->made == start);
  CHECK(again->changed == start + 5min);
  CHECK(again->wanted.why.size() == 500);
  CHECK(f.ask(of_job("docs.example"))->id != first->id);  // the job's own wish is another
  CHECK(proposals(f.db, proposal_state::open)->size() == 2);
  CHECK(proposals(f.db, proposal_state::approved)->empty());
}

TEST_CASE("what is no host is refused") {
  fixture f;
  for (const auto* const host : {"", "a b", "-x\n", "a..b", "<b>"}) CHECK_FALSE(f.ask(of_person(host)));
  CHECK(f.ask(of_person("192.0.2.1")));
  CHECK(f.ask(of_person("2001:db8::1")));
}

TEST_CASE("a job's own wishes are bounded, at a time and in an hour") {
  fixture f;
  const auto a = f.ask(of_job("a.example"));
  REQUIRE(a);
  CHECK(f.ask(of_job("b.example")));
  CHECK(f.ask(of_job("c.example")).error() ==
        "this job has 2 open proposals of its own, and may have no more");
  CHECK(f.ask(of_job("a.example")));  // no new one
  CHECK(f.ask(of_job("c.example", "other")));
  REQUIRE(decide(f.db, a->id, proposal_state::rejected, {.who = "uid 0"}, start));
  CHECK(f.ask(of_job("c.example"), 1min));
  REQUIRE(decide(f.db, 2, proposal_state::rejected, {.who = "uid 0"}, start));
  CHECK(f.ask(of_job("d.example"), 2min).error() ==
        "this job has asked for 3 destinations within an hour, and has to wait");
  CHECK(f.ask(of_job("d.example"), 61min));
  CHECK(f.ask(of_person("e.example")));
  CHECK(f.ask(of_person("f.example")));
  CHECK(f.ask(of_person("g.example")));
  CHECK(f.ask(of_person("h.example")).error() ==
        "6 proposals are open: somebody has to decide on them first");
}

TEST_CASE("a decision is made once, by another than who asked, and stands in the audit table") {
  fixture f;
  const auto one = f.ask(of_person("a.example"));
  REQUIRE(one);
  CHECK(decide(f.db, one->id, proposal_state::approved, {.who = "uid 7"}, start).error() ==
        "whoever has asked for it cannot approve it");
  CHECK(decide(f.db, 99, proposal_state::approved, {.who = "x"}, start).error() == "there is no proposal 99");
  CHECK(audit(f.db)->empty());
  const auto done =
      decide(f.db, one->id, proposal_state::approved,
             {.who = "uid 0", .seen = "diff", .digest_before = "a", .digest_after = "b"}, start + 1h);
  REQUIRE(done);
  CHECK(done->state == proposal_state::approved);
  CHECK(decide(f.db, one->id, proposal_state::rejected, {.who = "uid 0"}, start).error() ==
        "proposal 1 is approved already");
  const auto lines = audit(f.db);
  REQUIRE(lines->size() == 1);
  CHECK(lines->at(0).who == "uid 0");
  CHECK(lines->at(0).what == "approved");
  CHECK(lines->at(0).proposal == one->id);
  CHECK(lines->at(0).digest_after == "b");
  CHECK(lines->at(0).time == start + 1h);
  CHECK((*proposal_by_id(f.db, one->id))->state == proposal_state::approved);
  CHECK(f.ask(of_person("a.example"))->id != one->id);
}
