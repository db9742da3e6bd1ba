// Hosts where anybody can publish or receive. For lint's own sources only.
#pragma once
#include <span>
#include <string_view>

#include "allowlist/bundles.hpp"
#include "allowlist/pattern.hpp"

namespace exeat::allowlist {

/// What is known of the hosts of one pattern.
struct known_risk {
  host_pattern pattern;
  risk risks = risk::none;
  /// The names under the pattern belong to unrelated owners: a wildcard over them is the danger, one of them
  /// is not.
  bool tenants = false;
  /// Only some names under the pattern carry the risk.
  bool partly = false;
  std::string_view why;  ///< one clause
};

/// A table of lint's own, then what the bundles tag as multi-tenant or upload. Built once; any thread.
std::span<const known_risk> known_risks();

/// How many of them, from the first on, are lint's own.
std::size_t own_risk_count() noexcept;

}  // namespace exeat::allowlist
