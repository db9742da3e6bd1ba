// What large policies cost off the hot path: loading (time and memory), lint, diff, explain.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <chrono>
#include <string>

#include "allowlist/diff.hpp"
#include "allowlist/explain.hpp"
#include "allowlist/lint.hpp"
#include "bench/micro/bench_policy.hpp"

using namespace exeat;

namespace {

std::chrono::sys_seconds now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::size_t heap_in_use() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// `heap_MiB`: what the policy holds once it is loaded.
void load(benchmark::State& state) {
  const auto text = bench::policy_text(state.range(0));
  std::size_t held = 0;
  for (auto _ : state) {
    const auto before = heap_in_use();
    const auto policy = config::parse_policy(text, "bench.yaml");
    held = heap_in_use() - before;
    benchmark::DoNotOptimize(policy);
  }
  state.counters["heap_MiB"] = static_cast<double>(held) / (1U << 20U);
}

void lint(benchmark::State& state) {
  const auto policy = bench::policy_of(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(allowlist::lint(*policy, {.now = now()}));
}

void diff_equal(benchmark::State& state) {
  const auto before = bench::policy_of(state.range(0));
  const auto after = bench::policy_of(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(allowlist::diff(*before, *after, now()));
}

void diff_changed(benchmark::State& state) {
  const auto before = bench::policy_of(state.range(0));
  const auto after = bench::policy_of(state.range(0), 1);
  for (auto _ : state) benchmark::DoNotOptimize(allowlist::diff(*before, *after, now()));
}

// No rule matches, so lookalikes are searched.
void explain(benchmark::State& state) {
  const auto policy = bench::policy_of(state.range(0));
  const core::destination to{*core::host_name::parse("h12345.team45.corp.exampel"), 443};
  for (auto _ : state) benchmark::DoNotOptimize(allowlist::explain(*policy, {.to = &to, .now = now()}));
}

}  // namespace

BENCHMARK(load)->Arg(1'000)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);
BENCHMARK(lint)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK(diff_equal)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK(diff_changed)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK(explain)->Arg(100'000)->Unit(benchmark::kMillisecond);
