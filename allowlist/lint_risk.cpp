#include "allowlist/lint_risk.hpp"

#include <libpsl.h>

#include <string>
#include <string_view>
#include <vector>

namespace exeat::allowlist {
namespace {

int gravity(const known_risk& known) {
  if (known.tenants) return 3;
  return has(known.risks, risk::upload) ? 2 : 1;
}

bool is_exact(const rule& rule) {
  return std::get<host_pattern>(rule.what).depth == depth::exact;
}

// True where a name that `inner`, which stands `labels` labels below the name of `outer` (none: the same),
// covers is one that `outer` covers, too.
bool meets(const host_pattern& outer, const host_pattern& inner, std::size_t labels) {
  if (labels == 0) {
    const auto bare = [](const host_pattern& p) { return p.depth == depth::exact || p.apex; };
    return (bare(outer) && bare(inner)) || (outer.depth != depth::exact && inner.depth != depth::exact);
  }
  if (outer.depth == depth::any_labels) return true;
  return outer.depth == depth::one_label && labels == 1 && (inner.depth == depth::exact || inner.apex);
}

class finder {
 public:
  explicit finder(const policy::compiled& policy, scope phase) : policy_(policy), phase_(phase) {}

  risk_table run() {
    for (const auto& known : known_risks()) {
      note_wider(known);
      by_name_[known.pattern.name.view()].push_back(&known);
    }
    for (const auto& rule : policy_.source.phases[phase_].allow) {
      if (const auto* pattern = std::get_if<host_pattern>(&rule.what)) note_narrower(rule, *pattern);
    }
    return std::move(found_);
  }

 private:
  void note(const rule& rule, const known_risk& known) {
    const auto [place, fresh] = found_.try_emplace(&rule, &known);
    if (!fresh && graver(known, *place->second)) place->second = &known;
  }

  // Rules that take in all of it, or a name of it that nobody thought of.
  void note_wider(const known_risk& known) {
    const auto name = known.pattern.name.view();
    if (known.pattern.depth == depth::exact || known.pattern.apex) {
      policy_.hosts.visit(phase_, name_suffixes(name), [&](const rule& rule) {
        if (!known.partly || !is_exact(rule)) note(rule, known);
        return false;
      });
    }
    if (known.pattern.depth == depth::exact) return;
    const auto stranger = "another--owner." + std::string(name);
    policy_.hosts.visit(phase_, name_suffixes(stranger), [&](const rule& rule) {
      if (!is_exact(rule)) note(rule, known);
      return false;
    });
  }

  // Rules for names under a wildcard of it. One tenant is nobody's business but the policy's.
  void note_narrower(const rule& rule, const host_pattern& pattern) {
    const name_suffixes names(pattern.name.view());
    for (std::size_t i = 0; i < names.count(); ++i) {
      const auto found = by_name_.find(names.text(i));
      if (found == by_name_.end()) continue;
      for (const auto* known : found->second) {
        if (!known->tenants && !known->partly && meets(known->pattern, pattern, i)) note(rule, *known);
      }
    }
  }

  const policy::compiled& policy_;
  scope phase_;
  boost::unordered_flat_map<std::string_view, std::vector<const known_risk*>> by_name_;
  risk_table found_;
};

}  // namespace

bool graver(const known_risk& a, const known_risk& b) noexcept {
  return gravity(a) > gravity(b);
}

risk_table risks_of(const policy::compiled& policy, scope phase) {
  return finder(policy, phase).run();
}

bool covers_a_whole_domain(const host_pattern& pattern) {
  if (pattern.depth != depth::any_labels) return false;
  const std::string name(pattern.name.view());
  const auto dot = name.find('.');
  return dot != std::string::npos && psl_builtin() != nullptr &&
         psl_is_public_suffix(psl_builtin(), name.c_str() + dot + 1) != 0;
}

bool names_a_public_suffix(const host_pattern& pattern) {
  if (pattern.depth != depth::exact) return false;
  const std::string name(pattern.name.view());
  // A single label is some machine of the own network far more often than a top-level domain.
  return name.contains('.') && psl_builtin() != nullptr &&
         psl_is_public_suffix(psl_builtin(), name.c_str()) != 0;
}

}  // namespace exeat::allowlist
