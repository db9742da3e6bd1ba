#include "proxy/job_rate.hpp"

#include <algorithm>

namespace exeat::proxy {

job_rate::job_rate(limits limits, unsigned workers)
    : per_phase_(limits.per_phase, workers),
      per_job_(limits.per_job, workers),
      origin_(request_rate::clock::now()),
      workers_(std::max(workers, 1U)) {}

bool job_rate::draw(token_bucket& from, const token_pace& pace, std::uint32_t& mine) const noexcept {
  if (!pace.is_on()) return true;
  if (mine == 0) mine = from.take(pace, request_rate::clock::now() - origin_);
  if (mine == 0) return false;
  --mine;
  return true;
}

job_rate::answer job_rate::admit(unsigned worker, metrics::phase_slot phase) noexcept {
  auto& mine = workers_[worker];
  const auto at = static_cast<std::size_t>(phase);
  if (!draw(phases_[at], per_phase_, mine.phases[at])) return answer::phase_reached;
  if (draw(job_, per_job_, mine.job)) return answer::admitted;
  if (per_phase_.is_on()) ++mine.phases[at];
  return answer::job_reached;
}

}  // namespace exeat::proxy
