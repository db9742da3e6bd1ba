// What the review store has to say: plain functions on a database that is open for reading, beside the
// process that writes it. Each is one snapshot. Hosts, processes and all of a sample are the client's choice:
// any octets, to be escaped for whatever medium shows them.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "review/aggregate.hpp"
#include "review/schema.hpp"

namespace exeat::review {

using time_point = std::chrono::system_clock::time_point;

/// What a function below answers, or a sentence.
template <typename Value>
using answer = std::expected<Value, std::string>;

/// enforced: some of a group was refused; audit: some of it was let through by a phase in audit mode.
enum class refusals : std::uint8_t { any, enforced, audit };

/// Which groups; what is absent or empty asks nothing.
struct filter {
  std::optional<std::string> phase, job, reason;  ///< exactly; job "" is the one of exeat.yaml
  std::optional<std::uint16_t> port;
  std::string host;  ///< stands anywhere in the host, as it is (hosts are lower-case A-labels)
  std::optional<time_point>
      since;  ///< last seen then or later; counts are those since first_seen all the same
  refusals mode = refusals::any;
};

enum class order : std::uint8_t { count, last_seen, first_seen, host };

struct page {
  order by = order::count;  ///< the greatest or latest first; hosts from a to z
  std::size_t limit = 100;  ///< at most 10,000
  std::size_t offset = 0;
};

/// Refusals of one destination, port, scheme, phase and reason, over all jobs that the filter takes.
struct blocked_group {
  std::int64_t id = 0;  ///< of group_by_id(), for as long as the group is there
  std::string host;     ///< empty where the head was not understood; other_host beyond a bound
  std::uint16_t port = 0;
  std::string scheme;  ///< "https", "http", "ws", or empty
  std::string phase;
  std::string reason;
  std::string rule, rule_at;     ///< of the latest: the governing rule, or the near miss; may be empty
  std::string hint;              ///< what to add to the policy; may be empty
  std::uint64_t count = 0;       ///< would_deny among them
  std::uint64_t would_deny = 0;  ///< let through by a phase in audit mode
  std::uint64_t jobs = 0;        ///< how many different ones
  time_point first_seen, last_seen;
};
struct blocked_page {
  std::vector<blocked_group> groups;
  std::uint64_t groups_total = 0;  ///< on all pages
  std::uint64_t count_total = 0;   ///< refusals in them
};
answer<blocked_page> blocked(database& from, const filter& wanted, const page& page = {});

/// One of them, with what a single view shows.
struct blocked_detail {
  blocked_group group;
  std::vector<std::pair<std::string, std::uint64_t>>
      jobs;                               ///< and their counts, the greatest first; at most 100
  std::vector<sample> samples;            ///< the latest first; at most 20
  std::array<std::uint64_t, 48> hours{};  ///< refusals in each of the last 48 hours, the oldest first
};
/// Nothing where there is no such group (any longer).
answer<std::optional<blocked_detail>> group_by_id(database& from, std::int64_t id, time_point now);
/// The group of the decision that a client was shown, as far as it is among the samples.
answer<std::optional<std::int64_t>> group_of_decision(database& from, const std::string& decision);
/// For groups of one page: refusals in each of the last 48 hours, the oldest first; in the order of `groups`.
answer<std::vector<std::array<std::uint64_t, 48>>> sparklines(database& from,
                                                              const std::vector<blocked_group>& groups,
                                                              const filter& wanted, time_point now);

/// A destination that was let through, and never before `wanted.since` (by default the start of the latest
/// `exeat serve`) in this phase; with `wanted.job`, only what that job was the first to reach.
struct new_destination {
  std::string host;
  std::uint16_t port = 0;
  std::string phase, rule, rule_at;
  std::uint64_t count = 0, jobs = 0, bytes_up = 0, bytes_down = 0;
  time_point first_seen, last_seen;
};
answer<std::vector<new_destination>> allowed_first_seen(database& from, const filter& wanted,
                                                        const page& page = {});

/// What each rule let through, and each `deny` refused.
struct rule_hits {
  std::string phase, rule;
  std::uint64_t count = 0, hosts = 0, bytes_up = 0, bytes_down = 0;
  time_point last_hit;
};
answer<std::vector<rule_hits>> hits_by_rule(database& from);
/// The names that a rule let through; at most `limit`, `(other)` among them.
answer<std::vector<std::string>> hosts_of_rule(database& from, const std::string& phase,
                                               const std::string& rule, std::size_t limit = 100);

/// A limit of the policy, as far as it was used when the writer last looked.
struct budget_use {
  std::string phase, rule;  ///< of the job where both are empty, of the phase where `rule` is
  std::string kind;         ///< "upload", "download" (octets), "names", "requests", "time" (milliseconds)
  std::uint64_t used = 0, limit = 0;
  time_point at;
};
answer<std::vector<budget_use>> budgets(database& from);

/// For filters and headings.
struct overview {
  std::vector<std::pair<std::string, std::uint64_t>> phases, reasons, jobs;  ///< of refusals, with counts
  std::uint64_t decisions = 0, refused = 0, groups = 0;
  std::uint64_t other = 0;  ///< decisions under `(other)`
  time_point started;       ///< of the latest `exeat serve`
  std::optional<time_point> oldest;
};
answer<overview> overview_of(database& from);

}  // namespace exeat::review
