// Why a destination gets the answer that it gets: every rule that has to do with it, near misses included.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/policy.hpp"
#include "core/destination.hpp"

namespace exeat::allowlist {

/// What a rule has to do with a destination. All but the first four are near misses.
enum class relation : std::uint8_t {
  governs,       ///< the decision is this rule's
  denies,        ///< a deny that holds it
  outranked,     ///< matches, but a more specific rule governs
  overruled,     ///< would allow it, but a deny beats it
  expired,       ///< would match, had it not expired
  other_port,    ///< names the host, but not the port
  other_scheme,  ///< plain HTTP on a port that stands only by the default of 443
  needs_apex,    ///< a wildcard under the name, which does not cover the name itself
  only_apex,     ///< the bare name above it, without the names under it
  too_deep,      ///< `*` takes one label, and more stand in front
  lookalike,     ///< spells a name that is one character away, or reads the same
};
/// "governs", "needs-apex", ...
std::string_view code_of(relation relation) noexcept;

/// One rule and its relation. `text` is a clause that goes on from the rule's name, without a full stop, in
/// printable ASCII but for U-labels.
struct related_rule {
  const allowlist::rule* rule = nullptr;
  allowlist::relation relation = relation::governs;
  std::string text;
};

/// The rules of one scope (a phase's `allow`, or `deny`), the decisive one first, then from the most specific
/// on, lookalikes last.
struct related_rules {
  std::vector<related_rule> rules;
  std::size_t left_out = 0;  ///< beyond the bound of 50
};

struct explained {
  related_rules deny;
  std::vector<related_rules> phases;  ///< by phase_id
  /// The `addresses` entries that name the host (or hold the literal, with `literal: true`).
  std::vector<const address_exception*> exceptions;
};

/// Everything in the policy that bears on a destination. The decision itself is decide's; its governing rule
/// comes first here. Linear in the number of rules where a phase has no match, as lookalikes are searched
/// then. Pointers live as long as the policy. No I/O; any thread.
/// `asked` needs no phase.
explained explain(const policy& policy, const request& asked);

/// The name with its A-labels as U-labels, where it has some and they convert back; else empty.
std::string u_labels_of(const core::host_name& name);

}  // namespace exeat::allowlist
