// The one table of metrics: names, types, labels and help texts; exposition and documents read it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace exeat::metrics {

enum class metric_type : std::uint8_t { counter, gauge, histogram };

// enumerator, name, type, labels ("" = none), help
// clang-format off
#define EXEAT_METRICS(X) \
  X(decisions,            "exeat_decisions_total",                   counter,   "phase, verdict, reason", "Decisions on requests. A tunnel that is cut after its 200 (SNI mismatch, not TLS) counts a second time, with the reason of the cut.") \
  X(canaries,             "exeat_canary_requests_total",             counter,   "phase",             "Requests for a canary of the phase. Anything but 0 is somebody who should not be there.") \
  X(tunnels,              "exeat_tunnels_total",                     counter,   "phase",             "Tunnels opened: CONNECT and WebSocket.") \
  X(active_tunnels,       "exeat_active_tunnels",                    gauge,     "phase",             "Tunnels open now.") \
  X(bytes,                "exeat_bytes_total",                       counter,   "phase, direction",  "Payload relayed between client and origin; direction is up (client to origin) or down.") \
  X(http_requests,        "exeat_http_requests_total",               counter,   "phase",             "Plain HTTP requests forwarded to an origin.") \
  X(http_upstream,        "exeat_http_upstream_connections_total",   counter,   "source",            "Where the upstream connection of a plain HTTP request came from: dialed or pool.") \
  X(connections,          "exeat_connections_total",                 counter,   "",                  "Client connections accepted.") \
  X(active_connections,   "exeat_active_connections",                gauge,     "",                  "Client connections open now.") \
  X(connect_seconds,      "exeat_connect_duration_seconds",          histogram, "",                  "Time from the first dial to a connected origin, all attempts together.") \
  X(dns_seconds,          "exeat_dns_duration_seconds",              histogram, "",                  "Time of look-ups that asked the name servers.") \
  X(dns_lookups,          "exeat_dns_lookups_total",                 counter,   "result",            "Look-ups by how the cache answered: hit, miss, negative (a remembered failure) or shared (joined a query under way).") \
  X(budget_used,          "exeat_budget_used_bytes",                 gauge,     "phase, rule, direction", "Octets that count against an `upload_limit` (direction up) or `download_limit` (down) of the policy; with an empty `rule` those of the phase, with an empty `phase` those of the job. A rule appears with its first use, at most 500 of them.") \
  X(budget_limit,         "exeat_budget_limit_bytes",                gauge,     "phase, rule, direction", "The limit itself.") \
  X(budget_names,         "exeat_budget_names",                      gauge,     "phase, rule",       "Distinct names that a wildcard with `max_names` has been used for.") \
  X(budget_names_limit,   "exeat_budget_names_limit",                gauge,     "phase, rule",       "Its `max_names`.") \
  X(budget_requests,      "exeat_budget_requests",                   gauge,     "phase, rule",       "Requests that count against a `request_limit`; labels as of exeat_budget_used_bytes.") \
  X(budget_requests_limit, "exeat_budget_requests_limit",            gauge,     "phase, rule",       "The limit itself.") \
  X(budget_time,          "exeat_budget_time_seconds",               gauge,     "phase",             "Time since the phase let its first request through, where it has a `time_limit`; 0 before.") \
  X(budget_time_limit,    "exeat_budget_time_limit_seconds",         gauge,     "phase",             "Its `time_limit`.") \
  X(process_lookups,      "exeat_process_lookups_total",             counter,   "result",            "Refused local requests by whether the process behind them was found (`log.process`): found, unavailable, or skipped (look-ups have had their hundredth of a core).") \
  X(limit_hits,           "exeat_limit_hits_total",                  counter,   "reason",            "Limits and deadlines that struck.") \
  X(policy_loaded,        "exeat_policy_loaded_timestamp_seconds",   gauge,     "",                  "When the policy in force was loaded.") \
  X(policy_info,          "exeat_policy_info",                       gauge,     "digest",            "Always 1; the label is the digest of the policy in force.") \
  X(policy_rules,         "exeat_policy_rules",                      gauge,     "",                  "Rules in the policy in force.") \
  X(reloads,              "exeat_reloads_total",                     counter,   "result",            "Reloads since the start, by result: success or failure.") \
  X(last_reload_ok,       "exeat_last_reload_successful",            gauge,     "",                  "0 after a reload that failed: the policy before it is still in force. Else 1.") \
  X(control_denied,       "exeat_control_denied_total",              counter,   "",                  "Attempts at what the caller may not do on the control socket or the admin listener: no operator, a wrong token, the advance secret of another job.") \
  X(phase_advances,       "exeat_phase_advances_total",              counter,   "",                  "Times that a job went on to a later phase and sealed those before it.") \
  X(log_lines,            "exeat_log_lines_total",                   counter,   "sink",              "Log lines written.") \
  X(log_dropped,          "exeat_log_lines_dropped_total",           counter,   "sink",              "Log lines lost; the sink ring stands for lines lost before the log thread saw them.") \
  X(log_errors,           "exeat_log_errors_total",                  counter,   "sink",              "Writes, rotations and reopens of a log that failed.") \
  X(review_decisions,     "exeat_review_decisions_total",            counter,   "",                  "Decisions that the review store has taken; the metrics of the store are there where it is.") \
  X(review_detail_lost,   "exeat_review_detail_lost_total",          counter,   "",                  "Of these, those that it counts without their destination: more destinations than it holds, or a ring that was full.") \
  X(review_errors,        "exeat_review_errors_total",               counter,   "",                  "Writes of the review store that failed; what they were to write waits in memory.") \
  X(review_waiting,       "exeat_review_waiting_groups",             gauge,     "",                  "Groups of decisions that are in memory alone.") \
  X(review_bytes,         "exeat_review_database_bytes",             gauge,     "",                  "Size of the database of the review store, without its free pages.") \
  X(workers,              "exeat_workers",                           gauge,     "",                  "Worker threads.") \
  X(build_info,           "exeat_build_info",                        gauge,     "version, compiler", "Always 1; the labels are the version and the compiler of this binary.") \
  X(process_cpu,          "process_cpu_seconds_total",               counter,   "",                  "User and system CPU time of the process.") \
  X(process_resident,     "process_resident_memory_bytes",           gauge,     "",                  "Resident memory of the process.") \
  X(process_virtual,      "process_virtual_memory_bytes",            gauge,     "",                  "Virtual memory of the process.") \
  X(process_open_fds,     "process_open_fds",                        gauge,     "",                  "File descriptors open now.") \
  X(process_max_fds,      "process_max_fds",                         gauge,     "",                  "File descriptors that the process may have open (the soft limit).") \
  X(process_start,        "process_start_time_seconds",              gauge,     "",                  "When the process started.")
// clang-format on

enum class metric : std::uint8_t {
#define EXEAT_METRIC_ENUMERATOR(id, ...) id,
  EXEAT_METRICS(EXEAT_METRIC_ENUMERATOR)
#undef EXEAT_METRIC_ENUMERATOR
};

/// One row of the table.
struct metric_row {
  std::string_view name;
  metric_type type;
  std::string_view labels;
  std::string_view help;
};

/// All metrics, in the order of the enum, which is the order of /metrics.
std::span<const metric_row> metrics_table() noexcept;
const metric_row& row_of(metric id) noexcept;

/// docs/reference/metrics.md, whole.
std::string metrics_reference();

}  // namespace exeat::metrics
