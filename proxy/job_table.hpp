// The jobs that the workers serve: one immutable snapshot, swapped by a post.
#pragma once
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/job.hpp"
#include "metrics/counters.hpp"
#include "metrics/phase_slots.hpp"
#include "proxy/job_rate.hpp"
#include "proxy/job_seats.hpp"
#include "proxy/loaded_policy.hpp"

namespace exeat::proxy {

/// What one phase of one job has moved through one worker, which alone writes it.
struct phase_count {
  metrics::cell opened{}, closed{};  ///< tunnels
  metrics::cell up{}, down{};        ///< octets
};
/// By worker, then by slot.
using job_counts = std::vector<std::array<phase_count, metrics::phase_slot_count>>;

/// One job as the workers serve it.
struct served_job {
  std::shared_ptr<const jobs::job> job;  ///< null: none is declared, and nothing is ever sealed
  std::shared_ptr<const loaded_policy> policy;
  std::shared_ptr<job_counts> counts;
  std::shared_ptr<job_seats> seats;
  std::shared_ptr<job_rate> rate;
};

class job_table {
 public:
  /// Of exeat.yaml; its policy is never null.
  served_job implicit;
  /// By the ids of the jobs that were opened.
  boost::unordered_flat_map<std::string, served_job> opened;

  /// The empty id is the job of exeat.yaml. Null: there is no such job.
  const served_job* find(const std::string& id) const noexcept {
    if (id.empty()) return &implicit;
    const auto found = opened.find(id);
    return found == opened.end() ? nullptr : &found->second;
  }
  /// The one of this very job; null: it is served no more.
  const served_job* find(const jobs::job* job) const noexcept {
    if (job == implicit.job.get()) return &implicit;
    if (job == nullptr) return nullptr;
    const auto* found = find(job->id());
    return found != nullptr && found->job.get() == job ? found : nullptr;
  }
  /// Whether anything in it is limited at all.
  bool has_meters() const noexcept {
    if (implicit.policy->has_meters()) return true;
    for (const auto& [id, served] : opened) {
      if (served.policy->has_meters()) return true;
    }
    return false;
  }
};

}  // namespace exeat::proxy
