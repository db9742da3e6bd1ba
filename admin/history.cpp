#include "admin/history.hpp"

#include <utility>

namespace exeat::admin {

totals totals_of(const metrics::registry& registry, std::vector<decision_count>* by_reason) {
  totals out;
  std::vector<metrics::phase_slot> slots;
  for (std::size_t i = 0; i < registry.phases().size(); ++i)
    slots.push_back(static_cast<metrics::phase_slot>(i));
  slots.push_back(metrics::other_phase);
  slots.push_back(metrics::no_phase);
  for (const auto slot : slots) {
    for (std::size_t verdict = 0; verdict < metrics::verdict_count; ++verdict) {
      for (std::size_t reason = 0; reason < core::reason_count; ++reason) {
        std::uint64_t count = 0;
        for (unsigned worker = 0; worker < registry.workers(); ++worker)
          count += registry.worker(worker).phase(slot).decisions[verdict][reason].value();
        out.decisions[verdict] += count;
        if (count == 0 || by_reason == nullptr) continue;
        by_reason->push_back({.phase = registry.phases().label(slot),
                              .verdict = static_cast<metrics::verdict>(verdict),
                              .reason = static_cast<core::reason>(reason),
                              .count = count});
      }
    }
    std::uint64_t opened = 0;
    std::uint64_t closed = 0;
    for (unsigned worker = 0; worker < registry.workers(); ++worker) {
      const auto& cells = registry.worker(worker).phase(slot);
      closed += cells.tunnels_closed.value();  // first: never more closed than opened
      opened += cells.tunnels_opened.value();
      out.bytes_up += cells.bytes_up.value();
      out.bytes_down += cells.bytes_down.value();
    }
    out.tunnels += opened > closed ? opened - closed : 0;
  }
  for (unsigned worker = 0; worker < registry.workers(); ++worker) {
    const auto closed = registry.worker(worker).connections_closed();
    const auto opened = registry.worker(worker).connections_accepted();
    out.connections += opened > closed ? opened - closed : 0;
  }
  return out;
}

void history::take(const metrics::registry& registry) {
  samples_.push_back({.at = std::chrono::system_clock::now(), .counted = totals_of(registry)});
  if (samples_.size() > most_samples) samples_.pop_front();
}

}  // namespace exeat::admin
