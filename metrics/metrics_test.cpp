#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

#include "metrics/exposition.hpp"
#include "metrics/process_stats.hpp"
#include "metrics/table.hpp"

using namespace exeat;
using namespace exeat::metrics;
using namespace std::chrono_literals;

namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("phase names keep their slots, and the 65th falls into (other)") {
  phase_slots slots;
  CHECK(slots.intern("") == no_phase);
  CHECK(slots.size() == 0);
  const phase_slot setup = slots.intern("setup");
  const phase_slot agent = slots.intern("agent");
  CHECK(setup != agent);
  CHECK(slots.intern("setup") == setup);
  for (int i = 2; i < 64; ++i) CHECK(slots.intern("p" + std::to_string(i)) < other_phase);
  CHECK(slots.size() == 64);
  CHECK(slots.intern("one-more") == other_phase);
  CHECK(slots.intern("agent") == agent);
  CHECK(slots.label(agent) == "agent");
  CHECK(slots.label(other_phase) == "(other)");
  CHECK(slots.label(no_phase) == "(none)");
}

TEST_CASE("counts of all workers are summed per phase, verdict and reason") {
  registry numbers(3);
  const phase_slot agent = numbers.phases().intern("agent");
  for (unsigned i = 0; i < 3; ++i) {
    for (unsigned n = 0; n <= i; ++n) numbers.worker(i).decision(agent, verdict::deny, core::reason::no_rule);
    numbers.worker(i).bytes(agent, 10, 1000);
  }
  numbers.worker(2).decision(agent, verdict::would_deny, core::reason::deny_rule);
  numbers.worker(0).decision(no_phase, verdict::deny, core::reason::bad_host);
  numbers.worker(0).tunnel_opened(agent);
  numbers.worker(1).tunnel_opened(agent);
  numbers.worker(1).tunnel_closed(agent);
  numbers.worker(1).limit_hit(core::reason::head_timeout);
  numbers.worker(1).dns_cache(dns_lookup::shared);
  numbers.worker(1).upstream_connection(upstream_source::pool);
  numbers.worker(1).http_request(agent);
  numbers.worker(1).connection_accepted();
  numbers.worker(2).connection_accepted();
  numbers.worker(2).connection_closed();

  const std::string text = expose(numbers);
  CHECK(has_line(text, R"(exeat_decisions_total{phase="agent",verdict="deny",reason="no-rule"} 6)"));
  CHECK(has_line(text, R"(exeat_decisions_total{phase="agent",verdict="would_deny",reason="deny-rule"} 1)"));
  CHECK(has_line(text, R"(exeat_decisions_total{phase="agent",verdict="allow",reason="allowed"} 0)"));
  CHECK(has_line(text, R"~(exeat_decisions_total{phase="(none)",verdict="deny",reason="bad-host"} 1)~"));
  CHECK(has_line(text, R"(exeat_bytes_total{phase="agent",direction="up"} 30)"));
  CHECK(has_line(text, R"(exeat_bytes_total{phase="agent",direction="down"} 3000)"));
  CHECK(has_line(text, R"(exeat_tunnels_total{phase="agent"} 2)"));
  CHECK(has_line(text, R"(exeat_active_tunnels{phase="agent"} 1)"));
  CHECK(has_line(text, R"(exeat_http_requests_total{phase="agent"} 1)"));
  CHECK(has_line(text, R"(exeat_limit_hits_total{reason="head-timeout"} 1)"));
  CHECK(has_line(text, R"(exeat_limit_hits_total{reason="head-too-large"} 0)"));
  CHECK(has_line(text, R"(exeat_dns_lookups_total{result="shared"} 1)"));
  CHECK(has_line(text, R"(exeat_http_upstream_connections_total{source="pool"} 1)"));
  CHECK(has_line(text, "exeat_connections_total 2"));
  CHECK(has_line(text, "exeat_active_connections 1"));
  CHECK(has_line(text, "exeat_workers 3"));
  CHECK(text.find("(other)") == std::string::npos);
  CHECK(has_line(text, R"(exeat_canary_requests_total{phase="agent"} 0)"));
  numbers.worker(0).decision(agent, verdict::deny, core::reason::canary);
  numbers.worker(2).decision(agent, verdict::deny, core::reason::canary);
  CHECK(has_line(expose(numbers), R"(exeat_canary_requests_total{phase="agent"} 2)"));
  CHECK(
      has_line(expose(numbers), R"(exeat_decisions_total{phase="agent",verdict="deny",reason="canary"} 2)"));
}

