// What is known of a name that nobody has written a rule for yet.
#pragma once
#include <optional>
#include <string_view>

#include "allowlist/bundles.hpp"
#include "core/host_name.hpp"

namespace exeat::allowlist {

struct host_risk {
  risk risks = risk::none;  ///< at least one of multi_tenant and upload
  /// The name belongs to one of many unrelated owners under a common suffix: whoever it is, it may be an
  /// attacker's.
  bool tenant = false;
  std::string_view why;  ///< one clause
};

/// The gravest of what lint's table, the bundles and the public suffix list's private section say of a name;
/// nothing where they do not know it. Any thread; below a microsecond.
std::optional<host_risk> risk_of(const core::host_name& name);

}  // namespace exeat::allowlist
