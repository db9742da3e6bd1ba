// The reference pages that the tables write by themselves.
#pragma once
#include <string>

namespace exeat::config {

/// docs/reference/configuration.md: every key of exeat.yaml.
std::string configuration_page();
/// docs/reference/policy.md: every key of policy.yaml, and the built-in policy.
std::string policy_page();
/// docs/reference/reason-codes.md: every reason code.
std::string reason_codes_page();

}  // namespace exeat::config
