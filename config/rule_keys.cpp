#include "config/rule_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "allowlist/bundles.hpp"
#include "allowlist/path_pattern.hpp"
#include "config/policy_values.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::array<std::string_view, 2> tls_words{"require", "any"};
constexpr std::array<std::string_view, 2> ech_words{"refuse", "allow"};

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
    {"upload_limit", nothing_gets_through},
    {"download_limit", nothing_gets_through},
    {"accept_risk", nothing_gets_through},
};

constexpr std::size_t max_text = 1000;

// Reads a text into the draft's member Outer.Inner.
template <class T, auto Outer, auto Inner>
void text_into(T& into, const node& value, error_list& errors) {
  if (auto text = read_text(value, "a text", max_text, errors)) (into.*Outer).*Inner = std::move(*text);
}
template <auto Inner>
constexpr auto text_of_rule = text_into<rule_draft, &rule_draft::rule, Inner>;
template <auto Inner>
constexpr auto text_of_use = text_into<use_draft, &use_draft::notes, Inner>;

// Calls read(node) for a scalar, or for each entry of a list that has at least one.
template <class Read>
void each_of(const node& value, std::string_view wanted, error_list& errors, Read&& read) {
  if (value.kind == node_kind::scalar) return read(value);
  if (value.kind != node_kind::sequence || value.items.empty())
    return expected_but_found(value, wanted, errors);
  for (const auto& item : value.items) read(item);
}

template <class T>
void sort_once(std::vector<T>& values) {
  std::ranges::sort(values);
  const auto repeated = std::ranges::unique(values);
  values.erase(repeated.begin(), repeated.end());
}

void read_rule_host(rule_draft& into, const node& value, error_list&) {
  into.host = &value;
}
void read_rule_cidr(rule_draft& into, const node& value, error_list&) {
  into.cidr = &value;
}
void read_rule_apex(rule_draft& into, const node& value, error_list& errors) {
  into.apex = &value;
  if (const auto flag = read_bool(value, errors)) into.apex_value = *flag;
}
void read_rule_ports(rule_draft& into, const node& value, error_list& errors) {
  if (auto ports = read_ports(value, errors)) {
    into.rule.ports = std::move(*ports);
    into.rule.ports_written = true;
  }
}

void read_resolve_in(rule_draft& into, const node& value, error_list& errors) {
  into.resolve_in = &value;
  each_of(value, "a list of at least one prefix", errors, [&](const node& item) {
    if (const auto prefix = read_cidr(item, errors)) into.terms.resolve_in.push_back(*prefix);
  });
}

void read_methods(rule_draft& into, const node& value, error_list& errors) {
  into.http_only = &value;
  each_of(value, "a list of at least one method", errors, [&](const node& item) {
    auto text = read_text(item, "a method", 32, errors);
    if (!text) return;
    const auto is_upper = [](char c) { return (c >= 'A' && c <= 'Z') || c == '-'; };
    std::string upper;
    for (const char c : *text) upper += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    if (!std::ranges::all_of(*text, is_upper)) {
      errors.add(item.at, *text, "a method is written in capitals",
                 std::ranges::all_of(upper, is_upper) ? upper : std::string());
    } else if (*text == "CONNECT") {
      errors.add(item.at, *text, "CONNECT opens a tunnel, in which nobody sees methods: leave `methods` out");
    } else {
      into.terms.methods.push_back(std::move(*text));
    }
  });
  sort_once(into.terms.methods);
}

void read_paths(rule_draft& into, const node& value, error_list& errors) {
  into.http_only = &value;
  each_of(value, "a list of at least one path", errors, [&](const node& item) {
    auto text = read_text(item, "a path", max_text, errors);
    if (!text) return;
    if (const auto fault = allowlist::path_pattern_fault(*text); !fault.empty()) {
      errors.add(item.at, *text, std::string(fault));
    } else {
      into.terms.paths.push_back(std::move(*text));
    }
  });
  sort_once(into.terms.paths);
}

// What `finish` below asks of the rule besides, as far as a schema can say it.
constexpr std::string_view beside_host = R"({"required":["host"]})";
constexpr std::string_view beside_wildcard =
    R"({"required":["host"],"properties":{"host":{"pattern":"^\\*"}}})";
constexpr std::string_view http_only =
    R"({"required":["ports"],"properties":{"tls":false,"ech":false,"ports":{"not":{"anyOf":[{"enum":[443,"443","any"]},{"type":"array","contains":{"enum":[443,"443"]}}]}}}})";
constexpr value_schema method_list{
    .json =
        R"({"anyOf":[{"$ref":"#/$defs/method"},{"type":"array","items":{"$ref":"#/$defs/method"},"minItems":1}]})",
    .beside = http_only};
constexpr value_schema path_list{
    .json =
        R"({"anyOf":[{"$ref":"#/$defs/path_pattern"},{"type":"array","items":{"$ref":"#/$defs/path_pattern"},"minItems":1}]})",
    .beside = http_only};
