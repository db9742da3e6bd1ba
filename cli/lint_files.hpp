// What `exeat lint --config` finds in the files that exeat.yaml names, and `serve` says of them at the start.
#pragma once
#include <string>
#include <vector>

#include "allowlist/lint.hpp"
#include "config/settings.hpp"

namespace exeat::cli {

/// Reads what TLS listeners and upstream proxies are configured with, as `serve` would; `config_file` is
/// where findings without a line of their own are placed. Blocking file I/O.
std::vector<allowlist::finding> lint_files(const config::settings& settings, const allowlist::policy& policy,
                                           const std::string& config_file);

/// For the banner and the log of `serve`: a sentence for each directory of the policy's that the sandbox lets
/// this process write to, and its user may.
std::vector<std::string> writable_policy_warnings(const config::settings& settings,
                                                  const allowlist::policy& policy);

}  // namespace exeat::cli
