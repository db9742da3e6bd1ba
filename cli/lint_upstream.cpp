#include "cli/lint_upstream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "config/upstream_choice.hpp"

namespace exeat::cli {
namespace {

const allowlist::lint_check* check_of(std::string_view code) {
  return &*std::ranges::find(allowlist::lint_checks(), code, &allowlist::lint_check::code);
}

std::ptrdiff_t denied_prefixes(const allowlist::policy& policy) {
  return std::ranges::count_if(policy.source().deny, [](const allowlist::rule& rule) {
    return std::holds_alternative<core::cidr>(rule.what);
  });
}

void add_samples(const allowlist::host_pattern& of, std::vector<core::host_name>& into) {
  into.push_back(of.name);
  if (of.depth == allowlist::depth::exact) return;
  if (const auto longer = core::host_name::parse("x." + std::string(of.name.view()))) into.push_back(*longer);
}

// An upstream that would look up one name at least of those that the rule covers.
const config::upstream_proxy* delegate_of(const config::settings& settings, const allowlist::rule& rule) {
  const auto* pattern = std::get_if<allowlist::host_pattern>(&rule.what);
  if (pattern == nullptr) return nullptr;
  std::vector<core::host_name> samples;
  add_samples(*pattern, samples);
  // The rule may be the wider one of the two.
  for (const auto& proxy : settings.upstream.proxies) {
    if (!proxy.remote) continue;
    for (const auto& hosts : proxy.hosts) add_samples(hosts, samples);
  }
  for (const auto& name : samples) {
    if (!pattern->matches(name)) continue;
    const auto* proxy = config::proxy_toward(settings.upstream, name);
    if (proxy != nullptr && proxy->remote) return proxy;
  }
  return nullptr;
}

}  // namespace

std::vector<allowlist::finding> lint_upstream(const config::settings& settings,
                                              const allowlist::policy& policy) {
  std::vector<allowlist::finding> out;
  const auto denies = denied_prefixes(policy);
  for (const auto& proxy : settings.upstream.proxies) {
    if (!proxy.remote) continue;
    auto text =
        fmt::format("{} looks up the names of {}", config::to_string(proxy), config::hosts_text(proxy));
    if (denies != 0) {
      text += fmt::format(", and {} rule{} under `deny` with a `cidr` {} no effect on them", denies,
                          denies == 1 ? "" : "s", denies == 1 ? "has" : "have");
    }
    out.push_back({check_of("resolve-remote"), proxy.where, std::move(text)});
  }
  for (const auto& phase : policy.source().phases) {
    for (const auto& rule : phase.allow) {
      if (!rule.terms || rule.terms->resolve_in.empty()) continue;
      if (const auto* proxy = delegate_of(settings, rule)) {
        out.push_back({check_of("pin-delegated"), rule.where,
                       fmt::format("{} has `resolve_in`, and {} would look it up", rule.id,
                                   config::to_string(*proxy))});
      }
    }
  }
  return out;
}

std::vector<std::string> upstream_warnings(const config::settings& settings,
                                           const allowlist::policy& policy) {
  std::vector<std::string> out;
  const auto denies = denied_prefixes(policy);
  for (const auto& proxy : settings.upstream.proxies) {
    if (!proxy.remote) continue;
    out.push_back(
        fmt::format("{} looks names up itself (resolve: remote): the address guard{} does not see where they "
                    "lead, and rules "
                    "with `resolve_in` are refused there",
                    config::to_string(proxy), denies == 0 ? "" : ", and `cidr` under `deny`,"));
  }
  return out;
}

}  // namespace exeat::cli
