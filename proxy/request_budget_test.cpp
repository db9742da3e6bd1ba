// Requests and time: what a rule, a phase and a job may use up besides octets and names.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "allowlist/test_policy.hpp"
#include "proxy/loaded_policy.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace std::chrono_literals;

namespace {

constexpr allowlist::phase_id agent{0};

allowlist::rule with_terms(std::string_view host, allowlist::rule_terms terms) {
  auto rule = allowlist::testing::allow(host);
  rule.terms = std::make_shared<const allowlist::rule_terms>(std::move(terms));
  return rule;
}
allowlist::rule limited(std::string_view host, std::uint64_t requests) {
  return with_terms(host, {.limits = {.upload = {}, .download = {}, .requests = requests}});
}

// A job: what it has used outlives the policies that it is loaded with.
struct job {
  metrics::phase_slots slots;
  budget_book book;

  std::unique_ptr<const loaded_policy> load(allowlist::policy_source source) {
    auto compiled = std::make_shared<const allowlist::policy>(allowlist::compile(std::move(source)).value());
    return std::make_unique<const loaded_policy>(std::move(compiled), slots, book);
  }
};

const allowlist::rule* rule_of(const loaded_policy& loaded, std::size_t i = 0) {
  return &loaded.policy->source().phases[0].allow[i];
}

std::uint64_t used(const loaded_policy& loaded, std::string_view phase, std::string_view rule) {
  for (const auto& sample : loaded.samples()) {
    if (sample.kind == metrics::budget_kind::requests && sample.phase == phase && sample.rule == rule)
      return sample.used;
  }
  return 0;
}

}  // namespace

TEST_CASE("a request counts for its rule, its phase and its job, and for none of them where one is used up") {
  job job;
  auto source = allowlist::testing::source_with(
      {limited("a.example", 2), allowlist::testing::allow("b.example"),
       with_terms("c.example", {.limits = {.upload = 5, .download = {}, .requests = {}}})});
  source.phases[0].limits.requests = 3;
  source.phases.push_back(allowlist::testing::phase_with("mcp", {allowlist::testing::allow("d.example")}));
  source.limits.requests = 5;
  const auto loaded = job.load(source);
  const auto* a = loaded->requests_of(agent, rule_of(*loaded));
  const auto* b = loaded->requests_of(agent, rule_of(*loaded, 1));
  REQUIRE(a != nullptr);
  REQUIRE(b != nullptr);
  CHECK(a != b);
  CHECK(loaded->requests_of(agent, rule_of(*loaded, 2)) == b);
  CHECK(loaded->requests_of(agent, nullptr) == b);
  CHECK(a->shortage().empty());
  CHECK(a->charge());
  CHECK(a->charge());
  CHECK(a->is_used_up());
  CHECK(a->shortage() == "request_limit 2 of agent/a.example:443 is used up");
  CHECK_FALSE(a->charge());
  CHECK(used(*loaded, "agent", "agent/a.example:443") == 2);
  CHECK(used(*loaded, "agent", "") == 2);
  CHECK(used(*loaded, "", "") == 2);
  CHECK(b->charge());
  CHECK_FALSE(b->charge());
  CHECK(b->shortage() == "request_limit 3 of phase agent is used up");
  const auto* d = loaded->requests_of(allowlist::phase_id{1}, &loaded->policy->source().phases[1].allow[0]);
  CHECK(d->charge());
  CHECK(d->charge());
  CHECK_FALSE(d->charge());
  CHECK(d->shortage() == "request_limit 5 of the job is used up");
  CHECK(used(*loaded, "", "") == 5);

  // A reload refills nothing; another job has its own.
  source.phases[0].limits.requests = 4;
  source.limits.requests = 6;
  const auto later = job.load(source);
  CHECK_FALSE(later->requests_of(agent, rule_of(*later))->charge());
  CHECK(later->requests_of(agent, rule_of(*later, 1))->charge());
  CHECK_FALSE(later->requests_of(agent, rule_of(*later, 1))->charge());
  struct job other;
  CHECK(other.load(source)->samples().front().used == 0);
}

TEST_CASE("where requests are not limited there is no meter of them") {
  job job;
  const auto loaded = job.load(allowlist::testing::source_with(
      {allowlist::testing::allow("a.example"), with_terms("*.b.example", {.max_names = 3})}));
  CHECK(loaded->requests_of(agent, rule_of(*loaded)) == nullptr);
  CHECK(loaded->requests_of(agent, rule_of(*loaded, 1)) == nullptr);
}

TEST_CASE("a phase in audit counts every request and says which were too many") {
  job job;
  auto source = allowlist::testing::source_with({limited("a.example", 2)});
  source.phases[0].mode = allowlist::phase_mode::audit;
  const auto loaded = job.load(source);
  const auto* meter = loaded->requests_of(agent, rule_of(*loaded));
  CHECK(meter->charge());
  CHECK(meter->charge());
  CHECK_FALSE(meter->charge());
  CHECK_FALSE(meter->charge());
  CHECK(used(*loaded, "agent", "agent/a.example:443") == 4);
}

