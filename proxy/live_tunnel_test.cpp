// What a tunnel counts for the phase of its job.
#include "proxy/live_tunnel.hpp"

#include <doctest/doctest.h>

#include "allowlist/test_policy.hpp"
#include "proxy/worker.hpp"

using namespace exeat;
using namespace exeat::proxy;

namespace {

// A worker that nobody runs, and a job's phase.
struct stage {
  stage() {
    auto compiled = allowlist::compile(allowlist::testing::source_with({})).value();
    auto policy = std::make_shared<const allowlist::policy>(std::move(compiled));
    auto table = std::make_shared<job_table>();
    table->implicit = {nullptr, std::make_shared<const loaded_policy>(policy, slots, book),
                       std::make_shared<job_counts>(1)};
    jobs = table;
    process.settings.dns.servers = {{core::ip_address::v4(0x7f000001), 1}};
    process.budget = &connections;
    process.memory = &memory;
    process.requests = &requests;
    at.emplace(0, process, *counters, jobs);
  }
  request_record record() {
    request_record out;
    out.policy = jobs->implicit.policy;
    out.phase = allowlist::phase_id{0};
    out.slot = out.policy->slot_of(out.phase);
    out.placed = true;
    out.count = at->count_of(jobs->implicit, out.slot);
    return out;
  }
  phase_count& count() { return (*jobs->implicit.counts)[0][static_cast<std::size_t>(record().slot)]; }

  metrics::phase_slots slots;
  budget_book book;
  std::shared_ptr<const job_table> jobs;
  connection_budget connections{1, 0, 1};
  memory_budget memory{1 << 20, 1};
  request_rate requests{0, 1, 1};
  std::unique_ptr<metrics::worker_counters> counters = std::make_unique<metrics::worker_counters>();
  process_state process;
  std::optional<worker> at;
};

}  // namespace

TEST_CASE("octets that were counted before an upgrade are not counted again by its tunnel") {
  stage stage;
  auto record = stage.record();
  record.count_moved(30, 50);  // as the exchange did, of a WebSocket's request and answer
  {
    live_tunnel tunnel(*stage.at, std::move(record), admission(*stage.at, {}), {}, 30, 50);
    tunnel.moved(1, 2);
    CHECK(stage.count().opened.value() == 1);
    tunnel.ended({.bytes_up = 31, .bytes_down = 52});
  }
  CHECK(stage.count().closed.value() == 1);
  CHECK(stage.count().up.value() == 31);
  CHECK(stage.count().down.value() == 52);
}