TEST_CASE("durations fall into the bucket whose bound they do not exceed") {
  registry numbers(2);
  numbers.worker(0).connect_time(100us);
  numbers.worker(1).connect_time(100us + 1ns);
  numbers.worker(1).connect_time(31s);
  numbers.worker(1).connect_time(-1us);
  const std::string text = expose(numbers);
  CHECK(has_line(text, R"(exeat_connect_duration_seconds_bucket{le="0.0001"} 2)"));
  CHECK(has_line(text, R"(exeat_connect_duration_seconds_bucket{le="0.00025"} 3)"));
  CHECK(has_line(text, R"(exeat_connect_duration_seconds_bucket{le="30"} 3)"));
  CHECK(has_line(text, R"(exeat_connect_duration_seconds_bucket{le="+Inf"} 4)"));
  CHECK(has_line(text, "exeat_connect_duration_seconds_count 4"));
  CHECK(has_line(text, "exeat_dns_duration_seconds_count 0"));
  for (std::size_t i = 1; i < duration_histogram::bounds.size(); ++i) {
    CHECK(duration_histogram::bounds[i - 1] < duration_histogram::bounds[i]);
  }
}

TEST_CASE("policy and reloads") {
  registry numbers(1);
  CHECK(expose(numbers).find("exeat_policy_") == std::string::npos);
  numbers.set_policy(
      {.digest = "sha256:ab\"c", .rules = 12, .loaded_at = std::chrono::system_clock::time_point{1500ms}});
  numbers.count_reload(true);
  numbers.count_reload(false);
  std::string text = expose(numbers);
  CHECK(has_line(text, R"(exeat_policy_info{digest="sha256:ab\"c"} 1)"));
  CHECK(has_line(text, "exeat_policy_rules 12"));
  CHECK(has_line(text, "exeat_policy_loaded_timestamp_seconds 1.5"));
  CHECK(has_line(text, R"(exeat_reloads_total{result="success"} 1)"));
  CHECK(has_line(text, R"(exeat_reloads_total{result="failure"} 1)"));
  CHECK(has_line(text, "exeat_last_reload_successful 0"));
  numbers.count_reload(true);
  CHECK(has_line(expose(numbers), "exeat_last_reload_successful 1"));
}

