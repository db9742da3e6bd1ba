#include "metrics/exposition.hpp"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <sstream>
#include <string_view>
#include <utility>

#include "metrics/process_stats.hpp"
#include "metrics/table.hpp"

namespace exeat::metrics {
namespace {

using label = prometheus::ClientMetric::Label;
using labels = std::vector<label>;

constexpr std::array<std::string_view, verdict_count> verdict_labels{"allow", "deny", "would_deny", "error"};
constexpr std::array<std::string_view, dns_lookup_count> lookup_labels{"hit", "miss", "negative", "shared"};
constexpr std::array<std::string_view, process_lookup_count> process_labels{"found", "unavailable",
                                                                            "skipped"};
constexpr std::array<std::string_view, upstream_source_count> source_labels{"dialed", "pool"};

/// All families in the order of the table; each is filled where its numbers are summed.
class families {
 public:
  families() {
    for (const metric_row& row : metrics_table()) {
      prometheus::MetricFamily family;
      family.name = row.name;
      family.help = row.help;
      family.type = row.type == metric_type::counter ? prometheus::MetricType::Counter
                    : row.type == metric_type::gauge ? prometheus::MetricType::Gauge
                                                     : prometheus::MetricType::Histogram;
      all_.push_back(std::move(family));
    }
  }

  void add(metric id, double value, labels with = {}) {
    prometheus::MetricFamily& family = of(id);
    prometheus::ClientMetric sample;
    sample.label = std::move(with);
    (family.type == prometheus::MetricType::Counter ? sample.counter.value : sample.gauge.value) = value;
    family.metric.push_back(std::move(sample));
  }
  void add(metric id, std::uint64_t value, labels with = {}) {
    add(id, static_cast<double>(value), std::move(with));
  }
  void add(metric id, prometheus::ClientMetric::Histogram histogram) {
    prometheus::ClientMetric sample;
    sample.histogram = std::move(histogram);
    of(id).metric.push_back(std::move(sample));
  }

  /// A family without a sample would be a bare HELP line: left out.
  std::vector<prometheus::MetricFamily> take() && {
    std::erase_if(all_, [](const prometheus::MetricFamily& family) { return family.metric.empty(); });
    return std::move(all_);
  }

 private:
  prometheus::MetricFamily& of(metric id) { return all_[static_cast<std::size_t>(id)]; }

