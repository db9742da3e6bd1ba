#include "cli/lint_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "proxy/next_hop.hpp"
#include "proxy/tls_context.hpp"
#include "sandbox/grants.hpp"

namespace exeat::cli {
namespace {

const allowlist::lint_check* check_of(std::string_view code) {
  return &*std::ranges::find(allowlist::lint_checks(), code, &allowlist::lint_check::code);
}

std::vector<sandbox::exposed_file> exposed_files(const config::settings& settings,
                                                 const allowlist::policy& policy) {
  if (settings.policy.empty()) return {};
  std::vector<std::string> included;
  for (const auto& one : policy.source().includes) included.push_back(one.file);
  return sandbox::exposed_policy_files(settings, included, sandbox::real_files());
}

}  // namespace

std::vector<allowlist::finding> lint_files(const config::settings& settings, const allowlist::policy& policy,
                                           const std::string& config_file) {
  std::vector<allowlist::finding> out;
  for (const auto& listener : settings.listeners) {
    if (!listener.tls) continue;
    if (const auto loaded = proxy::tls_context::load(*listener.tls); !loaded)
      out.push_back({check_of("file-unusable"), listener.where, loaded.error()});
  }
  for (const auto& proxy : settings.upstream.proxies) {
    config::upstream_settings alone;
    alone.proxies.push_back(proxy);
    if (const auto loaded = proxy::next_hops::load(alone); !loaded)
      out.push_back({check_of("file-unusable"), proxy.where, loaded.error()});
  }
  for (const auto& exposed : exposed_files(settings, policy)) {
    out.push_back({check_of("policy-within-reach"),
                   {.file = config_file},
                   fmt::format("{} lies within {}, where the proxy writes its log or state", exposed.file,
                               exposed.directory)});
  }
  return out;
}

std::vector<std::string> writable_policy_warnings(const config::settings& settings,
                                                  const allowlist::policy& policy) {
  std::vector<std::string> out;
  if (settings.sandbox == config::sandbox_mode::off) return out;
  std::set<std::string> said;
  for (const auto& exposed : exposed_files(settings, policy)) {
    if (::faccessat(AT_FDCWD, exposed.holding.c_str(), W_OK, AT_EACCESS) != 0) continue;
    if (!said.insert(exposed.holding).second) continue;
    out.push_back(fmt::format(
        "{} lies within {}, where the sandbox lets this process write for its log or state: whoever took it "
        "over could replace the policy; give log and state a directory of their own",
        exposed.file, exposed.directory));
  }
  return out;
}

}  // namespace exeat::cli
