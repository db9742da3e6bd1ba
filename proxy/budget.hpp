// What a job may use up over all workers: octets in one direction, requests, the names of a wildcard, and the
// time since a phase was used first.
#pragma once
#include <atomic>
#include <boost/unordered/unordered_flat_set.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "core/host_name.hpp"

namespace exeat::proxy {

/// Which way octets go.
enum class way : std::uint8_t {
  up,    ///< client to origin
  down,  ///< origin to client
};
inline constexpr std::size_t way_count = 2;

/// Whether somebody was told that most of a budget is used. Thread-safe.
class told_once {
 public:
  /// True for the first call with this limit.
  bool tell(std::uint64_t limit) noexcept {
    return limit_.exchange(limit, std::memory_order_relaxed) != limit;
  }

 private:
  std::atomic<std::uint64_t> limit_{0};
};

/// Octets that went one way, and those that somebody is about to move; or requests. It knows no limit of its
/// own: that is the policy's, and a reload changes it, while what was used stays used. Thread-safe,
/// lock-free.
class alignas(64) byte_budget {
 public:
  told_once told;

  /// Claims up to `wanted`, as far as used and claimed octets together stay within `limit`; returns how many.
  /// Zero is not yet the end: others may give back what they do not use.
  std::uint64_t claim(std::uint64_t wanted, std::uint64_t limit) noexcept {
    auto taken = taken_.load(std::memory_order_relaxed);
    for (;;) {
      const auto left = taken < limit ? limit - taken : 0;
      const auto got = wanted < left ? wanted : left;
      if (got == 0) return 0;
      if (taken_.compare_exchange_weak(taken, taken + got, std::memory_order_relaxed)) return got;
    }
  }
  /// Of `claimed` octets `used` were moved; the others are free again.
  void settle(std::uint64_t claimed, std::uint64_t used) noexcept {
    if (used != 0) used_.fetch_add(used, std::memory_order_relaxed);
    if (claimed != used) taken_.fetch_sub(claimed - used, std::memory_order_relaxed);
  }
  /// Never shrinks, and never exceeds a limit that every claim was made under.
  std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> taken_{0};  ///< used, or claimed
  std::atomic<std::uint64_t> used_{0};
};

/// Since when a phase is used. Thread-safe, lock-free.
class phase_clock {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  told_once told;

  /// The first call counts.
  void start(time_point now) noexcept {
    if (started_.load(std::memory_order_relaxed) != never) return;
    auto none = never;
    started_.compare_exchange_strong(none, now.time_since_epoch().count(), std::memory_order_relaxed);
  }
  /// Zero before start().
  std::chrono::steady_clock::duration elapsed(time_point now) const noexcept {
    const auto started = started_.load(std::memory_order_relaxed);
    return started == never ? std::chrono::steady_clock::duration::zero()
                            : now.time_since_epoch() - std::chrono::steady_clock::duration(started);
  }

 private:
  using ticks = std::chrono::steady_clock::rep;
  static constexpr ticks never = std::numeric_limits<ticks>::min();
  std::atomic<ticks> started_{never};
};

/// The distinct names that a wildcard has been used for. Thread-safe.
class name_budget {
 public:
  told_once told;

  /// True where `name` was charged before, or is the next of at most `most`. Refused names are not kept.
  bool charge(const core::host_name& name, std::uint32_t most);
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  boost::unordered_flat_set<std::string> names_;
};

/// All that one job has used up, by what limits it; until there are jobs, the process is one. An entry is
/// never taken out, so that a rule which comes back with a later reload finds what it had used. Thread-safe;
/// asked at load, never on the data path.
class budget_book {
 public:
  /// `scope` is a rule's id, or what names a phase or the job.
  std::shared_ptr<byte_budget> octets(std::string_view scope, way way);
  std::shared_ptr<byte_budget> requests(std::string_view scope);
  std::shared_ptr<name_budget> names(std::string_view rule);
  std::shared_ptr<phase_clock> clock(std::string_view phase);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<byte_budget>, std::less<>> octets_[way_count];
  std::map<std::string, std::shared_ptr<byte_budget>, std::less<>> requests_;
  std::map<std::string, std::shared_ptr<phase_clock>, std::less<>> clocks_;
  std::map<std::string, std::shared_ptr<name_budget>, std::less<>> names_;
};

}  // namespace exeat::proxy