  std::vector<prometheus::MetricFamily> all_;
};

label text(std::string_view name, std::string_view value) {
  return {std::string(name), std::string(value)};
}

template <typename Read>
std::uint64_t sum(const registry& source, Read read) {
  std::uint64_t total = 0;
  for (unsigned i = 0; i < source.workers(); ++i) total += read(source.worker(i));
  return total;
}

/// Opened less closed, where both are read while workers count.
std::uint64_t still_open(std::uint64_t opened, std::uint64_t closed) {
  return opened > closed ? opened - closed : 0;
}

void add_decisions(families& out, const registry& source, phase_slot slot, const std::string& phase) {
  for (std::size_t v = 0; v < verdict_count; ++v) {
    for (const core::reason_row& row : core::reasons()) {
      const auto r = static_cast<std::size_t>(row.value);
      const std::uint64_t count = sum(
          source, [&](const worker_counters& worker) { return worker.phase(slot).decisions[v][r].value(); });
      const bool usual =
          slot < other_phase &&
          ((v == static_cast<std::size_t>(verdict::allow) && row.value == core::reason::allowed) ||
           (v == static_cast<std::size_t>(verdict::deny) && row.value == core::reason::no_rule));
      if (count == 0 && !usual) continue;
      out.add(metric::decisions, count,
              {text("phase", phase), text("verdict", verdict_labels[v]), text("reason", row.code)});
    }
  }
}

/// A canary is refused whatever the phase's mode: it counts under one verdict.
std::uint64_t canaries_of(const registry& source, phase_slot slot) {
  constexpr auto deny = static_cast<std::size_t>(verdict::deny);
  constexpr auto canary = static_cast<std::size_t>(core::reason::canary);
  return sum(source, [&](const worker_counters& worker) {
    return worker.phase(slot).decisions[deny][canary].value();
  });
}

void add_phase(families& out, const registry& source, phase_slot slot) {
  const std::string phase = source.phases().label(slot);
  add_decisions(out, source, slot, phase);
  if (const auto canaries = canaries_of(source, slot); canaries != 0 || slot < other_phase)
    out.add(metric::canaries, canaries, {text("phase", phase)});
  const auto total = [&](cell worker_counters::phase_cells::* member) {
    return sum(source, [&](const worker_counters& worker) { return (worker.phase(slot).*member).value(); });
  };
  const std::uint64_t closed = total(&worker_counters::phase_cells::tunnels_closed);
  const std::uint64_t opened = total(&worker_counters::phase_cells::tunnels_opened);
  const std::uint64_t up = total(&worker_counters::phase_cells::bytes_up);
  const std::uint64_t down = total(&worker_counters::phase_cells::bytes_down);
  const std::uint64_t requests = total(&worker_counters::phase_cells::http_requests);
  if (slot >= other_phase && opened + up + down + requests == 0) return;
  out.add(metric::tunnels, opened, {text("phase", phase)});
  out.add(metric::active_tunnels, still_open(opened, closed), {text("phase", phase)});
  out.add(metric::bytes, up, {text("phase", phase), text("direction", "up")});
  out.add(metric::bytes, down, {text("phase", phase), text("direction", "down")});
  out.add(metric::http_requests, requests, {text("phase", phase)});
}

template <typename Which>
prometheus::ClientMetric::Histogram histogram(const registry& source, Which which) {
  prometheus::ClientMetric::Histogram out;
  std::uint64_t cumulative = 0;
  constexpr auto& bounds = duration_histogram::bounds;
  for (std::size_t i = 0; i <= bounds.size(); ++i) {
    cumulative +=
        sum(source, [&](const worker_counters& worker) { return which(worker).buckets()[i].value(); });
    out.bucket.push_back({cumulative, i < bounds.size() ? std::chrono::duration<double>(bounds[i]).count()
                                                        : std::numeric_limits<double>::infinity()});
  }
  out.sample_count = cumulative;
  out.sample_sum = 1e-9 * static_cast<double>(sum(source, [&](const worker_counters& worker) {
                     return which(worker).nanoseconds();
                   }));
  return out;
}

void add_workers(families& out, const registry& source) {
  const std::uint64_t closed = sum(source, [](const auto& w) { return w.connections_closed(); });
  const std::uint64_t accepted = sum(source, [](const auto& w) { return w.connections_accepted(); });
  out.add(metric::connections, accepted);
  out.add(metric::active_connections, still_open(accepted, closed));
  out.add(metric::connect_seconds,
          histogram(source, [](const auto& w) -> auto& { return w.connect_times(); }));
  out.add(metric::dns_seconds, histogram(source, [](const auto& w) -> auto& { return w.dns_times(); }));
  for (std::size_t i = 0; i < dns_lookup_count; ++i) {
    out.add(
        metric::dns_lookups,
        sum(source, [&](const auto& w) { return w.dns_lookups(dns_lookup{static_cast<std::uint8_t>(i)}); }),
        {text("result", lookup_labels[i])});
  }
  for (std::size_t i = 0; i < process_lookup_count; ++i) {
    out.add(
        metric::process_lookups,
        sum(source,
            [&](const auto& w) { return w.process_lookups(process_lookup{static_cast<std::uint8_t>(i)}); }),
        {text("result", process_labels[i])});
  }
  for (std::size_t i = 0; i < upstream_source_count; ++i) {
    out.add(metric::http_upstream,
            sum(source,
                [&](const auto& w) {
                  return w.upstream_connections(upstream_source{static_cast<std::uint8_t>(i)});
                }),
            {text("source", source_labels[i])});
  }
  for (const core::reason_row& row : core::reasons()) {
    const std::uint64_t hits = sum(source, [&](const auto& w) { return w.limit_hits(row.value); });
    if (hits > 0 || row.kind == core::reason_kind::limit) {
      out.add(metric::limit_hits, hits, {text("reason", row.code)});
    }
  }
  out.add(metric::workers, std::uint64_t{source.workers()});
}

void add_policy(families& out, const registry& source) {
  if (const auto policy = source.policy()) {
    const std::chrono::duration<double> since_epoch = policy->loaded_at.time_since_epoch();
    out.add(metric::policy_loaded, since_epoch.count());
    out.add(metric::policy_info, std::uint64_t{1}, {text("digest", policy->digest)});
    out.add(metric::policy_rules, std::uint64_t{policy->rules});
  }
  out.add(metric::reloads, source.reloads(true), {text("result", "success")});
  out.add(metric::reloads, source.reloads(false), {text("result", "failure")});
  out.add(metric::last_reload_ok, std::uint64_t{source.last_reload_ok() ? 1U : 0U});
}

void add_control(families& out, const registry& source) {
  out.add(metric::control_denied, source.control_denied());
  out.add(metric::phase_advances, source.phase_advances());
}

void add_budgets(families& out, const registry& source) {
  for (const budget_sample& sample : source.budgets()) {
    labels with{text("phase", sample.phase), text("rule", sample.rule)};
    if (sample.kind == budget_kind::requests) {
      out.add(metric::budget_requests, sample.used, with);
      out.add(metric::budget_requests_limit, sample.limit, with);
    } else if (sample.kind == budget_kind::time) {
      const labels phase{text("phase", sample.phase)};
      out.add(metric::budget_time, 1e-3 * static_cast<double>(sample.used), phase);
      out.add(metric::budget_time_limit, 1e-3 * static_cast<double>(sample.limit), phase);
    } else if (sample.kind == budget_kind::names) {
      out.add(metric::budget_names, sample.used, with);
      out.add(metric::budget_names_limit, sample.limit, with);
    } else {
      with.push_back(text("direction", sample.kind == budget_kind::upload ? "up" : "down"));
      out.add(metric::budget_used, sample.used, with);
      out.add(metric::budget_limit, sample.limit, with);
    }
  }
}

void add_log(families& out, const registry& source) {
  for (std::size_t i = 0; i < log_sink_count; ++i) {
    const auto sink = log_sink{static_cast<std::uint8_t>(i)};
    const label name = text("sink", name_of(sink));
    out.add(metric::log_dropped, source.log().dropped[i].value(), {name});
    if (sink == log_sink::ring) continue;
    out.add(metric::log_lines, source.log().written[i].value(), {name});
    out.add(metric::log_errors, source.log().errors[i].value(), {name});
  }
}

void add_review(families& out, const registry& source) {
  const auto review = source.review();
  if (!review) return;
  out.add(metric::review_decisions, review->decisions);
  out.add(metric::review_detail_lost, review->detail_lost);
  out.add(metric::review_errors, review->failures);
  out.add(metric::review_waiting, review->waiting);
  out.add(metric::review_bytes, review->octets);
}

void add_process(families& out) {
  out.add(metric::build_info, std::uint64_t{1},
          {text("version", EXEAT_VERSION), text("compiler", __VERSION__)});
  const auto stats = read_process_stats();
  if (!stats) return;
  out.add(metric::process_cpu, stats->cpu_seconds);
  out.add(metric::process_resident, stats->resident_bytes);
  out.add(metric::process_virtual, stats->virtual_bytes);
  out.add(metric::process_open_fds, stats->open_fds);
  out.add(metric::process_max_fds,
          stats->max_fds ? static_cast<double>(*stats->max_fds) : std::numeric_limits<double>::infinity());
  out.add(metric::process_start, stats->start_time);
}

}  // namespace

std::vector<prometheus::MetricFamily> collector::Collect() const {
  families out;
  const std::size_t named = source_->phases().size();
  for (std::size_t i = 0; i < named; ++i) add_phase(out, *source_, phase_slot{static_cast<std::uint8_t>(i)});
  add_phase(out, *source_, other_phase);
  add_phase(out, *source_, no_phase);
  add_workers(out, *source_);
  add_policy(out, *source_);
  add_control(out, *source_);
  add_budgets(out, *source_);
  add_log(out, *source_);
  add_review(out, *source_);
  add_process(out);
  return std::move(out).take();
}

std::string expose(const registry& source) {
  std::ostringstream out;
  prometheus::TextSerializer{}.Serialize(out, collector(source).Collect());
  return std::move(out).str();
}

}  // namespace exeat::metrics
