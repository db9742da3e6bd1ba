// The counters as they were every few seconds, for charts of rates.
#pragma once
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "metrics/registry.hpp"

namespace exeat::admin {

/// One kind of decision and how often it was made.
struct decision_count {
  std::string phase;
  metrics::verdict verdict = metrics::verdict::deny;
  core::reason reason = core::reason::no_rule;
  std::uint64_t count = 0;
};

/// All workers together.
struct totals {
  std::array<std::uint64_t, metrics::verdict_count> decisions{};
  std::uint64_t tunnels = 0, connections = 0;  ///< open now
  std::uint64_t bytes_up = 0, bytes_down = 0;
};

/// `by_reason`, where given, gets every kind that is not 0.
totals totals_of(const metrics::registry& registry, std::vector<decision_count>* by_reason = nullptr);

/// The admin thread's.
class history {
 public:
  static constexpr std::chrono::seconds interval{5};
  static constexpr std::size_t most_samples = 360;  ///< half an hour

  struct sample {
    std::chrono::system_clock::time_point at;
    totals counted;
  };
  void take(const metrics::registry& registry);
  const std::deque<sample>& samples() const noexcept { return samples_; }

 private:
  std::deque<sample> samples_;
};

}  // namespace exeat::admin
