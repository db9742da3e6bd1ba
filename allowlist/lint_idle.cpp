#include "allowlist/lint_idle.hpp"

#include <boost/unordered/unordered_flat_map.hpp>

#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

// The reaches with which a name stands in a set of rules, as bits.
using reach_bits = std::uint8_t;
constexpr reach_bits bit(depth reach) {
  return static_cast<reach_bits>(1U << static_cast<unsigned>(reach));
}
constexpr reach_bits deeper = bit(depth::one_label) | bit(depth::any_labels);

using name_table = boost::unordered_flat_map<std::string_view, reach_bits>;

reach_bits reaches_of(const host_pattern& pattern) {
  return static_cast<reach_bits>(bit(pattern.depth) | (pattern.apex ? bit(depth::exact) : 0U));
}

// Which reaches, on a name that stands `labels` labels above, share a name with `inner` on the lower one.
reach_bits meeting(reach_bits inner, std::size_t labels) {
  reach_bits out = 0;
  if (labels == 0) {
    if ((inner & bit(depth::exact)) != 0) out |= bit(depth::exact);
    if ((inner & deeper) != 0) out |= deeper;
    return out;
  }
  out |= bit(depth::any_labels);
  if (labels == 1 && (inner & bit(depth::exact)) != 0) out |= bit(depth::one_label);
  return out;
}

}  // namespace

std::vector<const rule*> idle_denies(const policy_source& source) {
  name_table denied;
  for (const auto& deny : source.deny) {
    if (const auto* pattern = std::get_if<host_pattern>(&deny.what))
      denied[pattern->name.view()] |= reaches_of(*pattern);
  }
  std::vector<const rule*> idle;
  if (denied.empty()) return idle;

  name_table allowed;
  name_table met;  // denied names and the reaches of theirs that an allow from below meets
  for (const auto& phase : source.phases) {
    for (const auto& allow : phase.allow) {
      const auto* pattern = std::get_if<host_pattern>(&allow.what);
      if (pattern == nullptr) continue;
      allowed[pattern->name.view()] |= reaches_of(*pattern);
      const name_suffixes above(pattern->name.view());
      for (std::size_t i = 0; i < above.count(); ++i) {
        if (denied.contains(above.text(i))) met[above.text(i)] |= meeting(reaches_of(*pattern), i);
      }
    }
  }
  for (const auto& deny : source.deny) {
    const auto* pattern = std::get_if<host_pattern>(&deny.what);
    if (pattern == nullptr) continue;
    const auto mine = reaches_of(*pattern);
    const auto from_below = met.find(pattern->name.view());
    bool meets = from_below != met.end() && (from_below->second & mine) != 0;
    const name_suffixes above(pattern->name.view());
    for (std::size_t i = 0; i < above.count() && !meets; ++i) {
      const auto found = allowed.find(above.text(i));
      meets = found != allowed.end() && (found->second & meeting(mine, i)) != 0;
    }
    // A final one is there for files that do not exist yet.
    if (!meets && !deny.final) idle.push_back(&deny);
  }
  return idle;
}

}  // namespace exeat::allowlist
