// Entries under `allow` and `deny` as rules: what their keys say together, and what a bundle stands for.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "allowlist/bundles.hpp"
#include "config/policy_values.hpp"
#include "config/rule_keys.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::string_view no_inspection =
    "https is not inspected by this version, so that nobody could see methods or paths in it: take `inspect` "
    "out, and keep `methods` and `paths` to rules for plain HTTP";
constexpr std::string_view base_only =
    "belongs to the base policy: an included file may hold only `allow` rules, `deny` and `tests`";

constexpr refused_key not_yet[]{{"inspect", no_inspection}};
constexpr refused_key not_in_allow[]{
    {"inspect", no_inspection},
    {"use", "`use` and `host` do not go together: write two rules"},
    {"final", "belongs to phases and to rules under `deny`"},
};
constexpr refused_key not_in_use[]{
    {"host", "`use` and `host` do not go together: write two rules"},
    {"cidr", "`use` and `cidr` do not go together: write two rules"},
    {"ports", "a bundle brings its own ports: write out the host that needs others"},
    {"apex", "a bundle brings its own"},
    {"tls", "a bundle's hosts speak TLS: write out the host that does not"},
    {"ech", "set `ech` for the phase, or write out the host that needs it"},
    {"max_names", "a bundle brings its own: write out the wildcard that needs another"},
    {"max_name_entropy", "write out the wildcard that needs it"},
    {"resolve_in", "write out the host that needs it"},
    {"methods", "write out the host that needs it"},
    {"paths", "write out the host that needs it"},
    {"inspect", no_inspection},
    {"final", "belongs to phases and to rules under `deny`"},
};
constexpr std::string_view nothing_gets_through =
    "has no meaning under `deny`: nothing of what it names gets through";
constexpr refused_key not_in_deny[]{
    {"use", "bundles are for `allow`"},
    {"methods", "is not for `deny`: a deny refuses the host whatever is asked of it"},
    {"paths", "is not for `deny`: a deny refuses the host whatever is asked of it"},
    {"inspect", nothing_gets_through},
    {"expires", "a deny that expires would open by itself one day: take it out by hand when it is due"},
    {"tls", nothing_gets_through},
    {"ech", nothing_gets_through},
    {"resolve_in", nothing_gets_through},
    {"max_names", nothing_gets_through},
    {"max_name_entropy", nothing_gets_through},
    {"upload_limit", nothing_gets_through},
    {"download_limit", nothing_gets_through},
    {"accept_risk", nothing_gets_through},
};

void keep_terms(allowlist::rule& rule, allowlist::rule_terms terms) {
  if (terms != allowlist::rule_terms{})
    rule.terms = std::make_shared<const allowlist::rule_terms>(std::move(terms));
}

void check_http_only(const rule_draft& draft, error_list& errors) {
  if (draft.http_only == nullptr) return;
  if (!draft.rule.ports_written || draft.rule.ports.contains(443)) {
    errors.add(draft.http_only->at, {},
               "`methods` and `paths` hold plain HTTP only, and 443 is https, which nobody looks into: write "
               "`ports: [80]`, and another rule for 443 if it is needed (`inspect` does not exist yet)");
  }
  for (const auto* other : {draft.tls, draft.ech}) {
    if (other != nullptr)
      errors.add(other->at, other->text,
                 "has no meaning beside `methods` and `paths`: such a rule opens no tunnel");
  }
}

void check_included(const rule_draft& draft, error_list& errors) {
  if (draft.tls != nullptr && draft.rule.tls == allowlist::tls_mode::any)
    errors.add(draft.tls->at, "tls: any", std::string(base_only));
  if (draft.ech != nullptr && draft.rule.ech == allowlist::ech_mode::allow)
    errors.add(draft.ech->at, "ech: allow", std::string(base_only));
  if (draft.final != nullptr) errors.add(draft.final->at, "final", std::string(base_only));
}

// Keys that say nothing of a single name or of addresses.
void report_beside_wildcard(const rule_draft& draft, error_list& errors) {
  const std::pair<const node*, std::string_view> keys[]{
      {draft.apex, "apex"}, {draft.max_names, "max_names"}, {draft.max_name_entropy, "max_name_entropy"}};
  for (const auto& [value, key] : keys) {
    if (value != nullptr)
      errors.add(value->at, value->text, fmt::format("`{}` belongs beside a wildcard `host`", key));
  }
}

