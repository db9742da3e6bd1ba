#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <ctime>
#include <map>
#include <string>

namespace exeat::bench {

/// Nanoseconds of the monotonic clock.
inline std::uint64_t now() {
  timespec read{};
  clock_gettime(CLOCK_MONOTONIC, &read);
  return static_cast<std::uint64_t>(read.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(read.tv_nsec);
}

/// Durations in nanoseconds, in buckets that are 1/64 of a power of two wide: what it answers is at most 1.6
/// % off.
class histogram {
 public:
  void add(std::uint64_t nanoseconds) {
    ++buckets_[bucket_of(nanoseconds)];
    ++count_;
    sum_ += nanoseconds;
    longest_ = std::max(longest_, nanoseconds);
  }

  /// The duration that `fraction` (0 to 1) of all do not exceed; 0 where there are none.
  [[nodiscard]] std::uint64_t at(double fraction) const {
    const auto wanted = static_cast<std::uint64_t>(fraction * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (buckets_[i] != 0 && seen >= wanted) {
        return std::min(end_of(i), longest_);
      }
    }
    return longest_;
  }

  [[nodiscard]] std::uint64_t mean() const { return count_ == 0 ? 0 : sum_ / count_; }
  [[nodiscard]] std::uint64_t longest() const { return longest_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  static constexpr unsigned fine = 6;  // bits of the mantissa that are kept

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < (1U << fine)) {
      return value;
    }
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - fine - 1;
    return ((shift + 1) << fine) + ((value >> shift) & ((1U << fine) - 1));
  }
  static std::uint64_t end_of(std::size_t bucket) {
    if (bucket < (1U << fine)) {
      return bucket;
    }
    const auto shift = (bucket >> fine) - 1;
    const std::uint64_t mantissa = (1U << fine) + (bucket & ((1U << fine) - 1));
    return ((mantissa + 1) << shift) - 1;
  }

  std::array<std::uint64_t, std::size_t{65 - fine} << fine> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t longest_ = 0;
};

/// What clients have done. `in_all` counts from the first moment to the last, so that it can be divided by
/// CPU time of the whole run; latencies and `counted` hold for the time between warm-up and end only.
struct tally {
  bool counting = false;
  std::uint64_t wanted = 0;  // operations after which nothing new is begun; 0: no end
  bool stopping = false;     // nothing new is begun
  std::uint64_t in_all = 0;
  std::uint64_t counted = 0;
  std::uint64_t redials = 0;  // connections that were meant to stay and did not
  histogram latency;
  std::map<std::string, std::uint64_t> errors;

  void done(std::uint64_t since) {
    if (++in_all == wanted) {
      stopping = true;
    }
    if (counting) {
      ++counted;
      latency.add(now() - since);
    }
  }
  void failed(const std::string& why) { ++errors[why]; }
};

}  // namespace exeat::bench