constexpr value_schema name_budget{
    .json =
        R"({"anyOf":[{"type":"integer","minimum":1,"maximum":1000000},{"type":"string","pattern":"^[0-9]+$"}]})",
    .beside = beside_wildcard};
constexpr value_schema bundle_name{.json = R"({"$ref":"#/$defs/bundle"})", .required = true};

constexpr key_row<rule_draft> host_row{
    "host",
    schema::host,
    "host pattern",
    "one of `host` and `cidr`",
    "`x.com`: that name and nothing else. `*.x.com`: exactly one label in front. `**.x.com`: one or more "
    "labels "
    "in front. Neither wildcard covers `x.com` itself. An IP address never matches a `host`.",
    read_rule_host};
constexpr key_row<rule_draft> apex_row{"apex",
                                       schema::flag.with(beside_wildcard),
                                       "true or false",
                                       "false",
                                       "Beside a wildcard: the bare name without a label in front as well.",
                                       read_rule_apex};
constexpr std::string_view note_fallback = "none";
constexpr std::string_view risk_doc =
    "Why a host that is tagged `multi-tenant` or `upload` is reachable from an untrusted phase all the same; "
    "without it `exeat lint` calls that an error.";
constexpr std::string_view expires_doc =
    "The last day (UTC, YYYY-MM-DD) on which the rule matches. After it the refusal says `rule-expired`.";

constexpr key_row<rule_draft> allow_table[]{
    host_row,
    {"cidr", schema::prefix, "prefix", "one of `host` and `cidr`",
     "Admits IP addresses that are asked for as such, never names that resolve into it. A special-purpose "
     "address needs an entry under `addresses` with `literal: true` besides.",
     read_rule_cidr},
    apex_row,
    {"ports", schema::ports, "port, range, list or any", "443",
     "A number, a range `\"8000-8100\"`, a list of both, or `any`. Plain HTTP needs its port written down.",
     read_rule_ports},
    {"tls", one_of(tls_words).in_included(R"({"const":"require"})"), "require or any", "require",
     "`require`: a CONNECT tunnel carries TLS whose server name is the CONNECT host. `any`: nobody looks "
     "inside (SSH, a database).",
     [](rule_draft& d, const node& v, error_list& e) {
       d.tls = &v;
       if (const auto mode = read_choice<allowlist::tls_mode>(v, tls_words, e)) d.rule.tls = *mode;
     }},
    {"ech", one_of(ech_words).in_included(R"({"const":"refuse"})"), "refuse or allow", "as the phase says",
     "Whether a ClientHello may carry Encrypted ClientHello, which hides the true server name.",
     [](rule_draft& d, const node& v, error_list& e) {
       d.ech = &v;
       d.rule.ech = read_choice<allowlist::ech_mode>(v, ech_words, e);
     }},
    {"methods", method_list, "method or list", "any",
     "The methods of plain HTTP that pass: `[GET, HEAD]`. A rule with `methods` or `paths` is for plain HTTP "
     "alone: it opens no tunnel, and its `ports` must be written without 443.",
     read_methods},
    {"paths", path_list, "path or list", "any",
     "The paths of plain HTTP that pass, without their query: `/a` is that path, `*` a whole segment, "
     "`/a/**` all under `/a/`. A path that can be read in more than one way (`..`, `//`, needless escapes) "
     "never passes.",
     read_paths},
    {"resolve_in", schema::prefixes.with(beside_host), "prefix or list",
     "any address that the guard lets through",
     "Every address that the name resolves to must lie in one of these prefixes, on top of the guard.",
     read_resolve_in},
    {"max_names", name_budget, "number", "no limit",
     "Beside a wildcard: how many distinct names it may be used for, per job. Counted before a name is "
     "looked up; kept over a reload.",
     [](rule_draft& d, const node& v, error_list& e) {
       constexpr std::uint64_t most = 1'000'000;
       d.max_names = &v;
       if (const auto count = read_count(v, 1, most, e))
         d.terms.max_names = static_cast<std::uint32_t>(*count);
     }},
    {"upload_limit", schema::limit, "size", "no limit", upload_limit_doc,
     [](rule_draft& d, const node& v, error_list& e) { read_limit(d.terms.limits.upload, v, e); }},
    {"download_limit", schema::limit, "size", "no limit", download_limit_doc,
     [](rule_draft& d, const node& v, error_list& e) { read_limit(d.terms.limits.download, v, e); }},
    {"reason", schema::text, "text", note_fallback, "Why the rule is there.",
     text_of_rule<&allowlist::rule::reason>},
    {"owner", schema::text, "text", note_fallback, "Who answers for it.",
     text_of_rule<&allowlist::rule::owner>},
    {"ticket", schema::text, "text", note_fallback, "Where it was decided.",
     text_of_rule<&allowlist::rule::ticket>},
    {"accept_risk", schema::text, "text", note_fallback, risk_doc,
     text_of_rule<&allowlist::rule::accept_risk>},
    {"expires", schema::date, "date", "never", expires_doc,
     [](rule_draft& d, const node& v, error_list& e) { d.rule.expires = read_date(v, e); }},
};

constexpr key_row<use_draft> use_table[]{
    {"use", bundle_name, "bundle", "required",
     "Every host of the bundle (`exeat bundles NAME` lists them). A rule that is written out for the same "
     "host governs before the bundle's.",
     [](use_draft& d, const node& v, error_list& e) {
       d.name = &v;
       if (auto name = read_text(v, "a bundle", 64, e)) d.bundle = std::move(*name);
     }},
    {"reason", schema::text, "text", "each host's own", "Why it is there.",
     text_of_use<&allowlist::rule::reason>},
    {"owner", schema::text, "text", note_fallback, "Who answers for it.",
     text_of_use<&allowlist::rule::owner>},
    {"ticket", schema::text, "text", note_fallback, "Where it was decided.",
     text_of_use<&allowlist::rule::ticket>},
    {"accept_risk", schema::text, "text", note_fallback, risk_doc,
     text_of_use<&allowlist::rule::accept_risk>},
    {"expires", schema::date, "date", "never", expires_doc,
     [](use_draft& d, const node& v, error_list& e) { d.notes.expires = read_date(v, e); }},
    {"upload_limit", schema::limit, "size", "no limit", "As of a rule, for each host of the bundle.",
     [](use_draft& d, const node& v, error_list& e) { read_limit(d.limits.upload, v, e); }},
    {"download_limit", schema::limit, "size", "no limit", "As of a rule, for each host of the bundle.",
     [](use_draft& d, const node& v, error_list& e) { read_limit(d.limits.download, v, e); }},
};

constexpr key_row<rule_draft> deny_table[]{
    host_row,
    {"cidr", schema::prefix, "prefix", "one of `host` and `cidr`",
     "Refuses the addresses in it, asked for as such or as what a name resolves to, whatever the name.",
     read_rule_cidr},
    apex_row,
    {"ports", schema::ports, "port, range, list or any", "any", "The ports that are refused.",
     read_rule_ports},
    {"final", schema::flag.in_included("false"), "true or false", "false",
     "An included file that allows what this refuses is an error instead of being of no effect. In the base "
     "policy only.",
     [](rule_draft& d, const node& v, error_list& e) {
       d.final = &v;
       if (const auto flag = read_bool(v, e)) d.rule.final = *flag;
     }},
    {"reason", schema::text, "text", note_fallback, "Why the rule is there.",
     text_of_rule<&allowlist::rule::reason>},
    {"owner", schema::text, "text", note_fallback, "Who answers for it.",
     text_of_rule<&allowlist::rule::owner>},
    {"ticket", schema::text, "text", note_fallback, "Where it was decided.",
     text_of_rule<&allowlist::rule::ticket>},
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

std::optional<allowlist::rule> finish(rule_draft& draft, const node& item, bool deny, error_list& errors) {
  if ((draft.host == nullptr) == (draft.cidr == nullptr)) {
    errors.add(item.at, {},
               draft.host == nullptr ? "the rule names neither a `host` nor a `cidr`"
                                     : "`host` and `cidr` do not go together: write two rules");
    return std::nullopt;
  }
  check_http_only(draft, errors);
  if (draft.cidr != nullptr) {
    for (const auto* misplaced : {draft.apex, draft.max_names, draft.resolve_in}) {
      if (misplaced == nullptr) continue;
      errors.add(misplaced->at, misplaced->text,
                 misplaced == draft.resolve_in
                     ? "`resolve_in` belongs beside a `host`: an address is not looked up"
                 : misplaced == draft.apex ? "`apex` belongs beside a wildcard `host`"
                                           : "`max_names` belongs beside a wildcard `host`");
    }
    const yaml::key_scope scope(errors, "cidr");
    const auto prefix = read_cidr(*draft.cidr, errors);
    if (!prefix) return std::nullopt;
    draft.rule.what = *prefix;
  } else {
    const yaml::key_scope scope(errors, "host");
    auto pattern = read_host(*draft.host, deny, errors);
    if (!pattern) return std::nullopt;
    if (pattern->depth == allowlist::depth::exact) {
      if (draft.apex != nullptr)
        errors.add(draft.apex->at, draft.apex->text, "`apex` belongs beside a wildcard `host`");
      if (draft.max_names != nullptr)
        errors.add(draft.max_names->at, draft.max_names->text,
                   "`max_names` belongs beside a wildcard `host`");
    }
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
    rule.what = std::move(*pattern);
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

std::span<const key_row<rule_draft>> allow_rows() noexcept {
  return allow_table;
}
std::span<const key_row<use_draft>> use_rows() noexcept {
  return use_table;
}
std::span<const key_row<rule_draft>> deny_rows() noexcept {
  return deny_table;
}
std::span<const refused_key> unsupported_keys() noexcept {
  return not_yet;
}

void read_limit(std::optional<std::uint64_t>& into, const node& value, error_list& errors) {
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  into = read_size(value, 1, most, false, errors);
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
