#include "review/aggregate.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "log/test_event.hpp"
#include "review/schema.hpp"

using namespace exeat;
using namespace exeat::review;
using namespace std::chrono_literals;

namespace {

std::uint64_t sum(const aggregate& all) {
  std::uint64_t out = 0;
  for (const auto& [key, one] : all.groups()) out += one.count;
  return out;
}

std::uint64_t count_of(const aggregate& all, std::string_view host, std::string_view job = "") {
  std::uint64_t out = 0;
  for (const auto& [key, one] : all.groups()) out += one.host == host && one.job == job ? one.count : 0;
  return out;
}

proxy::event numbered(unsigned number, std::string_view job = "") {
  static std::string host;
  host = "h" + std::to_string(number) + ".example";
  auto event = log::refusal(host);
  event.job = job;
  return event;
}

}  // namespace

TEST_CASE("what differs in time and client alone is one group, with its first and its latest sample") {
  aggregate all;
  for (int i = 0; i < 3; ++i) {
    auto event = log::refusal();
    event.time += std::chrono::seconds(i == 1 ? -5 : i);
    event.client_port = static_cast<std::uint16_t>(40000 + i);
    all.add(event);
  }
  REQUIRE(all.size() == 1);
  const auto& one = all.groups().begin()->second;
  CHECK(one.count == 3);
  CHECK(one.refused);
  CHECK(one.first_seen == log::refusal().time - 5s);
  CHECK(one.last_seen == log::refusal().time + 2s);
  CHECK(one.first->client == "127.0.0.1:40000");
  CHECK(one.last->client == "127.0.0.1:40002");
}

TEST_CASE("each part of the key makes another group, and no two texts run together") {
  aggregate all;
  all.add(log::refusal());
  const auto with = [&](auto change) {
    auto event = log::refusal();
    change(event);
    all.add(event);
  };
  with([](auto& e) { e.job = "j"; });
  with([](auto& e) { e.phase = "setup"; });
  with([](auto& e) { e.port = 80; });
  with([](auto& e) { e.scheme = "http"; });
  with([](auto& e) { e.reason = core::reason::deny_rule; });
  with([](auto& e) { e.verdict = proxy::outcome::would_deny; });
  with([](auto& e) { e.rule = "r"; });
  with([](auto& e) { e.job = "jag", e.phase = "ent"; });
  CHECK(all.size() == 9);
}

TEST_CASE("the end of a tunnel adds its octets, and counts where it was cut") {
  aggregate all;
  auto event = log::refusal("fine.example");
  event.verdict = proxy::outcome::allow;
  event.reason = core::reason::allowed;
  all.add(event);
  event.kind = proxy::event::kind::close;
  event.bytes_up = 5;
  event.bytes_down = 7;
  all.add(event);
  REQUIRE(all.size() == 1);
  const auto& one = all.groups().begin()->second;
  CHECK(one.count == 1);
  CHECK_FALSE(one.refused);
  CHECK(one.bytes_up == 5);
  CHECK(one.bytes_down == 7);
  CHECK_FALSE(one.first);
  event.verdict = proxy::outcome::deny;
  event.reason = core::reason::upload_limit;
  all.add(event);
  CHECK(all.size() == 2);
  CHECK(sum(all) == 2);
}

TEST_CASE("beyond the bounds destinations are lost, and no count") {
  const aggregate_bounds bounds{.groups_per_job = 3, .groups = 5};
  aggregate all(bounds);
  for (unsigned i = 0; i < 10; ++i) all.add(numbered(i, "a"));
  CHECK(all.size() == 4);
  CHECK(count_of(all, other_host, "a") == 7);
  CHECK(all.detail_lost() == 7);
  for (unsigned i = 0; i < 10; ++i) all.add(numbered(i, "b"));  // two jobs may not have more than all
  CHECK(sum(all) == 20);
  CHECK(count_of(all, other_host, "b") == 9);
  all.add(numbered(0, "a"));
  CHECK(count_of(all, "h0.example", "a") == 2);

  aggregate more(bounds);
  for (unsigned i = 5; i < 15; ++i) more.add(numbered(i, "a"));
  all.merge(std::move(more));
  CHECK(sum(all) == 31);
  CHECK(all.detail_lost() == 7 + 9 + 7 + 3);
  CHECK(more.empty());
}

TEST_CASE("merging keeps the earliest and the latest") {
  aggregate all;
  aggregate more;
  auto event = log::refusal();
  all.add(event);
  event.time += 1h;
  event.hint = "allow it";
  event.client_port = 1;
  more.add(event);
  all.merge(std::move(more));
  const auto& one = all.groups().begin()->second;
  CHECK(one.count == 2);
  CHECK(one.last_seen - one.first_seen == 1h);
  CHECK(one.hint == "allow it");
  CHECK(one.first->client == "127.0.0.1:40000");
  CHECK(one.last->client == "127.0.0.1:1");
}

TEST_CASE("decisions of which nothing is known are counted by verdict and reason") {
  aggregate all;
  all.add_lost(proxy::outcome::deny, core::reason::no_rule, 5, log::refusal().time);
  all.add_lost(proxy::outcome::deny, core::reason::no_rule, 2, log::refusal().time);
  REQUIRE(all.size() == 1);
  CHECK(sum(all) == 7);
  CHECK(all.detail_lost() == 7);
  CHECK(all.groups().begin()->second.refused);
}
