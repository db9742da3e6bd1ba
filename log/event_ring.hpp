// A worker's way to the log thread: bytes in a ring, one writer and one reader, no lock.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/reason.hpp"
#include "proxy/event.hpp"

namespace exeat::log {

/// Events of variable length, each bounded, in a ring of fixed size. One thread pushes, one other reads.
class event_ring {
 public:
  /// The longest that one record can be.
  static constexpr std::size_t record_max = 4096;

  /// `size` in octets: a power of two, at least 4 * record_max.
  explicit event_ring(std::size_t size);

  /// The writer. Copies the event with its strings cut to their bounds; false where there is no room, which
  /// dropped() counts.
  bool push(const proxy::event& event) noexcept;

  /// The reader: the oldest record; its views point into the ring until pop().
  std::optional<proxy::event> front() noexcept;
  /// The reader: gives the space of front() back.
  void pop() noexcept;

  /// Any thread. Ordered after a push on the writer's thread that returned (sequentially consistent), so that
  /// a reader which announces its sleep first and asks then misses nothing.
  bool empty() const noexcept;
  /// More records than ever are in it at once.
  std::size_t records_max() const noexcept { return size_ / sizeof(proxy::event); }
  /// Any thread: how many events push() refused, ever.
  std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_acquire); }
  /// Any thread: how many of these were decisions (log::counts) of this verdict and reason.
  std::uint64_t dropped(proxy::outcome verdict, core::reason reason) const noexcept {
    return lost_[static_cast<std::size_t>(verdict)][static_cast<std::size_t>(reason)].load(
        std::memory_order_relaxed);
  }

 private:
  char* reserve(std::size_t octets) noexcept;

  const std::size_t size_;
  std::unique_ptr<char[]> bytes_;
  // Positions only grow; the octet of position p is bytes_[p % size_].
  alignas(64) std::atomic<std::uint64_t> written_{0};
  std::uint64_t read_seen_ = 0;  ///< the writer's last sight of read_
  std::uint64_t reserved_ = 0;   ///< where written_ goes on commit
  std::atomic<std::uint64_t> dropped_{0};
  std::array<std::array<std::atomic<std::uint64_t>, core::reason_count>, 4> lost_{};
  alignas(64) std::atomic<std::uint64_t> read_{0};
  std::uint64_t front_size_ = 0;  ///< what pop() frees
};

}  // namespace exeat::log
