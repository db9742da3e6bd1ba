// How many requests in a second one client may send, over all workers.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "proxy/limits.hpp"

namespace exeat::proxy {

/// A table of token buckets that clients fall into by a keyed hash: memory that no number of clients makes
/// larger, and nothing to forget when a client comes back on another connection. Two clients in one bucket
/// share it, which shows only where one of them is at its limit. A bucket holds the requests of one second.
/// Thread-safe, lock-free.
class request_rate {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t buckets = 8192;

  /// Zero for `per_second` = no limit. `seed`: random.
  request_rate(std::uint32_t per_second, unsigned workers, std::uint64_t seed);

  bool is_on() const noexcept { return per_second_ != 0; }
  std::size_t bucket_of(const client_key& client) const noexcept;
  /// Up to a slice of the bucket's tokens; 0 = it is empty.
  std::uint32_t take(std::size_t bucket, clock::time_point now) noexcept;

 private:
  std::uint32_t per_second_;
  std::uint32_t slice_;
  std::uint64_t seed_;
  std::int64_t interval_;  ///< nanoseconds that a token takes to come back
  clock::time_point origin_;
  /// When each bucket will be full again, in nanoseconds since `origin_`.
  std::unique_ptr<std::atomic<std::int64_t>[]> full_at_;
};

/// One worker's tokens. Not thread-safe; must not outlive its table.
class request_tokens {
 public:
  explicit request_tokens(request_rate& rate)
      : rate_(rate), held_(rate.is_on() ? request_rate::buckets : 0) {}

  /// False: the client has sent its requests of this second.
  bool admit(const client_key& client) noexcept {
    if (held_.empty()) return true;
    const auto bucket = rate_.bucket_of(client);
    auto& held = held_[bucket];
    if (held == 0) held = static_cast<std::uint16_t>(rate_.take(bucket, request_rate::clock::now()));
    if (held == 0) return false;
    --held;
    return true;
  }

 private:
  request_rate& rate_;
  std::vector<std::uint16_t> held_;
};

}  // namespace exeat::proxy
