// Policies as text that loads again.
#pragma once
#include <string>
#include <string_view>

#include "allowlist/rule.hpp"

namespace exeat::config {

/// A YAML scalar for a flow or block context: plain where nobody can misread it, else in double quotes, on
/// one line. `text` is UTF-8; what is not becomes U+FFFD.
std::string print_scalar(std::string_view text);

/// One entry of a list under `allow` or `deny` as a flow map, without the dash in front:
/// `{host: "*.a.example", ports: [80, 443], reason: why}`. A rule of a bundle is written out.
std::string print_rule(const allowlist::rule& rule, bool deny);

/// A whole policy file that loads as `source` again, but for the places; bundles stay `use:`, what was
/// included stands in its phases.
std::string print_policy(const allowlist::policy_source& source);

}  // namespace exeat::config
