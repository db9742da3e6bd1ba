// What the buffers of all workers may hold together: a number that is reached, and never passed.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace exeat::proxy {

/// Thread-safe, lock-free.
class memory_budget {
 public:
  memory_budget(std::uint64_t total, unsigned workers) noexcept
      : slice_(std::clamp<std::uint64_t>(total / (16 * std::max(workers, 1U)), 1, 1U << 20)), left_(total) {}

  std::uint64_t slice() const noexcept { return slice_; }
  /// A slice, or `least` where that is more; only `least` where there is no more; 0 where not even that.
  std::uint64_t take(std::uint64_t least) noexcept {
    auto left = left_.load(std::memory_order_relaxed);
    for (;;) {
      if (left < least) return 0;
      const auto got = std::max(least, std::min(left, slice_));
      if (left_.compare_exchange_weak(left, left - got, std::memory_order_relaxed)) return got;
    }
  }
  void give_back(std::uint64_t octets) noexcept { left_.fetch_add(octets, std::memory_order_relaxed); }

 private:
  std::uint64_t slice_;
  std::atomic<std::uint64_t> left_;
};

/// One worker's part. Not thread-safe; must not outlive its budget.
class memory_lease {
 public:
  explicit memory_lease(memory_budget& budget) noexcept : budget_(budget) {}
  memory_lease(const memory_lease&) = delete;
  memory_lease& operator=(const memory_lease&) = delete;
  ~memory_lease() { budget_.give_back(spare_); }

  /// True: the next take() of no more than this succeeds.
  bool has(std::uint64_t octets) noexcept {
    if (spare_ < octets) spare_ += budget_.take(octets - spare_);
    return spare_ >= octets;
  }
  /// False: nothing was taken.
  bool take(std::uint64_t octets) noexcept {
    if (!has(octets)) return false;
    spare_ -= octets;
    return true;
  }
  void give_back(std::uint64_t octets) noexcept {
    spare_ += octets;
    // A slice stays in hand.
    if (spare_ < 2 * budget_.slice()) return;
    budget_.give_back(spare_ - budget_.slice());
    spare_ = budget_.slice();
  }

 private:
  memory_budget& budget_;
  std::uint64_t spare_ = 0;
};

/// What one owner has taken of its worker's part. Null lease: nobody counts.
class memory_charge {
 public:
  memory_charge() = default;
  explicit memory_charge(std::shared_ptr<memory_lease> lease) noexcept : lease_(std::move(lease)) {}
  memory_charge(memory_charge&& other) noexcept
      : lease_(std::move(other.lease_)), octets_(std::exchange(other.octets_, 0)) {}
  memory_charge& operator=(memory_charge&&) = delete;
  ~memory_charge() { clear(); }

  bool grow(std::uint64_t octets) noexcept {
    if (lease_ && !lease_->take(octets)) return false;
    octets_ += octets;
    return true;
  }
  void clear() noexcept {
    if (lease_) lease_->give_back(octets_);
    octets_ = 0;
  }

 private:
  std::shared_ptr<memory_lease> lease_;
  std::uint64_t octets_ = 0;
};

}  // namespace exeat::proxy
