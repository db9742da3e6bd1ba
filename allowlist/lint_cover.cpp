#include "allowlist/lint_cover.hpp"

#include <algorithm>
#include <vector>

namespace exeat::allowlist {
namespace {

// True where an entry of reach `outer`, on the suffix `labels` labels up, takes in all that `inner` covers.
bool takes_in(depth outer, depth inner, std::size_t labels) {
  if (labels == 0) return outer == inner || (outer == depth::any_labels && inner == depth::one_label);
  return outer == depth::any_labels || (outer == depth::one_label && inner == depth::exact && labels == 1);
}

// Calls visit(rule, same) for the rules of a scope that take in all of `name` with `reach`, the most specific
// first, until it returns true; `same` where the rule names the same, on the same reach.
template <class Visit>
void visit_wider(const policy::compiled& policy, scope scope, std::string_view name, depth reach,
                 Visit&& visit) {
  const name_suffixes suffixes(name);
  for (std::size_t i = 0; i < suffixes.count(); ++i) {
    for (const auto& entry : policy.hosts.find(scope, suffixes.text(i), suffixes.hash(i))) {
      if (takes_in(entry.reach, reach, i) && visit(*entry.rule, i == 0 && entry.reach == reach)) return;
    }
  }
}

template <class Visit>
void visit_wider(const policy::compiled& policy, scope scope, const core::cidr& prefix, Visit&& visit) {
  policy.prefixes.visit(scope, prefix.base, [&](const rule& rule) {
    const auto& other = std::get<core::cidr>(rule.what);
    return other.length <= prefix.length && visit(rule, other.length == prefix.length);
  });
}

// Calls judge(visitor) for each way in which a rule matches, as long as it returns true; a visitor calls what
// it is given for each wider rule. True where all did.
template <class Judge>
bool all_forms(const policy::compiled& policy, scope scope, const rule& rule, Judge&& judge) {
  if (const auto* prefix = std::get_if<core::cidr>(&rule.what))
    return judge([&](auto&& visit) { visit_wider(policy, scope, *prefix, visit); });
  const auto& pattern = std::get<host_pattern>(rule.what);
  const auto form = [&](depth reach) {
    return judge([&, reach](auto&& visit) { visit_wider(policy, scope, pattern.name.view(), reach, visit); });
  };
  return form(pattern.depth) && (!pattern.apex || pattern.depth == depth::exact || form(depth::exact));
}

void append(std::vector<port_range>& into, const port_set& ports) {
  into.insert(into.end(), ports.ranges().begin(), ports.ranges().end());
}

const rule_terms& terms_of(const rule& rule) {
  static const rule_terms none;
  return rule.terms ? *rule.terms : none;
}

// Where two rules stand for one request, what they say of names counts from the same place.
bool same_name(const rule& a, const rule& b) {
  const auto* x = std::get_if<host_pattern>(&a.what);
  const auto* y = std::get_if<host_pattern>(&b.what);
  return x != nullptr && y != nullptr && x->name == y->name;
}

// True where `outer` passes every name that `inner` does.
bool names_no_less(const rule& outer, const rule& inner) {
  const auto& a = terms_of(outer).max_name_entropy;
  const auto& b = terms_of(inner).max_name_entropy;
  return !a || (b && *b <= *a && same_name(outer, inner));
}

// The same to whoever makes the request, however it is explained.
bool same_terms(const rule& a, const rule& b) {
  return a.tls == b.tls && a.ech == b.ech && names_no_less(a, b) &&
         (a.terms == b.terms || terms_of(a) == terms_of(b));
}

// True where `outer` refuses no request for the sake of its methods, paths, names or addresses that `inner`
// lets through.
bool asks_no_more(const rule& outer, const rule& inner) {
  const auto& a = terms_of(outer);
  const auto& b = terms_of(inner);
  return (a.methods.empty() || a.methods == b.methods) && (a.paths.empty() || a.paths == b.paths) &&
         (a.resolve_in.empty() || a.resolve_in == b.resolve_in) && names_no_less(outer, inner);
}

bool outlives(const rule& a, const rule& b) {
  if (!a.expires) return true;
  return b.expires && *a.expires >= *b.expires;
}

}  // namespace

const rule* final_deny_of(const policy::compiled& policy, const rule& allow) {
  const rule* first = nullptr;
  const bool all = all_forms(policy, policy.deny_scope(), allow, [&](auto&& each_wider) {
    const rule* found = nullptr;
    each_wider([&](const rule& deny, bool) {
      if (deny.final && deny.ports.overlaps(allow.ports)) found = &deny;
      return found != nullptr;
    });
    if (first == nullptr) first = found;
    return found != nullptr;
  });
  return all ? first : nullptr;
}

const rule* shadowing_deny(const policy::compiled& policy, const rule& allow) {
  const rule* first = nullptr;
  const bool all = all_forms(policy, policy.deny_scope(), allow, [&](auto&& each_wider) {
    std::vector<port_range> denied;
    each_wider([&](const rule& deny, bool) {
      if (!deny.ports.overlaps(allow.ports)) return false;
      if (first == nullptr) first = &deny;
      append(denied, deny.ports);
      return false;
    });
    return !denied.empty() && port_set::of(std::move(denied)).covers(allow.ports);
  });
  return all ? first : nullptr;
}

const rule* covering_rule(const policy::compiled& policy, scope scope, const rule& allow,
                          std::chrono::sys_seconds now) {
  const rule* found = nullptr;
  const bool all = all_forms(policy, scope, allow, [&](auto&& each_wider) {
    const rule* covering = nullptr;
    each_wider([&](const rule& other, bool same) {
      if (&other == &allow || is_expired(other, now) || !other.ports.overlaps(allow.ports)) return false;
      // Of what names the same, some govern already.
      if (same && governs_before(other, allow)) return false;
      // The next one to govern: it takes over all of `allow` as it is, or something changes.
      if (other.ports.covers(allow.ports) && same_terms(other, allow) && outlives(other, allow) &&
          (other.ports_written || !allow.ports_written))
        covering = &other;
      return true;
    });
    if (found == nullptr) found = covering;
    return covering != nullptr;
  });
  return all ? found : nullptr;
}

bool reaches(const policy::compiled& policy, scope scope, const rule& what, const port_set& ports,
             std::chrono::sys_seconds now) {
  return all_forms(policy, scope, what, [&](auto&& each_wider) {
    std::vector<port_range> open;
    each_wider([&](const rule& other, bool) {
      if (!is_expired(other, now) && asks_no_more(other, what)) append(open, other.ports);
      return false;
    });
    return port_set::of(std::move(open)).covers(ports);
  });
}

}  // namespace exeat::allowlist
