#include "proxy/budget.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "allowlist/test_policy.hpp"
#include "proxy/loaded_policy.hpp"

using namespace exeat;
using namespace exeat::proxy;

namespace {

constexpr std::uint64_t mib = 1024 * 1024;

allowlist::rule with_terms(allowlist::rule rule, allowlist::rule_terms terms) {
  rule.terms = std::make_shared<const allowlist::rule_terms>(std::move(terms));
  return rule;
}

allowlist::rule limited(std::string_view host, std::optional<std::uint64_t> up,
                        std::optional<std::uint64_t> down = {}) {
  return with_terms(allowlist::testing::allow(host), {.limits = {up, down}});
}

std::shared_ptr<const allowlist::policy> compiled(allowlist::policy_source source) {
  return std::make_shared<const allowlist::policy>(allowlist::compile(std::move(source)).value());
}

const allowlist::rule* rule_of(const loaded_policy& loaded, std::size_t i = 0) {
  return &loaded.policy->source().phases[0].allow[i];
}

constexpr allowlist::phase_id agent{0};

}  // namespace

TEST_CASE("claims stay within the limit, and what was not used comes back") {
  byte_budget budget;
  CHECK(budget.claim(60, 100) == 60);
  CHECK(budget.claim(60, 100) == 40);
  CHECK(budget.claim(1, 100) == 0);
  CHECK(budget.used() == 0);
  budget.settle(60, 10);
  CHECK(budget.used() == 10);
  CHECK(budget.claim(60, 100) == 50);
  budget.settle(50, 50);
  budget.settle(40, 40);
  CHECK(budget.used() == 100);
  CHECK(budget.claim(1, 100) == 0);
  // A lower limit than what is used leaves nothing; a higher one leaves the rest.
  CHECK(budget.claim(1, 50) == 0);
  CHECK(budget.claim(9, 105) == 5);
}

