// Which rules take in all of another one. For this floor's own sources only.
#pragma once
#include <chrono>

#include "allowlist/matcher.hpp"
#include "allowlist/policy.hpp"

namespace exeat::allowlist {

/// The deny, or the first of several, because of which `allow` can never match; null where something of it
/// gets through.
const rule* shadowing_deny(const policy::compiled& policy, const rule& allow);

/// A deny that is `final` and takes in every name or address of `allow` on one of its ports, or null.
const rule* final_deny_of(const policy::compiled& policy, const rule& allow);

/// A wider rule of the same scope that would let the same requests through on the same terms if `allow` were
/// taken out; null where something would change. An expired rule covers nothing.
const rule* covering_rule(const policy::compiled& policy, scope scope, const rule& allow,
                          std::chrono::sys_seconds now);

/// True where the unexpired rules of a scope together reach every name or address of `what` on all of
/// `ports`, those left out that ask for a method, a path or addresses which `what` does not ask for.
bool reaches(const policy::compiled& policy, scope scope, const rule& what, const port_set& ports,
             std::chrono::sys_seconds now);

}  // namespace exeat::allowlist
