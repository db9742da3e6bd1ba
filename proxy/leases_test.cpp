// Counts that span workers, one by one: requests, seats, memory; and the gate in front of dials.
#include <doctest/doctest.h>

#include "proxy/buffer_pool.hpp"
#include "proxy/dial_gate.hpp"
#include "proxy/job_rate.hpp"
#include "proxy/job_seats.hpp"
#include "proxy/request_rate.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace std::chrono_literals;

namespace {

core::destination destination(const char* name, std::uint16_t port = 443) {
  return {core::host_name::parse(name).value(), port};
}

constexpr auto agent = metrics::phase_slot{1};
constexpr auto setup = metrics::phase_slot{2};

}  // namespace

TEST_CASE("a bucket holds the requests of one second, and fills at that pace") {
  request_rate rate(100, 1, 7);
  const auto start = request_rate::clock::now();
  const auto drain = [&](request_rate::clock::time_point at) {
    unsigned sum = 0;
    while (const auto got = rate.take(3, at)) sum += got;
    return sum;
  };
  CHECK(drain(start) == 100);
  CHECK(drain(start) == 0);
  CHECK(drain(start + 100ms) == 10);
  CHECK(drain(start + 10s) == 100);  // a long silence saves up no more than one second
  CHECK(rate.take(4, start) > 0);    // another bucket
}

