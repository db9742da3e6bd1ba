// From what happens to each class of destinations to the fewest lines that say so. For this floor's own
// sources only.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "allowlist/diff.hpp"
#include "allowlist/diff_classes.hpp"

namespace exeat::allowlist {

/// Steps after which a comparison gives up: a few seconds.
inline constexpr std::size_t most_diff_work = 500'000'000;

/// What happens to all of a class: a reach_change without its destinations.
struct class_change {
  change_kind kind = change_kind::terms;
  std::vector<term_change> terms = {};
  std::optional<std::chrono::sys_days> from = {};
  std::optional<std::chrono::sys_days> until = {};
  const rule* before = nullptr;
  const rule* after = nullptr;
  std::vector<port_range> https = {};  ///< ascending
  std::vector<port_range> http = {};
  std::uint32_t line = 0;  ///< lines_of's own

  /// The same happens, whichever rules make it happen and on whatever ports.
  bool is_alike(const class_change& other) const;
};

/// Joins each class with the wider one where the same happens to both, and names it as an exception where
/// not; `changes` are by class. Adds to `work`; past most_diff_work nothing comes out, and the caller must
/// give up.
std::vector<reach_change> lines_of(const std::vector<destination_class>& classes,
                                   std::vector<std::vector<class_change>> changes, std::size_t& work);

/// By kind, then by name: an order that does not depend on the files'.
void sort_lines(std::vector<reach_change>& lines);

}  // namespace exeat::allowlist
