// The review store: what a decision costs the log thread, what a million denials of 20,000 destinations cost
// the store, and how long its queries take upon them.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "proxy/event.hpp"
#include "review/query.hpp"
#include "review/store.hpp"

using namespace exeat;

namespace {

constexpr unsigned destinations = 20'000;
constexpr unsigned denials = 1'000'000;

std::vector<std::string> make_hosts() {
  std::vector<std::string> out;
  for (unsigned i = 0; i < destinations; ++i)
    out.push_back("host-" + std::to_string(i) + ".some-domain.example");
  return out;
}

proxy::event denial(const std::string& host, unsigned number) {
  proxy::event out;
  out.time = std::chrono::system_clock::now();
  out.id = core::decision_id{number};
  out.phase = number % 4 == 0 ? "setup" : "agent";
  out.client = core::ip_address::v4(0x7f000001);
  out.client_port = 40000;
  out.method = "CONNECT";
  out.scheme = "https";
  out.host = host;
  out.port = 443;
  out.process = "/usr/bin/curl";
  out.command = "curl -sS https://host.some-domain.example/some/path";
  out.hint = "Add under phases.agent.allow: - {host: host.some-domain.example}";
  return out;
}

/// A store with all of them; made once.
const std::string& filled() {
  static const std::string path = [] {
    std::string name = std::filesystem::temp_directory_path() / "exeat-review-XXXXXX";
    return std::string(::mkdtemp(name.data())) + "/review.sqlite";
  }();
  return path;
}

void review_fill(benchmark::State& state) {
  const auto hosts = make_hosts();
  for (auto _ : state) {
    std::filesystem::remove_all(std::filesystem::path(filled()).parent_path());
    auto opened = review::store::open(
        {.database = filled(), .bounds = {}, .memory = {}, .budgets = {}, .on_trouble = {}});
    if (!opened || !(*opened)->begin()) return state.SkipWithError("cannot open it");
    for (unsigned i = 0; i < denials; ++i) (*opened)->see(denial(hosts[i % destinations], i));
    (*opened)->flush(60'000);
    state.counters["MiB"] = static_cast<double>((*opened)->sample().octets) / (1 << 20);
    state.counters["detail_lost"] = static_cast<double>((*opened)->sample().detail_lost);
    (*opened)->stop();
  }
  state.SetItemsProcessed(state.iterations() * denials);
}

/// What the log thread does for a decision whose group is there.
void review_see(benchmark::State& state) {
  review::aggregate all;
  const auto hosts = make_hosts();
  unsigned number = 0;
  for (auto _ : state) {
    all.add(denial(hosts[number % 1000], number));
    ++number;
  }
}

template <typename Ask>
void ask(benchmark::State& state, const Ask& question) {
  auto store = review::open_to_read(filled());
  if (!store) return state.SkipWithError(store.error().c_str());
  std::vector<double> taken;
  for (auto _ : state) {
    const auto began = std::chrono::steady_clock::now();
    if (!question(*store)) return state.SkipWithError("no answer");
    taken.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
  }
  std::ranges::sort(taken);
  state.counters["p50_ms"] = taken[taken.size() / 2];
  state.counters["p99_ms"] = taken[taken.size() * 99 / 100];
}

void review_first_page(benchmark::State& state) {
  ask(state, [](auto& store) { return review::blocked(store, {}).has_value(); });
}
void review_page_with_sparklines(benchmark::State& state) {
  ask(state, [](auto& store) {
    const auto page =
        review::blocked(store, {}, {.by = review::order::last_seen, .limit = 50, .offset = 10'000});
    return page && review::sparklines(store, page->groups, {}, std::chrono::system_clock::now());
  });
}
void review_filter_by_host(benchmark::State& state) {
  ask(state,
      [](auto& store) { return review::blocked(store, {.phase = "agent", .host = "777"}).has_value(); });
}
void review_overview(benchmark::State& state) {
  ask(state, [](auto& store) { return review::overview_of(store).has_value(); });
}

}  // namespace

BENCHMARK(review_see);
BENCHMARK(review_fill)->Iterations(1)->Unit(benchmark::kSecond)->UseRealTime();
BENCHMARK(review_first_page)->Iterations(200)->Unit(benchmark::kMillisecond);
BENCHMARK(review_page_with_sparklines)->Iterations(200)->Unit(benchmark::kMillisecond);
BENCHMARK(review_filter_by_host)->Iterations(200)->Unit(benchmark::kMillisecond);
BENCHMARK(review_overview)->Iterations(200)->Unit(benchmark::kMillisecond);
