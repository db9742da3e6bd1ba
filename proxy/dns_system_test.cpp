#include "proxy/dns_system.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <resolv.h>

#include <atomic>
#include <future>
#include <latch>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

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
    answer = system_lookup(name("localhost"), 5s);
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
  auto pool = std::make_shared<system_lookup_pool>();
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

constexpr auto queued = system_lookup_pool::submitted::queued;

/// Holds the one thread that asker 0 has, until released.
struct held_pool {
  explicit held_pool(std::size_t room)
      : pool(std::make_shared<system_lookup_pool>(system_lookup_limits{.threads = 1, .queued = room})) {
    REQUIRE(pool->submit(0, name("localhost"), [this, until = opened](const dns_answer&) {
      busy.count_down();
      until.wait();
    }) == queued);
    busy.wait();
  }
  ~held_pool() { release(); }
  void release() {
    if (!done) released.set_value();
    done = true;
  }
  std::shared_ptr<system_lookup_pool> pool;
  std::latch busy{1};
  std::promise<void> released;
  std::shared_future<void> opened = released.get_future().share();
  bool done = false;
};

TEST_CASE("a full queue fails at once; a thread that is held up ends in a timeout") {
  loop on;
  held_pool held(1);
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

TEST_CASE("names that never answer hold the threads of who asked for them, and nobody else's") {
  loop on;
  std::promise<void> released;
  std::mutex mutex;
  std::vector<std::string> asked;
  const auto names_asked = [&] {
    const std::lock_guard lock(mutex);
    return asked;
  };
  const auto stuck = [&, until = released.get_future().share()](const core::host_name& of, auto) {
    {
      const std::lock_guard lock(mutex);
      asked.emplace_back(of.view());
    }
    if (!of.view().starts_with("good")) until.wait();
    dns_answer answer;
    answer.reason = core::reason::allowed;
    answer.addresses = {ip("192.0.2.1")};
    return answer;
  };
  constexpr auto patience = 200ms;
  auto pool =
      std::make_shared<system_lookup_pool>(system_lookup_limits{.threads = 2, .patience = patience}, stuck);
  resolver_options with;
  with.system = true;
  with.timeout = patience;
  resolver names(on.context, on.wheel, with, pool);
  lookup_share hostile{.asker = 1}, other{.asker = 2};
  std::vector<std::optional<resolve_result>> dead(6);
  for (std::size_t i = 0; i < dead.size(); ++i) {
    asio::co_spawn(on.context,
                   loop::keep(names.resolve(name(fmt::format("dead{}.test", i)), &hostile), dead[i]),
                   asio::detached);
  }
  on.until([&] { return std::ranges::all_of(dead, [](const auto& result) { return result.has_value(); }); });
  for (const auto& result : dead) CHECK(result->addresses.error() == core::reason::dns_timeout);

  // Once both have been held for so long, more of its names are refused at once.
  int tried = 0;
  on.until([&] {
    const auto refused = on.run(names.resolve(name(fmt::format("more{}.test", ++tried)), &hostile));
    CHECK(refused.addresses.error() == core::reason::dns_timeout);
    return refused.detail == "names that do not answer hold all threads for getaddrinfo of this phase";
  });
  const auto held = names_asked();
  CHECK(held.size() == 2);
  // However slow this machine is: threads of others are free.
  const auto works = [&](std::string_view label, lookup_share* share) {
    on.until([&] {
      return on.run(names.resolve(name(fmt::format("good-{}{}.test", label, ++tried)), share))
          .addresses.has_value();
    });
  };
  works("other", &other);
  works("upstream", nullptr);

  // Those that waited for a thread were given up long ago, and are never asked for.
  released.set_value();
  works("mine", &hostile);
  for (const auto& one : names_asked())
    CHECK((one.starts_with("good-") || std::ranges::find(held, one) != held.end()));
  CHECK(hostile.under_way == 0);
}

TEST_CASE("a look-up does not try for longer than anybody waits") {
  std::thread([] {  // the resolver's state belongs to the thread
    (void)system_lookup(name("localhost"), 1s);
    CHECK(_res.retry == 1);
    CHECK(_res.retrans == 1);
  })
      .join();
  std::thread([] {
    (void)system_lookup(name("localhost"), 10min);
    const auto retry = _res.retry;
    const auto retrans = _res.retrans;
    res_init();  // as resolv.conf says
    CHECK(retry == _res.retry);
    CHECK(retrans == _res.retrans);
  }).join();
}

TEST_CASE("the resolver may go while the pool works for it, and the pool while it works") {
  loop on;
  std::optional<resolve_result> result;
  held_pool held(8);
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
  held.pool->submit(0, name("localhost"), [&](const dns_answer&) { dropped = false; });
  held.pool.reset();  // its thread is still held
  held.release();
  CHECK(dropped);
}

}  // namespace
}  // namespace exeat::proxy
