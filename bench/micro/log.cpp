// What a decision costs its worker: counting it, and pushing it to the log thread.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>

#include "core/decision_id.hpp"
#include "log/event_ring.hpp"
#include "metrics/counters.hpp"
#include "proxy/event.hpp"

using namespace exeat;

namespace {

proxy::event an_event() {
  proxy::event e;
  e.time = std::chrono::system_clock::now();
  e.verdict = proxy::outcome::allow;
  e.reason = core::reason::allowed;
  e.status = 200;
  e.phase = "agent";
  e.client = core::ip_address::v4(0x7f000001);
  e.client_port = 40'000;
  e.method = "CONNECT";
  e.scheme = "https";
  e.host = "api.example.com";
  e.port = 443;
  e.address = core::ip_address::v4(0x08080808);
  e.rule = "agent/api.example.com:443";
  e.rule_where = "policy.yaml:12";
  return e;
}

void push_event(benchmark::State& state) {
  log::event_ring ring(1U << 20);
  const auto event = an_event();
  for (auto _ : state) {
    if (!ring.push(event)) state.SkipWithError("the ring was full");
    ring.front();  // the reader's half is in the figure, so that the ring never fills
    ring.pop();
  }
}

void count_decision(benchmark::State& state) {
  const auto counters = std::make_unique<metrics::worker_counters>();
  benchmark::DoNotOptimize(counters.get());  // or it is seen that nobody ever reads them
  for (auto _ : state) {
    counters->decision(metrics::phase_slot{0}, metrics::verdict::allow, core::reason::allowed);
    benchmark::ClobberMemory();
  }
}

void next_id(benchmark::State& state) {
  core::decision_id_source ids(42, 0);
  for (auto _ : state) benchmark::DoNotOptimize(ids.next());
}

}  // namespace

BENCHMARK(push_event);
BENCHMARK(count_decision);
BENCHMARK(next_id);
