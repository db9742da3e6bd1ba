// Connections of one job, in all and by phase, over all workers.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "metrics/phase_slots.hpp"

namespace exeat::proxy {

/// Counted from the moment in which it is known who asks: until then a connection counts against its client
/// and the process alone. Leased in slices, as connections of a client are. Each worker calls with its own
/// number, on its own thread.
class job_seats {
 public:
  struct limits {
    std::uint32_t per_phase = 0;  ///< 0: no limit
    std::uint32_t per_job = 0;    ///< 0: no limit
  };
  job_seats(limits limits, unsigned workers);

  enum class answer : std::uint8_t { admitted, phase_reached, job_reached };
  answer admit(unsigned worker, metrics::phase_slot phase) noexcept;
  /// For each admitted, once.
  void release(unsigned worker, metrics::phase_slot phase) noexcept;

 private:
  /// What is left to lease; a limit of none is never touched.
  struct pool {
    bool limited = false;
    std::uint32_t slice = 1;
    std::atomic<std::uint32_t> left{0};
    void set(std::uint32_t limit, unsigned workers) noexcept;
  };
  struct lease {
    std::uint32_t used = 0, held = 0;
  };
  struct alignas(64) leases {
    lease job;
    std::array<lease, metrics::phase_slot_count> phases;
  };
  static bool enter(pool& from, lease& mine) noexcept;
  static void leave(pool& to, lease& mine) noexcept;

  pool job_;
  std::array<pool, metrics::phase_slot_count> phases_;
  std::vector<leases> workers_;
};

/// One connection's place in its job. Movable; gives it back once, on its worker's thread.
class job_seat {
 public:
  job_seat() = default;
  job_seat(std::shared_ptr<job_seats> seats, unsigned worker, metrics::phase_slot phase) noexcept
      : seats_(std::move(seats)), worker_(worker), phase_(phase) {}
  job_seat(job_seat&&) noexcept = default;
  job_seat& operator=(job_seat&& other) noexcept {
    std::swap(seats_, other.seats_);
    std::swap(worker_, other.worker_);
    std::swap(phase_, other.phase_);
    return *this;
  }
  ~job_seat() {
    if (seats_) seats_->release(worker_, phase_);
  }
  explicit operator bool() const noexcept { return seats_ != nullptr; }

 private:
  std::shared_ptr<job_seats> seats_;
  unsigned worker_ = 0;
  metrics::phase_slot phase_ = metrics::no_phase;
};

}  // namespace exeat::proxy
