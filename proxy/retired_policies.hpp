// Policies that nobody uses any more: to free 100,000 rules takes longer than a client should wait for.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>

#include "proxy/loaded_policy.hpp"

namespace exeat::proxy {

/// The last to use a policy is a worker, in the main: it leaves it here, and somebody who has time frees it.
/// Any thread, no lock.
class retired_policies {
 public:
  retired_policies() = default;
  retired_policies(const retired_policies&) = delete;
  retired_policies& operator=(const retired_policies&) = delete;
  ~retired_policies() { free_all(); }

  void put(const loaded_policy* policy) noexcept {
    auto* before = last_.load(std::memory_order_relaxed);
    do {
      policy->retired_before_ = before;
    } while (
        !last_.compare_exchange_weak(before, policy, std::memory_order_release, std::memory_order_relaxed));
  }
  bool any() const noexcept { return last_.load(std::memory_order_relaxed) != nullptr; }
  /// How many there were.
  std::size_t free_all() noexcept {
    std::size_t count = 0;
    auto* one = last_.exchange(nullptr, std::memory_order_acquire);
    for (; one != nullptr; ++count) {
      const std::unique_ptr<const loaded_policy> freed(one);
      one = one->retired_before_;
    }
    return count;
  }

 private:
  std::atomic<const loaded_policy*> last_{nullptr};
};

}  // namespace exeat::proxy
