// What a job may use up over all workers: octets in one direction, and the names of a wildcard.
#pragma once
#include <atomic>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
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

/// Octets that went one way, and those that somebody is about to move. It knows no limit of its own: that is
/// the policy's, and a reload changes it, while what was used stays used. Thread-safe, lock-free.
class alignas(64) byte_budget {
 public:
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

/// The distinct names that a wildcard has been used for. Thread-safe.
class name_budget {
 public:
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
  std::shared_ptr<name_budget> names(std::string_view rule);

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<byte_budget>, std::less<>> octets_[way_count];
  std::map<std::string, std::shared_ptr<name_budget>, std::less<>> names_;
};

}  // namespace exeat::proxy
