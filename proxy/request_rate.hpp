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

/// How fast tokens come back, and how many a worker takes at once.
class token_pace {
 public:
  /// Zero for `per_second` = no limit.
  token_pace(std::uint32_t per_second, unsigned workers) noexcept;
  bool is_on() const noexcept { return interval_ != 0; }

 private:
  friend class token_bucket;
  std::uint32_t slice_;
  std::int64_t interval_;  ///< nanoseconds that a token takes to come back; 0: no limit
};

/// Holds the requests of one second; full at first. Thread-safe, lock-free.
class token_bucket {
 public:
  /// Up to a slice of its tokens; 0 = it is empty. `at`: since a moment that is the same for all calls.
  std::uint32_t take(const token_pace& pace, std::chrono::nanoseconds at) noexcept;

 private:
  std::atomic<std::int64_t> full_at_{0};  ///< when it will be full again, in nanoseconds since that moment
};

/// A table of token buckets that clients fall into by a keyed hash: memory that no number of clients makes
/// larger, and nothing to forget when a client comes back on another connection. Two clients in one bucket
/// share it, which shows only where one of them is at its limit. Thread-safe, lock-free.
class request_rate {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t buckets = 8192;

  /// Zero for `per_second` = no limit. `seed`: random.
  request_rate(std::uint32_t per_second, unsigned workers, std::uint64_t seed);

  bool is_on() const noexcept { return pace_.is_on(); }
  /// What a TLS handshake counts for: a client gets no more than 500 of them in a second, for each costs as
  /// much of a core as many requests do.
  std::uint32_t cost_of_handshake() const noexcept { return handshake_; }
  std::size_t bucket_of(const client_key& client) const noexcept;
  /// Up to a slice of the bucket's tokens; 0 = it is empty.
  std::uint32_t take(std::size_t bucket, clock::time_point now) noexcept;

 private:
  token_pace pace_;
  std::uint32_t handshake_;
  std::uint64_t seed_;
  clock::time_point origin_;
  std::unique_ptr<token_bucket[]> table_;
};

/// One worker's tokens. Not thread-safe; must not outlive its table.
class request_tokens {
 public:
  explicit request_tokens(request_rate& rate)
      : rate_(rate), held_(rate.is_on() ? request_rate::buckets : 0) {}

  /// False: the client has sent its requests of this second.
  bool admit(const client_key& client) noexcept { return admit(client, 1); }
  bool admit_handshake(const client_key& client) noexcept { return admit(client, rate_.cost_of_handshake()); }

 private:
  bool admit(const client_key& client, std::uint32_t cost) noexcept {
    if (held_.empty()) return true;
    const auto bucket = rate_.bucket_of(client);
    auto& held = held_[bucket];
    while (held < cost) {
      const auto more = rate_.take(bucket, request_rate::clock::now());
      if (more == 0) return false;
      held += more;
    }
    held -= cost;
    return true;
  }

  request_rate& rate_;
  std::vector<std::uint32_t> held_;
};

}  // namespace exeat::proxy
