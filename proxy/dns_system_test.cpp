#include "proxy/dns_system.hpp"

#include <doctest/doctest.h>
#include <resolv.h>

#include <atomic>
#include <future>
#include <latch>
#include <optional>
#include <thread>

#include "proxy/dns_test_server.hpp"
#include "proxy/resolver.hpp"

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;
using testing::ip;
using testing::loop;
using testing::name;

bool is_loopback(const address_list& addresses) {
  return !addresses.empty() && std::ranges::all_of(addresses, [](const auto& address) {
    return address == ip("::1") || (address.is_v4() && address.bytes()[0] == 127);
  });
}

TEST_CASE("a look-up by nsswitch.conf, without search domains") {
  std::optional<dns_answer> answer;
  unsigned long flags = ~0UL;
  std::thread([&] {  // the resolver's state belongs to the thread
    answer = system_lookup(name("localhost"));
    flags = _res.options;
  })
      .join();
  REQUIRE(*answer);
  CHECK(is_loopback(answer->addresses));
  CHECK(answer->ttl > 0s);
  CHECK((flags & RES_DNSRCH) == 0);
  CHECK((flags & RES_DEFNAMES) == 0);
}

TEST_CASE("the resolver over the pool: shared, remembered, onion refused") {
  loop on;
  auto pool = std::make_shared<system_lookup_pool>(2, 16);
  resolver_options with;
  with.system = true;
  resolver names(on.context, on.wheel, with, pool);
  std::vector<std::optional<resolve_result>> results(5);
  for (auto& result : results)
    asio::co_spawn(on.context, loop::keep(names.resolve(name("localhost")), result), asio::detached);
  on.until(
      [&] { return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); }); });
  for (const auto& result : results) {
    REQUIRE(result->addresses);
    CHECK(is_loopback(*result->addresses));
  }
  CHECK(names.stats().misses == 1);
  CHECK(names.stats().shared == 4);
  CHECK(on.run(names.resolve(name("localhost"))).from_cache);
  CHECK(on.run(names.resolve(name("a.onion"))).addresses.error() == core::reason::dns_not_found);
}

/// Holds every thread of a pool until released.
struct held_pool {
  explicit held_pool(unsigned threads, std::size_t queued)
      : pool(std::make_shared<system_lookup_pool>(threads, queued + threads)), busy(threads) {
    for (unsigned i = 0; i < threads; ++i)
      REQUIRE(pool->submit(name("localhost"), [this, until = opened](const dns_answer&) {
        busy.count_down();
        until.wait();
      }));
    busy.wait();
    for (std::size_t i = 0; i < threads; ++i)  // what room the threads took out of the queue
      REQUIRE(pool->submit(name("localhost"), [](const dns_answer&) {}));
  }
  ~held_pool() { release(); }
  void release() {
    if (!done) released.set_value();
    done = true;
  }
  std::shared_ptr<system_lookup_pool> pool;
  std::latch busy;
  std::promise<void> released;
  std::shared_future<void> opened = released.get_future().share();
  bool done = false;
};

TEST_CASE("a full queue fails at once; a thread that is held up ends in a timeout") {
  loop on;
  held_pool held(1, 1);
  resolver_options with;
  with.system = true;
  with.timeout = 300ms;
  resolver names(on.context, on.wheel, with, held.pool);
  const auto timed_out = on.run(names.resolve(name("localhost")));  // queued behind the held thread
  CHECK(timed_out.addresses.error() == core::reason::dns_timeout);
  const auto full = on.run(names.resolve(name("other.localhost")));
  CHECK(full.addresses.error() == core::reason::too_many_lookups);
  CHECK(full.detail == "too many look-ups wait for getaddrinfo");

  // The late answer finds its flight gone, and a later one is answered.
  held.release();
  on.until([&] { return on.run(names.resolve(name("localhost"))).addresses.has_value(); });
}

TEST_CASE("the resolver may go while the pool works for it, and the pool while it works") {
  loop on;
  std::optional<resolve_result> result;
  held_pool held(1, 8);
  {
    resolver_options with;
    with.system = true;
    resolver names(on.context, on.wheel, with, held.pool);
    asio::co_spawn(on.context, loop::keep(names.resolve(name("localhost")), result), asio::detached);
    on.for_a_while(20ms);
  }
  on.until([&] { return result.has_value(); });
  CHECK(result->addresses.error() == core::reason::dns_failure);

  std::atomic<bool> dropped = true;
  held.pool->submit(name("localhost"), [&](const dns_answer&) { dropped = false; });
  held.pool.reset();  // its thread is still held
  held.release();
  CHECK(dropped);
}

}  // namespace
}  // namespace exeat::proxy
