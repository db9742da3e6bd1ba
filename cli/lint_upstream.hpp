// What `exeat lint --config` finds in the ways out: a guard that an upstream proxy has, not this one.
#pragma once
#include <vector>

#include "allowlist/lint.hpp"
#include "config/settings.hpp"

namespace exeat::cli {

/// In the order of the files, exeat.yaml first.
std::vector<allowlist::finding> lint_upstream(const config::settings& settings,
                                              const allowlist::policy& policy);

/// For the banner and the log of `serve`: a sentence for each upstream with `resolve: remote`.
std::vector<std::string> upstream_warnings(const config::settings& settings, const allowlist::policy& policy);

}  // namespace exeat::cli
