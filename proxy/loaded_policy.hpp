// A policy as the workers hold it: one immutable snapshot, swapped by a post.
#pragma once
#include <boost/unordered/unordered_flat_map.hpp>
#include <memory>
#include <vector>

#include "allowlist/policy.hpp"
#include "metrics/phase_slots.hpp"
#include "metrics/registry.hpp"
#include "proxy/budget.hpp"
#include "proxy/meter.hpp"

namespace exeat::proxy {

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

  /// What the limits have used, for the metrics. Any thread.
  std::vector<metrics::budget_sample> samples() const;

 private:
  struct terms {
    std::unique_ptr<const meter> limits;
    std::shared_ptr<name_budget> names;
  };
  /// One limit, for the metrics; null phase: the job's, null rule: the phase's.
  struct counted {
    metrics::budget_kind kind;
    const allowlist::phase* phase;
    const allowlist::rule* rule;
    std::shared_ptr<const byte_budget> octets;
    std::shared_ptr<const name_budget> names;
    std::uint64_t limit;
  };
  void count(const allowlist::transfer_limits& limits, budget_book& book, std::string_view key,
             const allowlist::phase* phase, const allowlist::rule* rule);

  std::vector<metrics::phase_slot> slots_;
  std::vector<std::unique_ptr<const meter>> of_phase_;
  boost::unordered_flat_map<const allowlist::rule*, terms> of_rule_;
  std::vector<counted> counted_;
  bool has_meters_ = false;
};

}  // namespace exeat::proxy
