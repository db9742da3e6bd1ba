// A policy as the workers hold it: one immutable snapshot, swapped by a post.
#pragma once
#include <memory>
#include <vector>

#include "allowlist/policy.hpp"
#include "metrics/phase_slots.hpp"

namespace exeat::proxy {

struct loaded_policy {
  std::shared_ptr<const allowlist::policy> policy;
  /// By allowlist::phase_id.
  std::vector<metrics::phase_slot> slots;

  metrics::phase_slot slot_of(allowlist::phase_id id) const noexcept {
    return slots[static_cast<std::size_t>(id)];
  }
};

/// Interns the policy's phases; off the workers.
inline std::shared_ptr<const loaded_policy> make_loaded(std::shared_ptr<const allowlist::policy> policy,
                                                        metrics::phase_slots& names) {
  auto loaded = std::make_shared<loaded_policy>();
  for (const auto& phase : policy->source().phases) loaded->slots.push_back(names.intern(phase.name));
  loaded->policy = std::move(policy);
  return loaded;
}

}  // namespace exeat::proxy
