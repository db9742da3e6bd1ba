// `canary:` of a phase: a list of names, or a map of `names` and `action`.
#pragma once
#include <span>

#include "allowlist/rule.hpp"
#include "config/values.hpp"

namespace exeat::config {

std::span<const key_row<allowlist::phase>> canary_rows() noexcept;

inline constexpr value_schema canary_schema{
    .json = R"({"anyOf":[{"$ref":"#/$defs/canaries"},{"$ref":"#/$defs/canary"}]})"};

/// Either form.
void read_canary(allowlist::phase& into, const yaml::node& value, yaml::error_list& errors);

}  // namespace exeat::config
