#include "proxy/dns_cache.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;

core::host_name name(std::string_view text) {
  return core::host_name::parse(text).value();
}

dns_answer addresses(std::chrono::seconds ttl, std::uint32_t first = 0x01020304) {
  dns_answer answer;
  answer.reason = core::reason::allowed;
  answer.addresses = {core::ip_address::v4(first)};
  answer.ttl = ttl;
  return answer;
}

struct listener : dns_waiter {
  listener()
      : dns_waiter([](dns_waiter& self, const dns_answer& given) noexcept {
          auto& me = static_cast<listener&>(self);
          ++me.calls;
          me.answer = given;
        }) {}
  int calls = 0;
  dns_answer answer;
};

const dns_cache::clock::time_point start{1000h};

TEST_CASE("answers live for their TTL, clamped") {
  dns_cache cache({.min_ttl = 5s, .max_ttl = 100s});
  cache.complete(name("a.example"), addresses(60s), start);
  cache.complete(name("zero.example"), addresses(0s), start);
  cache.complete(name("long.example"), addresses(864000s), start);
  CHECK(cache.find(name("a.example"), start + 59s));
  CHECK(cache.find(name("a.example"), start + 10s)->ttl == 50s);
  CHECK_FALSE(cache.find(name("a.example"), start + 60s));
  CHECK(cache.find(name("zero.example"), start + 4s));
  CHECK_FALSE(cache.find(name("zero.example"), start + 5s));
  CHECK(cache.find(name("long.example"), start + 99s));
  CHECK_FALSE(cache.find(name("long.example"), start + 100s));
  CHECK_FALSE(cache.find(name("other.example"), start));
}

TEST_CASE("a hit is the answer that was given") {
  dns_cache cache({});
  dns_answer given = addresses(60s);
  for (std::uint32_t i = 1; i < max_addresses; ++i) given.addresses.push_back(core::ip_address::v4(i));
  cache.complete(name("a.example"), given, start);
  const auto found = cache.find(name("a.example"), start);
  REQUIRE(found);
  CHECK(*found);
  CHECK(found->addresses == given.addresses);

  cache.complete(name("a.example"), addresses(60s, 7), start + 1s);
  CHECK(cache.find(name("a.example"), start + 1s)->addresses.size() == 1);
  CHECK(cache.size() == 1);
}

TEST_CASE("failures are remembered for less long than names that do not exist") {
  dns_cache cache({.negative_ttl = 10s, .failure_ttl = 1s});
  cache.complete(name("no.example"), dns_error(core::reason::dns_not_found, "gone"), start);
  cache.complete(name("bad.example"), dns_error(core::reason::dns_failure, "bad"), start);
  cache.complete(name("slow.example"), dns_error(core::reason::dns_timeout, "slow"), start);
  CHECK(cache.find(name("no.example"), start + 9s)->reason == core::reason::dns_not_found);
  CHECK(cache.find(name("no.example"), start)->detail == "gone");
  CHECK_FALSE(cache.find(name("no.example"), start + 10s));
  CHECK(cache.find(name("bad.example"), start + 999ms)->reason == core::reason::dns_failure);
  CHECK_FALSE(cache.find(name("bad.example"), start + 1s));
  CHECK(cache.find(name("slow.example"), start + 999ms)->reason == core::reason::dns_timeout);
  CHECK_FALSE(cache.find(name("slow.example"), start + 1s));

  dns_cache brief({.negative_ttl = 300ms});
  brief.complete(name("bad.example"), dns_error(core::reason::dns_failure, ""), start);
  CHECK(brief.find(name("bad.example"), start + 299ms));
  CHECK_FALSE(brief.find(name("bad.example"), start + 300ms));

  dns_cache forgetful({.negative_ttl = 0s});
  forgetful.complete(name("no.example"), dns_error(core::reason::dns_not_found, ""), start);
  forgetful.complete(name("bad.example"), dns_error(core::reason::dns_failure, ""), start);
  CHECK(forgetful.size() == 0);
}

TEST_CASE("a full cache gives up what has expired, then what nobody used") {
  dns_cache cache({.entries = 3});
  cache.complete(name("a.example"), addresses(100s), start);
  cache.complete(name("b.example"), addresses(100s), start);
  cache.complete(name("c.example"), addresses(100s), start);
  CHECK(cache.find(name("a.example"), start));
  CHECK(cache.find(name("c.example"), start));
  cache.complete(name("d.example"), addresses(100s), start);
  CHECK(cache.size() == 3);
  CHECK(cache.evictions() == 1);
  CHECK_FALSE(cache.find(name("b.example"), start));
  CHECK(cache.find(name("a.example"), start));
  CHECK(cache.find(name("c.example"), start));
  CHECK(cache.find(name("d.example"), start));

  // All of them expired: room without an eviction.
  cache.complete(name("e.example"), addresses(100s), start + 200s);
  CHECK(cache.evictions() == 1);
  CHECK(cache.size() == 3);
  CHECK(cache.find(name("e.example"), start + 200s));
}

