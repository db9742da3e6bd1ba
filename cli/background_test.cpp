#include "cli/background.hpp"

#include <doctest/doctest.h>
#include <sched.h>

#include <atomic>
#include <future>
#include <stdexcept>

using namespace exeat::cli;
using namespace std::chrono_literals;

namespace {
constexpr auto for_ever = 60s;
}

TEST_CASE("work is done by a thread of the idle class") {
  background beside;
  int policy = -1;
  REQUIRE(beside.run([&] { policy = ::sched_getscheduler(0); }, for_ever));
  CHECK(policy == SCHED_IDLE);
  CHECK(::sched_getscheduler(0) != SCHED_IDLE);
  bool again = false;
  CHECK(beside.run([&] { again = true; }, for_ever));
  CHECK(again);
}

TEST_CASE("who waits no longer does it himself; what never began never will") {
  background beside;
  auto gate = std::make_shared<std::promise<void>>();
  auto began = std::make_shared<std::promise<void>>();
  auto opened = gate->get_future().share();
  CHECK(beside.later([opened, began] {
    began->set_value();
    opened.wait();
  }));
  began->get_future().wait();
  auto ran = std::make_shared<std::atomic<bool>>(false);
  CHECK_FALSE(beside.run([ran] { *ran = true; }, 1ms));
  CHECK(beside.later([] {}));
  CHECK_FALSE(beside.later([] {}));  // one waits already
  gate->set_value();
  bool after = false;
  CHECK(beside.run([&] { after = true; }, for_ever));
  CHECK(after);
  CHECK_FALSE(*ran);
}

TEST_CASE("what throws is not done, and the thread goes on") {
  background beside;
  CHECK_FALSE(beside.run([] { throw std::runtime_error("no memory"); }, for_ever));
  CHECK(beside.run([] {}, for_ever));
}

TEST_CASE("it ends with what is under way, without what waits") {
  auto ran = std::make_shared<std::atomic<int>>(0);
  {
    background beside;
    auto began = std::make_shared<std::promise<void>>();
    CHECK(beside.later([ran, began] {
      began->set_value();
      ++*ran;
    }));
    began->get_future().wait();
  }
  CHECK(*ran == 1);
  const background never_begun;
}
