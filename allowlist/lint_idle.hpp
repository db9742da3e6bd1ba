// Denies that meet no allow. For lint's own sources only.
#pragma once
#include <vector>

#include "allowlist/policy.hpp"

namespace exeat::allowlist {

/// The host rules under `deny` that share no name with a rule of any phase, whatever the ports, those
/// left out that are final. (A `cidr` under `deny` is never idle: it judges what names resolve to.)
std::vector<const rule*> idle_denies(const policy_source& source);

}  // namespace exeat::allowlist