TEST_CASE("of many threads exactly as many get through as the limit allows") {
  job job;
  auto source =
      allowlist::testing::source_with({limited("a.example", 20'000), limited("b.example", 900'000)});
  source.phases[0].limits.requests = 30'000;
  const auto loaded = job.load(source);
  std::atomic<int> a{0};
  std::atomic<int> b{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const auto* meter = loaded->requests_of(agent, rule_of(*loaded, i % 2 == 0 ? 0 : 1));
      for (int n = 0; n < 20'000; ++n) {
        if (meter->charge()) ++(i % 2 == 0 ? a : b);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(a <= 20'000);
  CHECK(a + b == 30'000);
  CHECK(used(*loaded, "agent", "") == 30'000);
  CHECK(used(*loaded, "agent", "agent/a.example:443") == static_cast<std::uint64_t>(a));
}

TEST_CASE("a phase's time runs from its first request, over reloads, and each job has its own") {
  job job;
  auto source = allowlist::testing::source_with({allowlist::testing::allow("a.example")});
  source.phases[0].time_limit = 30min;
  source.phases.push_back(allowlist::testing::phase_with("mcp", {}));
  const auto loaded = job.load(source);
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(loaded->time_has_passed(agent, start + 24h));
  CHECK_FALSE(loaded->any_time_is_up(start + 24h));
  loaded->phase_used(agent, start);
  loaded->phase_used(agent, start + 20min);
  loaded->phase_used(allowlist::phase_id{1}, start);
  CHECK_FALSE(loaded->time_is_up(agent, start + 30min - 1ns));
  CHECK(loaded->time_is_up(agent, start + 30min));
  CHECK(loaded->time_has_passed(agent, start + 30min));
  CHECK(loaded->any_time_is_up(start + 30min));
  CHECK_FALSE(loaded->time_is_up(allowlist::phase_id{1}, start + 24h));

  source.phases[0].time_limit = 40min;
  source.phases[1].time_limit = 1s;
  const auto later = job.load(source);
  CHECK_FALSE(later->time_is_up(agent, start + 30min));
  CHECK(later->time_is_up(agent, start + 40min));
  // The clock ran already when the limit came.
  CHECK(later->time_is_up(allowlist::phase_id{1}, start + 1s));
  struct job other;
  CHECK_FALSE(other.load(source)->time_has_passed(agent, start + 24h));
}

TEST_CASE("audit: time passes and nothing is cut") {
  job job;
  auto source = allowlist::testing::source_with({});
  source.phases[0].time_limit = 1s;
  source.phases[0].mode = allowlist::phase_mode::audit;
  const auto loaded = job.load(source);
  const auto start = std::chrono::steady_clock::now();
  loaded->phase_used(agent, start);
  CHECK(loaded->time_has_passed(agent, start + 1s));
  CHECK_FALSE(loaded->time_is_up(agent, start + 1s));
  CHECK_FALSE(loaded->any_time_is_up(start + 1s));
}

TEST_CASE("four fifths of each budget are told once, and once more where the limit has changed") {
  job job;
  auto source = allowlist::testing::source_with(
      {with_terms("a.example", {.limits = {.upload = 100, .download = 1 << 20, .requests = 10}}),
       with_terms("*.b.example", {.max_names = 1})});
  source.phases[0].time_limit = 100s;
  source.phases[0].limits.requests = 1000;
  source.limits.download = 1 << 20;
  const auto loaded = job.load(source);
  const auto start = std::chrono::steady_clock::now();
  CHECK(loaded->due_warnings(start).empty());
  const auto* octets = loaded->meter_of(agent, rule_of(*loaded));
  const auto* requests = loaded->requests_of(agent, rule_of(*loaded));
  loaded->phase_used(agent, start);
  octets->settle(way::up, octets->claim(way::up, 79), 79);
  for (int i = 0; i < 7; ++i) CHECK(requests->charge());
  CHECK(loaded->due_warnings(start + 79s).empty());

  octets->settle(way::up, octets->claim(way::up, 1), 1);
  octets->settle(way::down, octets->claim(way::down, 1 << 20), 1 << 20);
  CHECK(requests->charge());
  CHECK(loaded->names_of(*rule_of(*loaded, 1))->charge(allowlist::testing::name("n.b.example"), 1));
  CHECK(loaded->due_warnings(start + 80s) ==
        std::vector<std::string>{"download_limit 1MiB of the job: 100 % is used",
                                 "upload_limit 100 of agent/a.example:443: 80 % is used",
                                 "download_limit 1MiB of agent/a.example:443: 100 % is used",
                                 "request_limit 10 of agent/a.example:443: 80 % is used",
                                 "max_names 1 of agent/*.b.example:443: 100 % is used",
                                 "time_limit 100s of phase agent: 80 % has passed"});
  CHECK(requests->charge());
  CHECK(loaded->due_warnings(start + 500s).empty());
  const auto same = job.load(source);
  CHECK(same->due_warnings(start + 500s).empty());

  source.phases[0].time_limit = 101s;
  source.limits.download = 2 << 20;
  CHECK(job.load(source)->due_warnings(start + 500s) ==
        std::vector<std::string>{"time_limit 101s of phase agent: 100 % has passed"});
}
