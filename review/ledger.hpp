// Writes aggregates into the database, and keeps that within its bounds.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "metrics/registry.hpp"
#include "review/aggregate.hpp"
#include "review/sqlite.hpp"

namespace exeat::review {

/// What the database may hold.
struct ledger_bounds {
  std::chrono::milliseconds max_age{std::chrono::days{30}};  ///< since a group was last seen; 0: for ever
  std::uint64_t max_size = 64ULL << 20;                      ///< octets
  std::size_t groups_per_job = 50'000;                       ///< beyond: `(other)`
};

/// Everything here throws sqlite_failure; what is not in a transaction that ended well is not in the
/// database. One thread at a time.
class ledger {
 public:
  ledger(database&& on, const ledger_bounds& bounds);

  /// A thousand groups at a time, which leave `from` as soon as they are in the database; in between it keeps
  /// to max_size. `lost` grows by the decisions that lost their detail to one of the bounds.
  void write(aggregate& from, std::uint64_t& lost);
  /// A process has started: what was seen before is what `new` is measured by.
  void note_start(std::chrono::system_clock::time_point now);
  void write_budgets(const std::vector<metrics::budget_sample>& all,
                     std::chrono::system_clock::time_point now);
  /// Takes away what is older than max_age.
  void forget_old(std::chrono::system_clock::time_point now);
  /// Octets of the database without its free pages.
  std::uint64_t size();
  database& connection() noexcept { return database_; }

 private:
  void write_group(const group& from, std::uint64_t& lost);
  /// Where there is more than max_size: groups not seen for longest become part of `(other)`, with their
  /// counts.
  void shrink(std::uint64_t& lost);
  std::int64_t update(const group& from);
  std::int64_t insert(const group& from);
  bool has_room(const std::string& job);
  void write_sample(std::int64_t group_id, int place, const sample& from);

  database database_;
  ledger_bounds bounds_;
  statement update_, insert_, count_of_job_, sample_, hour_;
  std::map<std::string, std::size_t, std::less<>> of_job_;  ///< groups in the database, of jobs met so far
};

}  // namespace exeat::review