TEST_CASE("many threads together use a limit to its last octet and never exceed it") {
  byte_budget budget;
  constexpr std::uint64_t limit = 3 * mib + 7;
  std::atomic<std::uint64_t> moved{0};
  std::vector<std::thread> threads;
  for (unsigned n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      std::uint64_t x = n + 1;
      while (budget.used() < limit) {
        x = x * 6364136223846793005U + 1442695040888963407U;
        const auto got = budget.claim(1 + (x >> 40U) % 65536, limit);
        if (got == 0) {
          std::this_thread::yield();
          continue;
        }
        // As a read: often less than there was room for, sometimes nothing.
        const auto used = (x >> 20U) % (got + 1);
        CHECK(budget.used() <= limit);
        budget.settle(got, used);
        moved += used;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(budget.used() == limit);
  CHECK(moved.load() == limit);
  CHECK(budget.claim(1, limit) == 0);
}

TEST_CASE("a wildcard's names are charged once each, by all threads together, and no more than so many") {
  name_budget names;
  std::atomic<int> passed{0};
  std::vector<std::thread> threads;
  for (unsigned n = 0; n < 4; ++n) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto name = allowlist::testing::name("h" + std::to_string(i) + ".x.example");
        if (names.charge(name, 64)) ++passed;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(names.size() == 64);
  CHECK(passed >= 64);
  CHECK(passed <= 4 * 64);
  int again = 0;
  for (int i = 0; i < 200; ++i)
    again += names.charge(allowlist::testing::name("h" + std::to_string(i) + ".x.example"), 64) ? 1 : 0;
  CHECK(again == 64);
}

TEST_CASE("a lower max_names refuses new names and passes those that were used") {
  name_budget names;
  const auto a = allowlist::testing::name("a.x.example");
  const auto b = allowlist::testing::name("b.x.example");
  const auto c = allowlist::testing::name("c.x.example");
  CHECK(names.charge(a, 2));
  CHECK(names.charge(b, 2));
  CHECK_FALSE(names.charge(c, 2));
  CHECK(names.charge(a, 1));
  CHECK(names.charge(b, 1));
  CHECK_FALSE(names.charge(c, 1));
  CHECK(names.charge(c, 3));
}

TEST_CASE("rule, phase and job limit together; the least that is left counts") {
  auto source =
      allowlist::testing::source_with({limited("a.example", 100), allowlist::testing::allow("b.example")});
  source.phases[0].limits = {.upload = 150, .download = {}};
  source.limits = {.upload = 1000, .download = 70};
  metrics::phase_slots slots;
  budget_book book;
  const loaded_policy loaded(compiled(std::move(source)), slots, book);
  const auto* a = loaded.meter_of(agent, rule_of(loaded, 0));
  const auto* b = loaded.meter_of(agent, rule_of(loaded, 1));
  REQUIRE(a != nullptr);
  REQUIRE(b != nullptr);

  CHECK(a->claim(way::up, 500) == 100);
  a->settle(way::up, 100, 80);
  CHECK(b->claim(way::up, 500) == 70);
  // The phase has nothing left: what was claimed of the rule alone went back at once.
  CHECK(a->claim(way::up, 10) == 0);
  CHECK_FALSE(a->is_short(way::up));
  b->settle(way::up, 70, 60);
  CHECK(a->claim(way::up, 500) == 10);
  a->settle(way::up, 10, 10);
  CHECK(a->is_short(way::up));
  CHECK(a->shortage(way::up) == "upload_limit 150 of phase agent is used up");
  CHECK(b->is_short(way::up));
  CHECK(b->claim(way::down, 100) == 70);
  b->settle(way::down, 70, 60);
  CHECK(a->shortage(way::down, 11) == "download_limit 70 of the job: 10 are left, 11 were to pass");
  CHECK(a->shortage(way::down, 10).empty());
}

TEST_CASE("a claim of all or nothing gives back what it got in vain") {
  auto source = allowlist::testing::source_with({limited("a.example", 100)});
  metrics::phase_slots slots;
  budget_book book;
  const loaded_policy loaded(compiled(std::move(source)), slots, book);
  const auto* meter = loaded.meter_of(agent, rule_of(loaded));
  {
    octet_claim most(meter, way::up, 60);
    CHECK(most);
    octet_claim more(meter, way::up, 50);
    CHECK_FALSE(more);
    CHECK_FALSE(more.is_short());
    most.settle(40);
    CHECK(more.claim());
    CHECK(more);
  }
  CHECK(meter->claim(way::up, 500) == 60);
  octet_claim none(nullptr, way::up, 1'000'000);
  CHECK(none);
}

TEST_CASE("where nothing is limited there is no meter") {
  auto source = allowlist::testing::source_with(
      {allowlist::testing::allow("a.example"),
       with_terms(allowlist::testing::allow("*.b.example"), {.max_names = 8})});
  metrics::phase_slots slots;
  budget_book book;
  const loaded_policy loaded(compiled(std::move(source)), slots, book);
  CHECK_FALSE(loaded.has_meters());
  CHECK(loaded.meter_of(agent, rule_of(loaded, 0)) == nullptr);
  CHECK(loaded.meter_of(agent, rule_of(loaded, 1)) == nullptr);
  CHECK(loaded.names_of(*rule_of(loaded, 0)) == nullptr);
  CHECK(loaded.names_of(*rule_of(loaded, 1)) != nullptr);
}

TEST_CASE("a reload refills nothing, whatever it changes; the limit is the new one") {
  metrics::phase_slots slots;
  budget_book book;
  const auto load = [&](std::vector<allowlist::rule> rules) {
    return std::make_unique<loaded_policy>(compiled(allowlist::testing::source_with(std::move(rules))), slots,
                                           book);
  };
  const auto first = load({limited("a.example", 100)});
  const auto* old_meter = first->meter_of(agent, rule_of(*first));
  CHECK(old_meter->claim(way::up, 90) == 90);
  old_meter->settle(way::up, 90, 90);

  // Gone, and back, and between others.
  const auto none = load({allowlist::testing::allow("a.example")});
  CHECK(none->meter_of(agent, rule_of(*none)) == nullptr);
  const auto back = load({limited("0.example", 5), limited("a.example", 100)});
  const auto* meter = back->meter_of(agent, rule_of(*back, 1));
  CHECK(meter->claim(way::up, 90) == 10);
  meter->settle(way::up, 10, 0);
  // Both snapshots count together.
  CHECK(old_meter->claim(way::up, 4) == 4);
  CHECK(meter->claim(way::up, 90) == 6);
  meter->settle(way::up, 6, 0);
  old_meter->settle(way::up, 4, 4);

  const auto raised = load({limited("a.example", 200)});
  CHECK(raised->meter_of(agent, rule_of(*raised))->claim(way::up, 900) == 106);
  const auto lowered = load({limited("a.example", 50)});
  CHECK(lowered->meter_of(agent, rule_of(*lowered))->is_short(way::up));
  CHECK(lowered->meter_of(agent, rule_of(*lowered))->claim(way::up, 1) == 0);
}

TEST_CASE("a phase in audit counts and keeps nothing back") {
  auto source = allowlist::testing::source_with({limited("a.example", 100)});
  source.phases[0].mode = allowlist::phase_mode::audit;
  metrics::phase_slots slots;
  budget_book book;
  const loaded_policy loaded(compiled(std::move(source)), slots, book);
  const auto* meter = loaded.meter_of(agent, rule_of(loaded));
  CHECK_FALSE(meter->enforced());
  CHECK(meter->claim(way::up, 90) == 90);
  meter->settle(way::up, 90, 90);
  CHECK_FALSE(meter->is_over(way::up));
  CHECK(meter->claim(way::up, 90) == 90);
  meter->settle(way::up, 90, 90);
  CHECK(meter->is_over(way::up));
  CHECK(meter->shortage(way::up, 0) == "upload_limit 100 of agent/a.example:443 is used up");
}

TEST_CASE("what the limits have used is shown, of rules once they have used something") {
  auto source = allowlist::testing::source_with(
      {limited("a.example", 100, 200),
       with_terms(allowlist::testing::allow("*.b.example"), {.max_names = 8})});
  source.limits.upload = 1000;
  metrics::phase_slots slots;
  budget_book book;
  const loaded_policy loaded(compiled(std::move(source)), slots, book);
  REQUIRE(loaded.samples().size() == 1);
  CHECK(loaded.samples()[0].phase.empty());
  CHECK(loaded.samples()[0].limit == 1000);
  const auto* meter = loaded.meter_of(agent, rule_of(loaded));
  meter->settle(way::up, meter->claim(way::up, 10), 10);
  loaded.names_of(*rule_of(loaded, 1))->charge(allowlist::testing::name("n.b.example"), 8);
  const auto samples = loaded.samples();
  REQUIRE(samples.size() == 3);
  CHECK(samples[0].used == 10);
  CHECK(samples[1].rule == "agent/a.example:443");
  CHECK(samples[1].used == 10);
  CHECK(samples[1].limit == 100);
  CHECK(samples[2].kind == metrics::budget_kind::names);
  CHECK(samples[2].used == 1);
}
