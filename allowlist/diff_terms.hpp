// What differs between two rules, two phases or two sets of limits. For this floor's own sources only.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/diff.hpp"
#include "allowlist/rule.hpp"
#include "core/destination.hpp"

namespace exeat::allowlist {

/// A rule that lets a request through, and the phase that it stands in.
struct governed {
  const allowlist::phase* phase = nullptr;
  const allowlist::rule* rule = nullptr;
};

/// The terms on which a request of that scheme passes: tls and ech for CONNECT alone, methods and paths for
/// plain HTTP alone. What only the phases' own default of `ech` brings is the phase's change, not the rule's.
std::vector<term_change> compare_terms(const governed& before, const governed& after, core::scheme scheme);

/// upload_limit and download_limit, appended.
void compare_limits(const transfer_limits& before, const transfer_limits& after,
                    std::vector<term_change>& out);

/// All that a phase says beside its rules.
std::vector<term_change> compare_phases(const phase& before, const phase& after);

/// The new set against the old one; empty: any. Nothing where they hold the same.
std::optional<direction> compare_prefixes(std::span<const core::cidr> before,
                                          std::span<const core::cidr> after);
std::optional<direction> compare_methods(const std::vector<std::string>& before,
                                         const std::vector<std::string>& after);
/// By the paths that they match (allowlist/path_pattern.hpp). Sets too entangled to tell are `both`.
std::optional<direction> compare_paths(const std::vector<std::string>& before,
                                       const std::vector<std::string>& after);

}  // namespace exeat::allowlist
