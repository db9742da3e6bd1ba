// decide() and the address guard, by the number of rules.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "allowlist/address_guard.hpp"
#include "allowlist/policy.hpp"
#include "bench/micro/bench_policy.hpp"
#include "config/load.hpp"

using namespace exeat;
using bench::policy_of;

namespace {

void decide_all(benchmark::State& state, std::string_view pattern) {
  const auto policy = policy_of(state.range(0));
  const auto phase = *policy->find_phase("agent");
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  std::vector<core::destination> asked;
  for (std::int64_t i = 0; i < 1024; ++i) {
    const auto n = i * 7919 % state.range(0);
    asked.push_back({*core::host_name::parse(fmt::format(fmt::runtime(pattern), n, n % 97)), 443});
  }
  std::size_t next = 0;
  for (auto _ : state) {
    const allowlist::request request{phase, core::scheme::https, &asked[next++ % asked.size()], now};
    benchmark::DoNotOptimize(allowlist::decide(*policy, request));
  }
}

void decide_hit(benchmark::State& state) {
  decide_all(state, "a.h{}.team{}.corp.example");
}
void decide_miss(benchmark::State& state) {
  decide_all(state, "a.b.x{}.team{}.other.example");
}

void guard(benchmark::State& state) {
  const auto policy = policy_of(10);
  const core::destination to{*core::host_name::parse("h1.team1.corp.example"), 443};
  const std::array addresses{*core::ip_address::parse("2606:4700::1111"),
                             *core::ip_address::parse("8.8.8.8")};
  for (auto _ : state) benchmark::DoNotOptimize(allowlist::guard(*policy, to, addresses));
}

}  // namespace

BENCHMARK(decide_hit)->Arg(10)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(decide_miss)->Arg(10)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
BENCHMARK(guard);