TEST_CASE("a cache of no entries still shares look-ups") {
  dns_cache cache({.entries = 0});
  listener first, second;
  CHECK(cache.join(name("a.example"), first) == dns_cache::joined::started);
  CHECK(cache.join(name("a.example"), second) == dns_cache::joined::shared);
  cache.complete(name("a.example"), addresses(60s), start);
  CHECK(first.calls == 1);
  CHECK(second.calls == 1);
  CHECK(cache.size() == 0);
}

TEST_CASE("one look-up for all who ask at the same time") {
  dns_cache cache({.in_flight = 2});
  listener first, second, other, late, too_many;
  CHECK(cache.join(name("a.example"), first) == dns_cache::joined::started);
  CHECK(cache.join(name("a.example"), second) == dns_cache::joined::shared);
  CHECK(cache.join(name("b.example"), other) == dns_cache::joined::started);
  CHECK(cache.join(name("c.example"), too_many) == dns_cache::joined::full);
  CHECK_FALSE(too_many.is_linked());
  CHECK(cache.in_flight() == 2);
  {
    listener leaves;
    CHECK(cache.join(name("a.example"), leaves) == dns_cache::joined::shared);
  }
  cache.complete(name("a.example"), addresses(60s), start);
  CHECK(first.calls == 1);
  CHECK(second.calls == 1);
  CHECK(first.answer.addresses.size() == 1);
  CHECK(other.calls == 0);
  CHECK(cache.in_flight() == 1);
  CHECK(cache.join(name("a.example"), late) == dns_cache::joined::started);
}

TEST_CASE("an answer that nobody waits for any more is remembered") {
  dns_cache cache({});
  {
    listener leaves;
    CHECK(cache.join(name("a.example"), leaves) == dns_cache::joined::started);
  }
  listener joins;
  CHECK(cache.join(name("a.example"), joins) == dns_cache::joined::shared);
  cache.complete(name("a.example"), addresses(60s), start);
  CHECK(joins.calls == 1);
  CHECK(cache.find(name("a.example"), start));
}

TEST_CASE("a waiter that is told may destroy the others and ask again") {
  struct chain : dns_waiter {
    chain(dns_cache& in, std::vector<std::unique_ptr<listener>>& to_destroy)
        : dns_waiter([](dns_waiter& self, const dns_answer&) noexcept {
            auto& me = static_cast<chain&>(self);
            me.others.clear();
            me.again = me.cache.join(core::host_name::parse("a.example").value(), me);
          }),
          cache(in),
          others(to_destroy) {}
    dns_cache& cache;
    std::vector<std::unique_ptr<listener>>& others;
    dns_cache::joined again = dns_cache::joined::full;
  };
  dns_cache cache({});
  std::vector<std::unique_ptr<listener>> others;
  chain first(cache, others);
  CHECK(cache.join(name("a.example"), first) == dns_cache::joined::started);
  for (int i = 0; i < 3; ++i) {
    others.push_back(std::make_unique<listener>());
    CHECK(cache.join(name("a.example"), *others.back()) == dns_cache::joined::shared);
  }
  cache.complete(name("a.example"), addresses(60s), start);
  CHECK(others.empty());
  CHECK(first.again == dns_cache::joined::started);
  CHECK(first.is_linked());
}

TEST_CASE("abandoning tells all and remembers nothing; clearing lets look-ups go on") {
  dns_cache cache({});
  cache.complete(name("old.example"), addresses(60s), start);
  listener a, b;
  cache.join(name("a.example"), a);
  cache.join(name("b.example"), b);
  cache.clear();
  CHECK(cache.size() == 0);
  CHECK(cache.in_flight() == 2);
  cache.abandon(dns_error(core::reason::dns_failure, "over"));
  CHECK(a.answer.detail == "over");
  CHECK(b.calls == 1);
  CHECK(cache.in_flight() == 0);
  CHECK(cache.size() == 0);
}

TEST_CASE("never more entries than allowed, and never another name's answer") {
  std::mt19937 random(4711);
  dns_cache cache({.entries = 50, .min_ttl = 1s, .max_ttl = 30s});
  auto now = start;
  for (int step = 0; step < 20000; ++step) {
    const auto number = std::uint32_t(random() % 200);
    const auto asked = name("n" + std::to_string(number) + ".example");
    now += std::chrono::milliseconds(random() % 200);
    if (const auto found = cache.find(asked, now)) {
      REQUIRE(found->addresses.size() == 1);
      REQUIRE(found->addresses[0] == core::ip_address::v4(number));
    } else {
      cache.complete(asked, addresses(std::chrono::seconds(random() % 60), number), now);
      REQUIRE(cache.find(asked, now));
    }
    REQUIRE(cache.size() <= 50);
  }
  CHECK(cache.evictions() > 100);
}

}  // namespace
}  // namespace exeat::proxy
