#include "allowlist/host_risk.hpp"

#include <libpsl.h>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <string>
#include <vector>

#include "allowlist/lint_risk.hpp"
#include "allowlist/lint_sinks.hpp"
#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

using table = boost::unordered_flat_map<std::string_view, std::vector<const known_risk*>>;

const table& by_name() {
  static const auto all = [] {
    table out;
    for (const auto& known : known_risks()) out[known.pattern.name.view()].push_back(&known);
    return out;
  }();
  return all;
}

// True where a bundle holds just this name, and without a risk: somebody has looked at it.
bool is_known_harmless(std::string_view name) {
  static const auto all = [] {
    boost::unordered_flat_set<std::string_view> out;
    for (const auto& bundle : bundles()) {
      for (const auto& host : bundle.hosts) {
        if (!has(host.risks, risk::multi_tenant) && !has(host.risks, risk::upload)) out.insert(host.host);
      }
    }
    return out;
  }();
  return all.contains(name);
}

// True where the public suffix above a name is one that its owner lets out (the list's private section).
bool is_let_out(std::string_view name) {
  const psl_ctx_t* list = psl_builtin();
  const std::string text(name);
  const char* suffix = list == nullptr ? nullptr : psl_unregistrable_domain(list, text.c_str());
  return suffix != nullptr &&
         psl_is_public_suffix2(list, suffix, PSL_TYPE_PRIVATE | PSL_TYPE_NO_STAR_RULE) != 0;
}

}  // namespace

std::optional<host_risk> risk_of(const core::host_name& name) {
  if (is_known_harmless(name.view())) return std::nullopt;
  const known_risk* gravest = nullptr;
  const name_suffixes suffixes(name.view());
  for (std::size_t i = 0; i < suffixes.count(); ++i) {
    const auto found = by_name().find(suffixes.text(i));
    if (found == by_name().end()) continue;
    for (const auto* known : found->second) {
      // Deeper names under a suffix of tenants are tenants', too.
      const bool covers = known->pattern.matches(name) || (known->tenants && i > 0);
      if (covers && !known->partly && (gravest == nullptr || graver(*known, *gravest))) gravest = known;
    }
    // A name that stands in the table itself is not what the table says of the names around it.
    if (gravest != nullptr && i == 0) break;
  }
  if (gravest != nullptr) return host_risk{gravest->risks, gravest->tenants, gravest->why};
  if (is_let_out(name.view()))
    return host_risk{risk::multi_tenant | risk::upload, true,
                     "a name that anybody can have under a shared suffix"};
  return std::nullopt;
}

}  // namespace exeat::allowlist
