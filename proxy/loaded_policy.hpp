// A policy as the workers hold it: one immutable snapshot, swapped by a post.
#pragma once
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/policy.hpp"
#include "metrics/phase_slots.hpp"
#include "metrics/registry.hpp"
#include "proxy/budget.hpp"
#include "proxy/meter.hpp"
#include "proxy/request_meter.hpp"

namespace exeat::proxy {

/// The text of what time_is_up() ends.
inline constexpr std::string_view cut_by_time_limit = "the time_limit of the phase has passed";

class loaded_policy {
 public:
  /// Interns the policy's phases, and finds what `book` knows of its limits; off the workers.
  loaded_policy(std::shared_ptr<const allowlist::policy> policy, metrics::phase_slots& names,
                budget_book& book);
  loaded_policy(const loaded_policy&) = delete;
  loaded_policy& operator=(const loaded_policy&) = delete;

  std::shared_ptr<const allowlist::policy> policy;

  metrics::phase_slot slot_of(allowlist::phase_id id) const noexcept {
    return slots_[static_cast<std::size_t>(id)];
  }
  /// The limits on what `rule` (or, in audit, null) lets through; null where there are none.
  const meter* meter_of(allowlist::phase_id phase, const allowlist::rule* rule) const noexcept;
  /// The names that a rule with `max_names` has been used for; null for any other rule.
  name_budget* names_of(const allowlist::rule& rule) const noexcept;
  /// Whether anything in it is limited at all.
  bool has_meters() const noexcept { return has_meters_; }
  /// The limits on how many requests `rule` lets through; null where there are none.
  const request_meter* requests_of(allowlist::phase_id phase, const allowlist::rule* rule) const noexcept;

  /// A request of the phase is let through: its `time_limit`, of this policy or of a later one, runs.
  void phase_used(allowlist::phase_id id, phase_clock::time_point now) const noexcept {
    times_[static_cast<std::size_t>(id)].clock->start(now);
  }
  /// True where the `time_limit` of the phase has passed; in `audit`, too.
  bool time_has_passed(allowlist::phase_id id, phase_clock::time_point now) const noexcept {
    const auto& time = times_[static_cast<std::size_t>(id)];
    return time.limit && time.clock->elapsed(now) >= *time.limit;
  }
  /// True where what the phase has under way is to be cut: its time has passed, and the policy is enforced.
  bool time_is_up(allowlist::phase_id id, phase_clock::time_point now) const noexcept {
    return time_has_passed(id, now) && policy->phase_of(id).mode == allowlist::phase_mode::enforce;
  }
  /// Whether time_is_up() is true for a phase. Cheap where no phase has a `time_limit`.
  bool any_time_is_up(phase_clock::time_point now) const noexcept;

  /// A sentence for each budget of which four fifths are used since the last call, in the job at hand. Each
  /// is told once, on whatever policy. Any thread; for once a second.
  std::vector<std::string> due_warnings(phase_clock::time_point now) const;

  /// What the limits have used, for the metrics. Any thread.
  std::vector<metrics::budget_sample> samples() const;

 private:
  struct terms {
    std::unique_ptr<const meter> limits;
    std::unique_ptr<const request_meter> requests;
    std::shared_ptr<name_budget> names;
  };
  /// One limit, for the metrics; null phase: the job's, null rule: the phase's.
  struct counted {
    metrics::budget_kind kind;
    const allowlist::phase* phase;
    const allowlist::rule* rule;
    std::shared_ptr<byte_budget> amount;  ///< octets or requests
    std::shared_ptr<name_budget> names;
    std::uint64_t limit;
    std::uint64_t used() const { return amount ? amount->used() : names->size(); }
  };
  struct timed {
    std::shared_ptr<phase_clock> clock;
    std::optional<std::chrono::milliseconds> limit;
  };
  /// "upload_limit 20MiB of agent/x.com:443".
  static std::string text_of(const counted& counted);
  void count(const allowlist::transfer_limits& limits, budget_book& book, std::string_view key,
             const allowlist::phase* phase, const allowlist::rule* rule);

  std::vector<metrics::phase_slot> slots_;
  std::vector<std::unique_ptr<const meter>> of_phase_;
  std::vector<std::unique_ptr<const request_meter>> requests_of_phase_;
  std::vector<timed> times_;  ///< by phase
  boost::unordered_flat_map<const allowlist::rule*, terms> of_rule_;
  std::vector<counted> counted_;
  bool has_meters_ = false;
  bool has_request_limits_ = false;
  bool has_time_limits_ = false;
  friend class retired_policies;
  mutable const loaded_policy* retired_before_ = nullptr;
};

}  // namespace exeat::proxy