std::optional<allowlist::rule> finish(rule_draft& draft, const node& item, bool deny, error_list& errors) {
  if ((draft.host == nullptr) == (draft.cidr == nullptr)) {
    errors.add(item.at, {},
               draft.host == nullptr ? "the rule names neither a `host` nor a `cidr`"
                                     : "`host` and `cidr` do not go together: write two rules");
    return std::nullopt;
  }
  check_http_only(draft, errors);
  if (draft.cidr != nullptr) {
    report_beside_wildcard(draft, errors);
    if (draft.resolve_in != nullptr)
      errors.add(draft.resolve_in->at, draft.resolve_in->text,
                 "`resolve_in` belongs beside a `host`: an address is not looked up");
    const yaml::key_scope scope(errors, "cidr");
    const auto prefix = read_cidr(*draft.cidr, errors);
    if (!prefix) return std::nullopt;
    draft.rule.what = *prefix;
  } else {
    const yaml::key_scope scope(errors, "host");
    auto pattern = read_host(*draft.host, deny, errors);
    if (!pattern) return std::nullopt;
    if (pattern->depth == allowlist::depth::exact) report_beside_wildcard(draft, errors);
    pattern->apex = draft.apex_value;
    draft.rule.what = *pattern;
  }
  keep_terms(draft.rule, std::move(draft.terms));
  return std::move(draft.rule);
}

allowlist::port_set ports_of(std::string_view text) {
  return text == "443" ? allowlist::port_set::of({{443, 443}})
                       : allowlist::port_set::of({{80, 80}, {443, 443}});
}

// The rules of a bundle, each as if it stood where the `use` stands.
void expand(const use_draft& draft, const allowlist::bundle& bundle, bool included,
            const allowlist::mark& where, std::vector<allowlist::rule>& into) {
  for (const auto& host : bundle.hosts) {
    auto pattern = allowlist::host_pattern::parse(host.host);
    if (!pattern) continue;  // a test of the bundles parses every one
    pattern->apex = host.apex;
    auto rule = draft.notes;
    rule.what = *pattern;
    rule.ports = ports_of(host.ports);
    rule.ports_written = host.ports != "443";  // else TLS alone, as in a rule without `ports`
    if (rule.reason.empty()) rule.reason = host.reason;
    rule.bundle = bundle.name;
    rule.included = included;
    rule.where = where;
    allowlist::rule_terms terms{.limits = draft.limits};
    if (host.max_names != 0) terms.max_names = host.max_names;
    keep_terms(rule, std::move(terms));
    into.push_back(std::move(rule));
  }
}

bool is_use(const node& item) {
  return item.kind == node_kind::map &&
         std::ranges::find(item.entries, "use", &yaml::entry::key) != item.entries.end();
}

void read_use(const node& item, bool included, error_list& errors, std::vector<allowlist::rule>& into) {
  use_draft draft;
  if (!read_map(draft, item, "a bundle such as {use: node}", use_rows(), not_in_use, errors)) return;
  if (draft.bundle.empty()) return;  // reported
  const auto* bundle = allowlist::find_bundle(draft.bundle);
  if (bundle != nullptr) return expand(draft, *bundle, included, errors.mark(item.at), into);
  std::vector<std::string_view> names;
  for (const auto& known : allowlist::bundles()) names.push_back(known.name);
  const yaml::key_scope scope(errors, "use");
  errors.add(draft.name->at, draft.bundle, "unknown bundle (`exeat bundles` lists them)",
             nearest_word(draft.bundle, names));
}

}  // namespace

std::span<const refused_key> unsupported_keys() noexcept {
  return not_yet;
}

std::vector<allowlist::rule> read_rules(const node& list, rule_list kind, error_list& errors) {
  const bool deny = kind == rule_list::deny || kind == rule_list::included_deny;
  const bool included = kind == rule_list::included_allow || kind == rule_list::included_deny;
  std::vector<allowlist::rule> rules;
  if (list.kind != node_kind::sequence) {
    expected_but_found(list, "a list of rules (`[]` for none)", errors);
    return rules;
  }
  rules.reserve(list.items.size());
  for (const auto& item : list.items) {
    if (!deny && is_use(item)) {
      read_use(item, included, errors, rules);
      continue;
    }
    rule_draft draft;
    draft.rule.ports = deny ? allowlist::port_set::any() : allowlist::port_set::of({{443, 443}});
    draft.rule.where = errors.mark(item.at);
    draft.rule.included = included;
    const bool is_map =
        deny
            ? read_map(draft, item, "a rule such as {host: example.org}", deny_rows(), not_in_deny, errors)
            : read_map(draft, item, "a rule such as {host: example.org}", allow_rows(), not_in_allow, errors);
    if (!is_map) continue;
    if (included) check_included(draft, errors);
    if (auto rule = finish(draft, item, deny, errors)) rules.push_back(std::move(*rule));
  }
  return rules;
}

}  // namespace exeat::config
