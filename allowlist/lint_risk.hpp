// What the rules of a phase can be abused for. For lint's own sources only.
#pragma once
#include <boost/unordered/unordered_flat_map.hpp>

#include "allowlist/lint_sinks.hpp"
#include "allowlist/matcher.hpp"
#include "allowlist/policy.hpp"

namespace exeat::allowlist {

/// The rules of a phase, bundles' included, that reach something of known_risks(), each with the gravest it
/// reaches: names of unrelated owners, then what takes uploads, then what is published by anybody.
using risk_table = boost::unordered_flat_map<const rule*, const known_risk*>;
risk_table risks_of(const policy::compiled& policy, scope phase);

/// True where `a` is more grave than `b`.
bool graver(const known_risk& a, const known_risk& b) noexcept;

/// `**.x.com` where x.com is what somebody registered (libpsl): every name that they have or will have.
bool covers_a_whole_domain(const host_pattern& pattern);

/// A single name under which anybody can register one (libpsl).
bool names_a_public_suffix(const host_pattern& pattern);

}  // namespace exeat::allowlist
