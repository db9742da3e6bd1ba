#include "proxy/timer_wheel.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <random>
#include <vector>

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct armed {
  explicit armed(timer_wheel& wheel)
      : limit(wheel, [](void* self) noexcept { ++static_cast<armed*>(self)->fired; }, this) {}
  /// Between `before` and `after` lies the instant that the wheel counts from.
  void arm(std::chrono::milliseconds duration) {
    before = clock::now();
    limit.arm(duration);
    after = clock::now();
  }
  int fired = 0;
  clock::time_point before, after;
  deadline limit;
};

TEST_CASE("a deadline never fires early and is at most a tick late") {
  std::mt19937 random(42);
  for (int round = 0; round < 500; ++round) {
    asio::io_context context(1);
    timer_wheel wheel(context);
    armed one(wheel);
    const std::chrono::milliseconds duration(1 + random() % 200'000);
    one.arm(duration);
    CHECK(one.limit.armed());
    wheel.advance(one.before + duration - 1ns);
    CHECK(one.fired == 0);
    wheel.advance(one.after + duration + timer_wheel::tick);
    CHECK(one.fired == 1);
    CHECK_FALSE(one.limit.armed());
    wheel.advance(one.after + duration + 1h);
    CHECK(one.fired == 1);
  }
}

TEST_CASE("ticks one by one come to the same") {
  asio::io_context context(1);
  timer_wheel wheel(context);
  std::deque<armed> all;
  std::mt19937 random(7);
  std::vector<std::chrono::milliseconds> durations;
  for (int i = 0; i < 300; ++i) {
    durations.emplace_back(1 + random() % 120'000);  // beyond two turns of the wheel
    all.emplace_back(wheel).arm(durations.back());
  }
  const auto end = all.back().after + 121s;
  for (auto now = all.front().before; now < end; now += 37ms) {
    wheel.advance(now);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (now < all[i].before + durations[i]) REQUIRE(all[i].fired == 0);
      if (now >= all[i].after + durations[i] + timer_wheel::tick) REQUIRE(all[i].fired == 1);
    }
  }
}

TEST_CASE("zero or less disarms, arming again moves the deadline") {
  asio::io_context context(1);
  timer_wheel wheel(context);
  armed none(wheel), negative(wheel), moved(wheel), dropped(wheel);
  none.arm(100ms);
  none.limit.arm(0ms);
  CHECK_FALSE(none.limit.armed());
  negative.arm(-5ms);
  CHECK_FALSE(negative.limit.armed());
  moved.arm(100ms);
  moved.arm(10s);
  dropped.arm(100ms);
  dropped.limit.disarm();
  wheel.advance(moved.before + 9s);
  CHECK(none.fired == 0);
  CHECK(negative.fired == 0);
  CHECK(moved.fired == 0);
  CHECK(dropped.fired == 0);
  wheel.advance(moved.after + 10s + timer_wheel::tick);
  CHECK(moved.fired == 1);
  moved.arm(20s);  // to an earlier slot of the wheel, and after having fired
  moved.arm(1ms);
  // The wheel has been driven ahead of the clock: due with its next tick.
  wheel.advance(moved.after + 11s);
  CHECK(moved.fired == 2);
}

TEST_CASE("a jump of the clock fires all that is due, each once") {
  asio::io_context context(1);
  timer_wheel wheel(context);
  std::deque<armed> all;
  for (int i = 1; i <= 2000; ++i) all.emplace_back(wheel).arm(i * 100ms);
  armed later(wheel);
  later.arm(2h);
  wheel.advance(later.after + 1h);
  for (const auto& one : all) CHECK(one.fired == 1);
  CHECK(later.fired == 0);
  wheel.advance(all.front().before);  // and back: the steady clock does not, but nothing must break
  CHECK(later.fired == 0);
  wheel.advance(later.after + 2h + timer_wheel::tick);
  CHECK(later.fired == 1);
}

TEST_CASE("a callback may disarm, destroy and arm any deadline, its own too") {
  asio::io_context context(1);
  timer_wheel wheel(context);
  std::deque<armed> bystanders;

  struct disarms {
    disarms(timer_wheel& wheel, std::deque<armed>& others)
        : victims(others),
          limit(
              wheel,
              [](void* self) noexcept {
                auto& me = *static_cast<disarms*>(self);
                ++me.fired;
                for (auto& victim : me.victims) victim.limit.disarm();
              },
              this) {}
    std::deque<armed>& victims;
    int fired = 0;
    deadline limit;
  } first(wheel, bystanders);
  // Armed first, so it is the first of its slot; the others follow it there or in the next ones.
  first.limit.arm(100ms);
  for (int i = 0; i < 20; ++i) bystanders.emplace_back(wheel).arm(100ms);
  const auto after = bystanders.back().after;

  struct destroys {
    destroys(timer_wheel& wheel, std::unique_ptr<destroys>& me, std::vector<std::unique_ptr<armed>>& others)
        : self(me),
          victims(others),
          limit(
              wheel,
              [](void* owner) noexcept {
                auto& gone = *static_cast<destroys*>(owner);
                gone.victims.clear();
                gone.self.reset();
              },
              this) {}
    std::unique_ptr<destroys>& self;
    std::vector<std::unique_ptr<armed>>& victims;
    deadline limit;
  };
  std::unique_ptr<destroys> second;
  std::vector<std::unique_ptr<armed>> victims;
  second = std::make_unique<destroys>(wheel, second, victims);
  second->limit.arm(5s);
  for (int i = 0; i < 10; ++i) {
    victims.push_back(std::make_unique<armed>(wheel));
    victims.back()->arm(5s);
  }

  struct repeats {
    explicit repeats(timer_wheel& wheel)
        : limit(
              wheel,
              [](void* self) noexcept {
                auto& me = *static_cast<repeats*>(self);
                ++me.fired;
                me.limit.arm(1ms);
              },
              this) {}
    int fired = 0;
    deadline limit;
  } third(wheel);
  third.limit.arm(100ms);
  const auto third_armed = clock::now();

  wheel.advance(after + 100ms + timer_wheel::tick);
  CHECK(first.fired == 1);
  for (const auto& bystander : bystanders) {
    CHECK(bystander.fired == 0);
    CHECK_FALSE(bystander.limit.armed());
  }
  wheel.advance(third_armed + 100ms + timer_wheel::tick);
  CHECK(third.fired >= 1);
  CHECK(third.limit.armed());
  const auto so_far = third.fired;
  wheel.advance(after + 1s);
  CHECK(third.fired > so_far);
  CHECK(third.fired < 1000);  // a callback that arms again does not hold the wheel for ever

  wheel.advance(third_armed + 10s);
  CHECK(second == nullptr);
  CHECK(victims.empty());
}

TEST_CASE("deadlines may outlive the wheel, armed or not") {
  asio::io_context context(1);
  auto wheel = std::make_unique<timer_wheel>(context);
  armed one(*wheel);
  one.arm(1s);
  wheel.reset();
  CHECK_FALSE(one.limit.armed());
  CHECK(one.fired == 0);
}

TEST_CASE("the running wheel fires by itself and stops") {
  asio::io_context context(1);
  timer_wheel wheel(context);
  wheel.start();
  armed one(wheel);
  one.arm(60ms);
  while (one.fired == 0 && clock::now() < one.before + 30s) context.run_one_for(1s);
  CHECK(one.fired == 1);
  CHECK(clock::now() >= one.before + 60ms);
  wheel.stop();
  context.run();  // returns: nothing is left to do
  CHECK(context.stopped());
}

}  // namespace
}  // namespace exeat::proxy
