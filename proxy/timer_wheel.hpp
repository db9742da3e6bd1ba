// Deadlines of a worker: O(1) to arm, re-arm and disarm, one Asio timer for all (DESIGN section 6).
#pragma once
#include <array>
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstdint>

#include "proxy/asio.hpp"

namespace exeat::proxy {

class timer_wheel;

/// One deadline of one owner. Not thread-safe; disarms itself when destroyed. Fires up to one tick late,
/// never early.
class deadline
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// Called on the worker's thread, disarmed already; may arm again or destroy the owner.
  using callback = void (*)(void* owner) noexcept;

  deadline(timer_wheel& wheel, callback expired, void* owner) noexcept
      : wheel_(&wheel), expired_(expired), owner_(owner) {}
  deadline(const deadline&) = delete;
  deadline& operator=(const deadline&) = delete;

  /// (Re)arms; a duration of zero or less disarms: 0 means "no limit" in the configuration.
  void arm(std::chrono::milliseconds after) noexcept;
  void disarm() noexcept { unlink(); }
  bool armed() const noexcept { return is_linked(); }

 private:
  friend class timer_wheel;
  timer_wheel* wheel_;
  callback expired_;
  void* owner_;
  std::uint64_t due_tick_ = 0;
};

class timer_wheel {
 public:
  static constexpr std::chrono::milliseconds tick{50};

  explicit timer_wheel(asio::io_context& context);
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;

  /// Starts ticking; the wheel must outlive the io_context's run.
  void start();
  /// Lets the io_context run out of work.
  void stop() noexcept;
  /// Fires all that is due by `now`; what the timer calls, and what tests call with a clock of their own.
  void advance(std::chrono::steady_clock::time_point now) noexcept;

 private:
  friend class deadline;
  using slot = boost::intrusive::list<deadline, boost::intrusive::constant_time_size<false>>;
  static constexpr std::size_t slot_count = 1024;  // one turn is 51.2 s; later deadlines go round again

  std::uint64_t tick_of(std::chrono::steady_clock::time_point at) const noexcept;
  void wait();

  std::chrono::steady_clock::time_point origin_;
  std::uint64_t current_ = 0;
  std::array<slot, slot_count> slots_;
  steady_timer timer_;
  bool stopped_ = false;
};

}  // namespace exeat::proxy
