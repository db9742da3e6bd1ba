#include "proxy/request_rate.hpp"

#include <algorithm>

namespace exeat::proxy {
namespace {

constexpr std::int64_t second = 1'000'000'000;

}  // namespace

request_rate::request_rate(std::uint32_t per_second, unsigned workers, std::uint64_t seed)
    : per_second_(per_second),
      // What idle workers hold back stays under a tenth of a second's requests.
      slice_(std::clamp(per_second / (10 * std::max(workers, 1U)), 1U, 64U)),
      seed_(seed),
      interval_(per_second == 0 ? 0 : second / per_second),
      origin_(clock::now()),
      full_at_(per_second == 0 ? nullptr : std::make_unique<std::atomic<std::int64_t>[]>(buckets)) {}

std::size_t request_rate::bucket_of(const client_key& client) const noexcept {
  auto hash = static_cast<std::uint64_t>(hash_value(client)) ^ seed_;
  hash *= 0x9e3779b97f4a7c15ULL;
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9ULL;
  return static_cast<std::size_t>(hash >> 32) % buckets;
}

std::uint32_t request_rate::take(std::size_t bucket, clock::time_point now) noexcept {
  const auto at = std::chrono::duration_cast<std::chrono::nanoseconds>(now - origin_).count();
  auto& full_at = full_at_[bucket];
  auto before = full_at.load(std::memory_order_relaxed);
  for (;;) {
    // A bucket that has been full for a while holds no more than one that has just become so.
    const auto from = std::max(before, at);
    const auto left = (second - (from - at)) / interval_;
    if (left <= 0) return 0;
    const auto got = std::min<std::int64_t>(left, slice_);
    if (full_at.compare_exchange_weak(before, from + got * interval_, std::memory_order_relaxed))
      return static_cast<std::uint32_t>(got);
  }
}

}  // namespace exeat::proxy
