// `canary:` of a phase: a list of names, or a map of `names` and `action`, and what that has to fit.
#pragma once
#include <span>
#include <vector>

#include "allowlist/policy.hpp"
#include "config/settings.hpp"
#include "config/values.hpp"

namespace exeat::config {

std::span<const key_row<allowlist::phase>> canary_rows() noexcept;

inline constexpr value_schema canary_schema{
    .json = R"({"anyOf":[{"$ref":"#/$defs/canaries"},{"$ref":"#/$defs/canary"}]})"};

/// Either form.
void read_canary(allowlist::phase& into, const yaml::node& value, yaml::error_list& errors);

/// What check_phases() has to say of `action: lockdown`: there is no job that could be sealed, or a listener
/// of the phase takes everybody who reaches it for the job.
void check_lockdown(const settings& settings, const allowlist::policy& policy, std::vector<error>& out);

}  // namespace exeat::config
