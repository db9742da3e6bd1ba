#include "proxy/request_rate.hpp"

#include <algorithm>

namespace exeat::proxy {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::uint32_t handshakes_per_second = 500;

}  // namespace

token_pace::token_pace(std::uint32_t per_second, unsigned workers) noexcept
    // What idle workers hold back stays under a tenth of a second's requests.
    : slice_(std::clamp(per_second / (10 * std::max(workers, 1U)), 1U, 64U)),
      interval_(per_second == 0 ? 0 : second / per_second) {}

std::uint32_t token_bucket::take(const token_pace& pace, std::chrono::nanoseconds at) noexcept {
  auto before = full_at_.load(std::memory_order_relaxed);
  for (;;) {
    // A bucket that has been full for a while holds no more than one that has just become so.
    const auto from = std::max<std::int64_t>(before, at.count());
    const auto left = (second - (from - at.count())) / pace.interval_;
    if (left <= 0) return 0;
    const auto got = std::min<std::int64_t>(left, pace.slice_);
    if (full_at_.compare_exchange_weak(before, from + got * pace.interval_, std::memory_order_relaxed))
      return static_cast<std::uint32_t>(got);
  }
}

request_rate::request_rate(std::uint32_t per_second, unsigned workers, std::uint64_t seed)
    : pace_(per_second, workers),
      handshake_(std::max(per_second / handshakes_per_second, 1U)),
      seed_(seed),
      origin_(clock::now()),
      table_(pace_.is_on() ? std::make_unique<token_bucket[]>(buckets) : nullptr) {}

std::size_t request_rate::bucket_of(const client_key& client) const noexcept {
  auto hash = static_cast<std::uint64_t>(hash_value(client)) ^ seed_;
  hash *= 0x9e3779b97f4a7c15ULL;
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9ULL;
  return static_cast<std::size_t>(hash >> 32) % buckets;
}

std::uint32_t request_rate::take(std::size_t bucket, clock::time_point now) noexcept {
  return table_[bucket].take(pace_, now - origin_);
}

}  // namespace exeat::proxy
