#include "metrics/table.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <iterator>

#include "metrics/counters.hpp"

namespace exeat::metrics {
namespace {

constexpr std::array table = {
#define EXEAT_METRIC_ROW(id, name, type, labels, help) metric_row{name, metric_type::type, labels, help},
    EXEAT_METRICS(EXEAT_METRIC_ROW)
#undef EXEAT_METRIC_ROW
};

std::string_view name_of(metric_type type) noexcept {
  switch (type) {
    case metric_type::counter:
      return "counter";
    case metric_type::gauge:
      return "gauge";
    case metric_type::histogram:
      return "histogram";
  }
  return "";
}

constexpr std::string_view preface = R"(# Metrics

<!-- Generated from metrics/table.hpp by `exeat docs metrics`; a test fails when this page is stale. -->

`GET /metrics` on the admin listener answers in the Prometheus text format. Names of our own start with
`exeat_`; units are seconds and bytes. Every metric is a sum over all workers at the moment of the scrape.

Labels never carry a host, an address or a client, so the number of series is bounded: `phase` takes the names
of the policy's phases, at most 64 in the life of the process, then `(other)`, and `(none)` where no phase was
found; `rule` is a rule's id, as the policy and the log spell it; `verdict` is `allow`, `deny`, `would_deny` (let through by a phase in audit mode) or `error`; `reason` is
one of the [reason codes](reason-codes.md). A series appears with its first event, except that each phase shows
`allow`/`allowed` and `deny`/`no-rule` from the start, so that `rate()` sees the first of them.

Log lines may be dropped under load (`exeat_log_lines_dropped_total`); counts never are.

| Name | Type | Labels | What it says |
|---|---|---|---|
)";

}  // namespace

std::span<const metric_row> metrics_table() noexcept {
  return table;
}

const metric_row& row_of(metric id) noexcept {
  return table[static_cast<std::size_t>(id)];
}

std::string metrics_reference() {
  std::string page{preface};
  for (const metric_row& row : table) {
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} |\n", row.name, name_of(row.type),
                   row.labels, row.help);
  }
  page += "\nBuckets of the histograms, in seconds:";
  for (const std::chrono::nanoseconds bound : duration_histogram::bounds) {
    fmt::format_to(std::back_inserter(page), " {}", std::chrono::duration<double>(bound).count());
  }
  page += ".\n";
  return page;
}

}  // namespace exeat::metrics