TEST_CASE("workers share a client's requests; slices take none from thin air") {
  request_rate rate(1000, 4, 7);
  std::vector<std::unique_ptr<request_tokens>> workers;
  for (int i = 0; i < 4; ++i) workers.push_back(std::make_unique<request_tokens>(rate));
  const client_key client{.address = core::ip_address::v4(0x0a000001)};
  const auto start = request_rate::clock::now();
  std::uint64_t admitted = 0;
  for (int i = 0; i < 20'000; ++i) admitted += workers[static_cast<std::size_t>(i) % 4]->admit(client);
  const auto took = std::chrono::duration<double>(request_rate::clock::now() - start).count();
  CHECK(admitted >= 900);
  CHECK(static_cast<double>(admitted) <= 1000 + 1000 * took + 1);
  CHECK(client_key{.address = client.address, .phase = 1} != client);
}

TEST_CASE("a handshake counts for as many requests as leave 500 of them in a second") {
  const client_key client{.address = core::ip_address::v4(0x0a000001)};
  for (const auto& [per_second, cost] : {std::pair(10'000U, 20U), {1'000U, 2U}, {500U, 1U}, {3U, 1U}}) {
    request_rate rate(per_second, 1, 7);
    CHECK(rate.cost_of_handshake() == cost);
    request_tokens tokens(rate);
    const auto start = request_rate::clock::now();
    const auto most = per_second / cost;
    unsigned admitted = 0;
    for (unsigned i = 0; i < 4 * most; ++i) admitted += tokens.admit_handshake(client) ? 1U : 0U;
    const auto took = std::chrono::duration<double>(request_rate::clock::now() - start).count();
    CHECK(admitted >= most);
    CHECK(admitted <= most + 1 + most * took);
    CHECK(tokens.admit_handshake({.address = core::ip_address::v4(0x0a000002)}));
  }
  request_rate none(0, 1, 7);
  request_tokens unlimited(none);
  for (int i = 0; i < 1000; ++i) CHECK(unlimited.admit_handshake(client));
}

TEST_CASE("no limit on requests costs no table") {
  request_rate rate(0, 2, 7);
  request_tokens tokens(rate);
  for (int i = 0; i < 100; ++i) CHECK(tokens.admit({.address = core::ip_address::v4(1)}));
}

TEST_CASE("rates: a phase leaves the others theirs, a job has no more than its own, over all workers") {
  job_rate rate({.per_phase = 10, .per_job = 15}, 2);
  using answer = job_rate::answer;
  const auto start = request_rate::clock::now();
  const auto admitted = [&](metrics::phase_slot phase) {
    unsigned sum = 0;
    for (unsigned i = 0; i < 100; ++i) sum += rate.admit(i % 2, phase) == answer::admitted;
    return sum;
  };
  const auto of_agent = admitted(agent);
  const auto after_agent = rate.admit(0, agent);
  const auto of_setup = admitted(setup);
  const auto after_setup = rate.admit(0, setup);
  const auto after_all = rate.admit(0, agent);
  // What has come back meanwhile, were the machine ever so slow.
  const auto took = std::chrono::duration<double>(request_rate::clock::now() - start).count();
  CHECK(of_agent >= 10);
  CHECK(of_agent <= 10 + 10 * took);
  CHECK(of_setup >= 5);
  CHECK(of_agent + of_setup <= 15 + 15 * took);
  if (took < 0.05) {
    CHECK(after_agent == answer::phase_reached);
    CHECK(after_setup == answer::job_reached);
    CHECK(after_all == answer::phase_reached);
  }
}

TEST_CASE("rates: a request that the job refuses costs its phase nothing; no limit is none") {
  job_rate job({.per_phase = 1'000'000, .per_job = 1}, 1);
  unsigned admitted = 0;
  const auto start = request_rate::clock::now();
  for (int i = 0; i < 10'000; ++i) admitted += job.admit(0, agent) == job_rate::answer::admitted;
  const auto took = std::chrono::duration<double>(request_rate::clock::now() - start).count();
  CHECK(admitted >= 1);
  CHECK(admitted <= 2 + took);
  job_rate open({}, 1);
  for (int i = 0; i < 1000; ++i) CHECK(open.admit(0, agent) == job_rate::answer::admitted);
}

TEST_CASE("seats: a phase leaves the others theirs, a job has no more than its own, over all workers") {
  job_seats seats({.per_phase = 10, .per_job = 15}, 2);
  using answer = job_seats::answer;
  unsigned admitted = 0;
  for (unsigned i = 0; i < 40; ++i) admitted += seats.admit(i % 2, agent) == answer::admitted;
  CHECK(admitted == 10);
  CHECK(seats.admit(0, agent) == answer::phase_reached);
  admitted = 0;
  for (unsigned i = 0; i < 40; ++i) admitted += seats.admit(i % 2, setup) == answer::admitted;
  CHECK(admitted == 5);
  CHECK(seats.admit(0, setup) == answer::job_reached);
  for (unsigned i = 0; i < 10; ++i) seats.release(i % 2, agent);
  admitted = 0;
  for (unsigned i = 0; i < 40; ++i) admitted += seats.admit(1, setup) == answer::admitted;
  CHECK(admitted == 5);  // its phase is full
}

TEST_CASE("seats: none of the limits is a limit; what is released can be leased anew, by any worker") {
  job_seats open({}, 1);
  for (int i = 0; i < 1000; ++i) CHECK(open.admit(0, agent) == job_seats::answer::admitted);
  for (int i = 0; i < 1000; ++i) open.release(0, agent);
  auto seats = std::make_shared<job_seats>(job_seats::limits{.per_phase = 1000, .per_job = 1000}, 4);
  for (unsigned worker = 0; worker < 4; ++worker) {
    std::vector<job_seat> taken;
    while (seats->admit(worker, agent) == job_seats::answer::admitted)
      taken.emplace_back(seats, worker, agent);
    CHECK(taken.size() >= 1000 - 3 * 16);
    job_seat moved = std::move(taken.back());
    taken.pop_back();
    CHECK(moved);
  }
}

TEST_CASE("memory: leases take from one total and give it back") {
  memory_budget budget(1000, 2);
  {
    memory_lease a(budget);
    memory_lease b(budget);
    CHECK(a.take(900));
    CHECK_FALSE(b.take(200));
    CHECK(b.has(60));
    CHECK(b.take(60));
    a.give_back(900);
    CHECK(b.take(800));
    b.give_back(860);
  }
  CHECK(budget.take(1000) == 1000);
  CHECK(budget.take(1) == 0);
}

TEST_CASE("a pool of buffers charges those in hand, and has no more than the total") {
  memory_budget budget(10 * 1024, 1);
  auto lease = std::make_shared<memory_lease>(budget);
  {
    buffer_pool pool(1024, lease, 2);
    {
      std::vector<std::unique_ptr<pooled_buffer>> taken;
      while (pool.has_one()) taken.push_back(std::make_unique<pooled_buffer>(pool));
      CHECK(taken.size() == 10);
      CHECK_THROWS_AS(pooled_buffer{pool}, std::bad_alloc);
      taken.pop_back();
      CHECK(pool.has_one());
    }
    CHECK(lease->has(8 * 1024));
    CHECK_FALSE(lease->has(9 * 1024));  // two are in hand
  }
  memory_charge one(lease);
  CHECK(one.grow(10 * 1024));
  memory_charge other(lease);
  CHECK_FALSE(other.grow(1));
  one.clear();
  CHECK(other.grow(1));
}

TEST_CASE("the gate lets so many in, the others in their order, and those who lose patience never") {
  asio::io_context context(1);
  dial_gate gate(context, 2, 1);
  std::vector<int> entered;
  std::vector<int> gave_up;
  std::vector<std::shared_ptr<std::optional<dial_gate::pass>>> inside(6);
  const auto enter = [&](int who, const char* name, metrics::phase_slot phase,
                         std::chrono::milliseconds patience) {
    auto& slot = inside[static_cast<std::size_t>(who)] = std::make_shared<std::optional<dial_gate::pass>>();
    asio::co_spawn(
        context,
        [](dial_gate& at, core::destination to, metrics::phase_slot by, std::chrono::milliseconds wait,
           int number, std::shared_ptr<std::optional<dial_gate::pass>> into, std::vector<int>& in,
           std::vector<int>& out) -> task<void> {
          auto pass = co_await at.enter(to, by, wait);
          (pass ? in : out).push_back(number);
          if (pass) into->emplace(std::move(*pass));
        }(gate, destination(name), phase, patience, who, slot, entered, gave_up),
        asio::detached);
  };
  enter(0, "a.example", agent, 1h);
  enter(1, "a.example", agent, 1h);
  enter(2, "a.example", agent, 1h);
  enter(3, "a.example", agent, 1ms);
  enter(4, "b.example", agent, 1h);
  enter(5, "a.example", setup, 1h);
  context.run_for(50ms);
  CHECK(entered == std::vector{0, 1, 4, 5});
  CHECK(gave_up == std::vector{3});
  inside[1]->reset();
  context.restart();
  context.run_for(50ms);
  CHECK(entered == std::vector{0, 1, 4, 5, 2});
  for (auto& slot : inside) slot->reset();
  enter(0, "a.example", agent, 1h);
  context.restart();
  context.run_for(50ms);
  CHECK(entered.back() == 0);
}

TEST_CASE("who waits at a gate that is gone, and whose context ends, leaves nothing behind") {
  auto context = std::make_unique<asio::io_context>(1);
  auto gate = std::make_unique<dial_gate>(*context, 1, 1);
  for (int i = 0; i < 3; ++i) {
    asio::co_spawn(
        *context,
        [](dial_gate& at) -> task<void> {
          auto pass = co_await at.enter(destination("a.example"), agent, 1h);
          co_await steady_timer(co_await asio::this_coro::executor, 1h).async_wait(no_throw);
        }(*gate),
        asio::detached);
  }
  context->run_for(20ms);
  gate.reset();
  context.reset();
}
