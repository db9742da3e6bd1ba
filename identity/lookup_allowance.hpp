// How much of the machine the look-ups of processes may take, whatever a job does to cause them.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

namespace exeat::identity {

/// Processor time that is allowed: `burst` at once, and one part in `parts` of a core in the long run. Who
/// spends asks has() first and takes what it expects to spend, then settles what it was: so each spending may
/// end below zero, and the next waits until that has been made up for. Any thread; no lock.
class lookup_allowance {
 public:
  using clock = std::chrono::steady_clock;

  explicit lookup_allowance(std::chrono::nanoseconds burst = std::chrono::milliseconds(20),
                            std::int64_t parts = 100) noexcept
      : span_(burst.count() * parts), parts_(parts) {}

  bool has(clock::time_point now) const noexcept {
    return made_up_.load(std::memory_order_relaxed) <= count(now);
  }
  void take(clock::time_point now, std::chrono::nanoseconds expected) noexcept {
    auto before = made_up_.load(std::memory_order_relaxed);
    std::int64_t after = 0;
    do {
      after = (before < count(now) - span_ ? count(now) - span_ : before) + expected.count() * parts_;
    } while (!made_up_.compare_exchange_weak(before, after, std::memory_order_relaxed));
  }
  /// More than expected, or, below zero, less.
  void settle(std::chrono::nanoseconds more) noexcept {
    made_up_.fetch_add(more.count() * parts_, std::memory_order_relaxed);
  }

 private:
  static std::int64_t count(clock::time_point at) noexcept {
    return std::chrono::nanoseconds(at.time_since_epoch()).count();
  }

  std::int64_t span_;
  std::int64_t parts_;
  /// When all that was spent will have been made up for, in nanoseconds of the clock.
  std::atomic<std::int64_t> made_up_{std::numeric_limits<std::int64_t>::min() / 2};
};

}  // namespace exeat::identity
