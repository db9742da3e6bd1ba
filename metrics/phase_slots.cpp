#include "metrics/phase_slots.hpp"

#include <algorithm>

namespace exeat::metrics {

phase_slot phase_slots::intern(std::string_view name) {
  if (name.empty()) return no_phase;
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(names_, name);
  if (found != names_.end()) return static_cast<phase_slot>(found - names_.begin());
  if (names_.size() == named_phase_max) return other_phase;
  names_.emplace_back(name);
  return static_cast<phase_slot>(names_.size() - 1);
}

std::string phase_slots::label(phase_slot slot) const {
  if (slot == no_phase) return "(none)";
  const std::lock_guard lock(mutex_);
  const auto index = static_cast<std::size_t>(slot);
  return index < names_.size() ? names_[index] : "(other)";
}

std::size_t phase_slots::size() const {
  const std::lock_guard lock(mutex_);
  return names_.size();
}

}  // namespace exeat::metrics