TEST_CASE("limits of job, phase and rule, as far as they are used") {
  registry all(1);
  CHECK(expose(all).find("exeat_budget") == std::string::npos);
  all.set_budgets([] {
    return std::vector<budget_sample>{
        {.kind = budget_kind::upload, .phase = {}, .rule = {}, .used = 5, .limit = 100},
        {.kind = budget_kind::download, .phase = "agent", .rule = {}, .used = 6, .limit = 200},
        {.kind = budget_kind::upload, .phase = "agent", .rule = "agent/a:443", .used = 7, .limit = 300},
        {.kind = budget_kind::names, .phase = "agent", .rule = "agent/*.a:443", .used = 2, .limit = 8},
        {.kind = budget_kind::requests, .phase = "agent", .rule = {}, .used = 3, .limit = 9},
        {.kind = budget_kind::time, .phase = "agent", .rule = {}, .used = 1500, .limit = 60'000}};
  });
  const std::string text = expose(all);
  CHECK(has_line(text, R"(exeat_budget_used_bytes{phase="",rule="",direction="up"} 5)"));
  CHECK(has_line(text, R"(exeat_budget_limit_bytes{phase="",rule="",direction="up"} 100)"));
  CHECK(has_line(text, R"(exeat_budget_used_bytes{phase="agent",rule="",direction="down"} 6)"));
  CHECK(has_line(text, R"(exeat_budget_limit_bytes{phase="agent",rule="agent/a:443",direction="up"} 300)"));
  CHECK(has_line(text, R"(exeat_budget_names{phase="agent",rule="agent/*.a:443"} 2)"));
  CHECK(has_line(text, R"(exeat_budget_requests{phase="agent",rule=""} 3)"));
  CHECK(has_line(text, R"(exeat_budget_requests_limit{phase="agent",rule=""} 9)"));
  CHECK(has_line(text, R"(exeat_budget_time_seconds{phase="agent"} 1.5)"));
  CHECK(has_line(text, R"(exeat_budget_time_limit_seconds{phase="agent"} 60)"));
  CHECK(has_line(text, R"(exeat_budget_names_limit{phase="agent",rule="agent/*.a:443"} 8)"));
}

TEST_CASE("the process's own numbers") {
  const auto stats = read_process_stats();
  REQUIRE(stats);
  CHECK(stats->resident_bytes > 100'000);
  CHECK(stats->virtual_bytes >= stats->resident_bytes);
  CHECK(stats->open_fds >= 3);
  const auto now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  CHECK(stats->start_time > now - 86'400);
  CHECK(stats->start_time < now + 2);
  const std::ifstream one_more("/dev/null");
  CHECK(read_process_stats()->open_fds == stats->open_fds + 1);
}

TEST_CASE("every family of the exposition stands in the table, and every label that it uses") {
  registry numbers(1);
  numbers.worker(0).decision(numbers.phases().intern("agent"), verdict::allow, core::reason::allowed);
  numbers.set_policy({.digest = "x", .rules = 1, .loaded_at = {}});
  numbers.set_budgets([] {
    return std::vector<budget_sample>{
        {.kind = budget_kind::upload, .phase = {}, .rule = {}, .used = 1, .limit = 2},
        {.kind = budget_kind::names, .phase = "agent", .rule = "agent/*.a:443", .used = 1, .limit = 2},
        {.kind = budget_kind::requests, .phase = {}, .rule = {}, .used = 1, .limit = 2},
        {.kind = budget_kind::time, .phase = "agent", .rule = {}, .used = 1, .limit = 2}};
  });
  numbers.set_review([] { return review_sample{}; });
  const auto families = collector(numbers).Collect();
  CHECK(families.size() == metrics_table().size());
  std::set<std::string> names;
  for (std::size_t i = 0; i < families.size(); ++i) {
    const metric_row& row = metrics_table()[i];
    CHECK(families[i].name == row.name);
    CHECK(names.insert(families[i].name).second);
    for (const auto& sample : families[i].metric) {
      std::string used;
      for (const auto& label : sample.label) used += (used.empty() ? "" : ", ") + label.name;
      CHECK(used == row.labels);
    }
    const bool total = row.name.ends_with("_total");
    CHECK(total == (row.type == metric_type::counter));
  }
}

TEST_CASE("a scrape while workers count is safe and never sees a number fall") {
  registry numbers(2);
  const phase_slot agent = numbers.phases().intern("agent");
  std::atomic<bool> done{false};
  const auto work = [&](unsigned i) {
    while (!done.load(std::memory_order_relaxed)) {
      numbers.worker(i).decision(agent, verdict::allow, core::reason::allowed);
      numbers.worker(i).tunnel_opened(agent);
      numbers.worker(i).dns_time(1ms);
      numbers.worker(i).tunnel_closed(agent);
    }
  };
  std::thread a(work, 0);
  std::thread b(work, 1);
  double before = 0;
  for (int i = 0; i < 30; ++i) {
    const auto families = collector(numbers).Collect();
    const double now = families[static_cast<std::size_t>(metric::decisions)].metric.at(0).counter.value;
    CHECK(now >= before);
    CHECK(families[static_cast<std::size_t>(metric::active_tunnels)].metric.at(0).gauge.value >= 0);
    before = now;
  }
  done = true;
  a.join();
  b.join();
}

TEST_CASE("docs/reference/metrics.md is what the table says") {
  std::ifstream in(EXEAT_SOURCE_DIR "/docs/reference/metrics.md");
  const std::string page{std::istreambuf_iterator<char>(in), {}};
  CHECK_MESSAGE(page == metrics_reference(), "stale: run `exeat docs metrics > docs/reference/metrics.md`");
}
