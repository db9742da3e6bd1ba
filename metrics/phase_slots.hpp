// Phase names as small numbers, so that a worker counts by index and cardinality is bounded by construction.
#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace exeat::metrics {

/// An index into the counters' tables; only phase_slots hands them out.
enum class phase_slot : std::uint8_t {};

inline constexpr std::size_t named_phase_max = 64;
/// All phases beyond the first 64 distinct names of the process's life; label `(other)`.
inline constexpr phase_slot other_phase{64};
/// Connections whose phase was never known; label `(none)`.
inline constexpr phase_slot no_phase{65};
inline constexpr std::size_t phase_slot_count = 66;

/// Interns names; a name keeps its slot for the life of the process, over any number of reloads.
/// Thread-safe; not for the hot path: ask once per listener and policy.
class phase_slots {
 public:
  /// The name's slot; `no_phase` for the empty name, `other_phase` once 64 names are known.
  phase_slot intern(std::string_view name);
  /// The label of a slot: the name, "(other)" or "(none)".
  std::string label(phase_slot slot) const;
  /// How many names have a slot: slots 0 to size()-1.
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> names_;
};

}  // namespace exeat::metrics
