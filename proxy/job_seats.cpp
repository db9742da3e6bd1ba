#include "proxy/job_seats.hpp"

#include <algorithm>

namespace exeat::proxy {

void job_seats::pool::set(std::uint32_t limit, unsigned workers) noexcept {
  limited = limit != 0;
  slice = std::clamp(limit / (10 * std::max(workers, 1U)), 1U, 16U);
  left.store(limit, std::memory_order_relaxed);
}

job_seats::job_seats(limits limits, unsigned workers) : workers_(std::max(workers, 1U)) {
  job_.set(limits.per_job, workers);
  for (auto& phase : phases_) phase.set(limits.per_phase, workers);
}

bool job_seats::enter(pool& from, lease& mine) noexcept {
  if (!from.limited) return true;
  if (mine.used == mine.held) {
    auto left = from.left.load(std::memory_order_relaxed);
    for (;;) {
      const auto got = std::min(left, from.slice);
      if (got == 0) return false;
      if (!from.left.compare_exchange_weak(left, left - got, std::memory_order_relaxed)) continue;
      mine.held += got;
      break;
    }
  }
  ++mine.used;
  return true;
}

void job_seats::leave(pool& to, lease& mine) noexcept {
  if (!to.limited) return;
  --mine.used;
  // One slice stays in hand, unless it might be all there is.
  const std::uint32_t kept = to.slice == 1 || mine.used == 0 ? 0 : to.slice;
  const auto spare = mine.held - mine.used;
  if (spare < kept + to.slice) return;
  mine.held -= spare - kept;
  to.left.fetch_add(spare - kept, std::memory_order_relaxed);
}

job_seats::answer job_seats::admit(unsigned worker, metrics::phase_slot phase) noexcept {
  auto& mine = workers_[worker];
  const auto at = static_cast<std::size_t>(phase);
  if (!enter(phases_[at], mine.phases[at])) return answer::phase_reached;
  if (enter(job_, mine.job)) return answer::admitted;
  leave(phases_[at], mine.phases[at]);
  return answer::job_reached;
}

void job_seats::release(unsigned worker, metrics::phase_slot phase) noexcept {
  auto& mine = workers_[worker];
  const auto at = static_cast<std::size_t>(phase);
  leave(job_, mine.job);
  leave(phases_[at], mine.phases[at]);
}

}  // namespace exeat::proxy
