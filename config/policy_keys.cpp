#include "config/policy_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "config/destination.hpp"
#include "config/policy_values.hpp"
#include "core/reason.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::array<std::string_view, 2> tls_words{"require", "any"};
constexpr std::array<std::string_view, 2> ech_words{"refuse", "allow"};
constexpr std::array<std::string_view, 2> mode_words{"enforce", "audit"};
constexpr std::array<std::string_view, 2> hint_words{"code", "full"};
constexpr std::array<std::string_view, 3> expect_words{"allow", "deny", "would_deny"};

#define EXEAT_NOT_YET "not supported by this version"
constexpr refused_key not_yet[]{
    {"use", EXEAT_NOT_YET},
    {"resolve_in", EXEAT_NOT_YET},
    {"max_names", EXEAT_NOT_YET},
    {"upload_limit", EXEAT_NOT_YET},
    {"methods", EXEAT_NOT_YET},
    {"paths", EXEAT_NOT_YET},
    {"download_limit", EXEAT_NOT_YET},
    {"inspect", EXEAT_NOT_YET},
    {"include", EXEAT_NOT_YET},
    {"accept_risk", EXEAT_NOT_YET},
    {"final", EXEAT_NOT_YET},
};
constexpr refused_key not_in_deny[]{
    {"use", EXEAT_NOT_YET},
    {"include", EXEAT_NOT_YET},
    {"methods", EXEAT_NOT_YET},
    {"paths", EXEAT_NOT_YET},
    {"inspect", EXEAT_NOT_YET},
    {"final", EXEAT_NOT_YET},
    {"expires", "a deny that expires would open by itself one day: take it out by hand when it is due"},
    {"tls", "has no meaning under `deny`: nothing of what it names gets through"},
    {"ech", "has no meaning under `deny`: nothing of what it names gets through"},
    {"resolve_in", "has no meaning under `deny`"},
    {"max_names", "has no meaning under `deny`"},
    {"upload_limit", "has no meaning under `deny`"},
    {"download_limit", "has no meaning under `deny`"},
};
#undef EXEAT_NOT_YET

constexpr std::size_t max_text = 1000;

// Reads a text into the member that AT names.
template <auto At, class T>
void text_into(T& into, const node& value, error_list& errors) {
  if (auto text = read_text(value, "a text", max_text, errors)) At(into) = std::move(*text);
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

constexpr auto reason_of_rule = [](rule_draft& d) -> std::string& { return d.rule.reason; };
constexpr auto owner_of_rule = [](rule_draft& d) -> std::string& { return d.rule.owner; };
constexpr auto ticket_of_rule = [](rule_draft& d) -> std::string& { return d.rule.ticket; };

constexpr key_row<rule_draft> host_row{
    "host", "host pattern", "one of `host` and `cidr`",
    "`x.com`: that name and nothing else. `*.x.com`: exactly one label in front. `**.x.com`: one or more "
    "labels "
    "in front. Neither wildcard covers `x.com` itself. An IP address never matches a `host`.",
    read_rule_host};
constexpr key_row<rule_draft> apex_row{"apex", "true or false", "false",
                                       "Beside a wildcard: the bare name without a label in front as well.",
                                       read_rule_apex};
constexpr std::string_view note_fallback = "none";

constexpr key_row<rule_draft> allow_table[]{
    host_row,
    {"cidr", "prefix", "one of `host` and `cidr`",
     "Admits IP addresses that are asked for as such, never names that resolve into it. A special-purpose "
     "address needs an entry under `addresses` with `literal: true` besides.",
     read_rule_cidr},
    apex_row,
    {"ports", "port, range, list or any", "443",
     "A number, a range `\"8000-8100\"`, a list of both, or `any`. Plain HTTP needs its port written down.",
     read_rule_ports},
    {"tls", "require or any", "require",
     "`require`: a CONNECT tunnel carries TLS whose server name is the CONNECT host. `any`: nobody looks "
     "inside (SSH, a database).",
     [](rule_draft& d, const node& v, error_list& e) {
       if (const auto mode = read_choice<allowlist::tls_mode>(v, tls_words, e)) d.rule.tls = *mode;
     }},
    {"ech", "refuse or allow", "as the phase says",
     "Whether a ClientHello may carry Encrypted ClientHello, which hides the true server name.",
     [](rule_draft& d, const node& v, error_list& e) {
       d.rule.ech = read_choice<allowlist::ech_mode>(v, ech_words, e);
     }},
    {"reason", "text", note_fallback, "Why the rule is there.", text_into<reason_of_rule, rule_draft>},
    {"owner", "text", note_fallback, "Who answers for it.", text_into<owner_of_rule, rule_draft>},
    {"ticket", "text", note_fallback, "Where it was decided.", text_into<ticket_of_rule, rule_draft>},
    {"expires", "date", "never",
     "The last day (UTC, YYYY-MM-DD) on which the rule matches. After it the refusal says `rule-expired`.",
     [](rule_draft& d, const node& v, error_list& e) { d.rule.expires = read_date(v, e); }},
};

constexpr key_row<rule_draft> deny_table[]{
    host_row,
    {"cidr", "prefix", "one of `host` and `cidr`",
     "Refuses the addresses in it, asked for as such or as what a name resolves to, whatever the name.",
     read_rule_cidr},
    apex_row,
    {"ports", "port, range, list or any", "any", "The ports that are refused.", read_rule_ports},
    {"reason", "text", note_fallback, "Why the rule is there.", text_into<reason_of_rule, rule_draft>},
    {"owner", "text", note_fallback, "Who answers for it.", text_into<owner_of_rule, rule_draft>},
    {"ticket", "text", note_fallback, "Where it was decided.", text_into<ticket_of_rule, rule_draft>},
};

constexpr key_row<exception_draft> exception_table[]{
    {"cidr", "prefix", "required", "The special-purpose addresses that may be dialled. Keep it narrow.",
     [](exception_draft& d, const node& v, error_list& e) {
       d.cidr = &v;
       if (const auto prefix = read_cidr(v, e)) {
         d.exception.prefix = *prefix;
         d.cidr_valid = true;
       }
     }},
    {"hosts", "list of host patterns", "none", "The names that may resolve into the prefix.",
     [](exception_draft& d, const node& v, error_list& e) {
       d.hosts_written = true;
       if (v.kind != node_kind::sequence || v.items.empty()) {
         return expected_but_found(v, "a list of at least one host", e);
       }
       for (const auto& item : v.items) {
         if (const auto host = read_host(item, false, e)) d.exception.hosts.push_back(*host);
       }
     }},
    {"literal", "true or false", "false",
     "The prefix may also be asked for as an IP address (a `cidr` rule must allow it besides).",
     [](exception_draft& d, const node& v, error_list& e) {
       if (const auto flag = read_bool(v, e)) d.exception.literal = *flag;
     }},
    {"reason", "text", note_fallback, "Why the exception is there.",
     text_into<[](exception_draft& d) -> std::string& { return d.exception.reason; }, exception_draft>},
};

constexpr key_row<allowlist::phase> phase_table[]{
    {"untrusted", "true or false", "true",
     "Whether what runs in the phase may be hostile. Sets the defaults of `hints` and `ech`.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       if (const auto flag = read_bool(v, e)) p.untrusted = *flag;
     }},
    {"mode", "enforce or audit", "enforce",
     "`audit` lets everything through and logs what would have been refused as `would_deny`.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       if (const auto mode = read_choice<allowlist::phase_mode>(v, mode_words, e)) p.mode = *mode;
     }},
    {"hints", "code or full", "code; full where untrusted: false",
     "How much a refusal tells the client: reason code and decision id, or the rule to ask for as well.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       p.hints = read_choice<allowlist::hint_level>(v, hint_words, e);
     }},
    {"ech", "refuse or allow", "refuse; allow where untrusted: false",
     "Whether a ClientHello may carry Encrypted ClientHello, which hides the true server name.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       p.ech = read_choice<allowlist::ech_mode>(v, ech_words, e);
     }},
    {"allow", "list of rules", "none", "What the phase may reach; nothing else.",
     [](allowlist::phase& p, const node& v, error_list& e) { p.allow = read_rules(v, false, e); }},
};

void read_test_url(test_draft& into, const node& value, error_list& errors) {
  into.url = &value;
  auto text = read_text(value, "a URL", max_text, errors);
  if (!text) return;
  const auto wanted = parse_destination(*text, name_spelling::policy);
  if (!wanted) return errors.add(value.at, value.text, wanted.error());
  into.test.scheme = wanted->scheme;
  into.test.to = wanted->to;
  into.test.url = std::move(*text);
}

void read_test_reason(test_draft& into, const node& value, error_list& errors) {
  // What a policy and the guard of literals can answer; the rest needs a real request.
  using core::reason;
  constexpr std::array can_be_tested{
      reason::allowed,      reason::no_rule,           reason::deny_rule,
      reason::rule_expired, reason::port_not_allowed,  reason::scheme_not_allowed,
      reason::ip_literal,   reason::address_forbidden, reason::address_denied};
  std::array<std::string_view, can_be_tested.size()> codes;
  std::ranges::transform(can_be_tested, codes.begin(), core::code_of);
  if (const auto index = read_word(value, codes, errors)) into.test.reason = can_be_tested[*index];
}

constexpr key_row<test_draft> test_table[]{
    {"phase", "phase", "required", "The phase that asks.",
     [](test_draft& d, const node& v, error_list& e) {
       d.phase = &v;
       if (auto name = read_text(v, "a phase", max_text, e)) d.test.phase = std::move(*name);
     }},
    {"url", "URL", "required",
     "What it asks for, as `exeat check` takes it: `https://HOST[:PORT]/`, `http://HOST[:PORT]/` or "
     "`HOST:PORT`. Paths count for nothing. Names are not looked up.",
     read_test_url},
    {"expect", "allow, deny or would_deny", "required",
     "`would_deny`: refused by the rules, let through because the phase is in `audit`.",
     [](test_draft& d, const node& v, error_list& e) {
       d.expect = &v;
       if (const auto word = read_choice<allowlist::expectation>(v, expect_words, e)) d.test.expect = *word;
     }},
    {"rule", "rule id", "any", "The rule that must govern, as `exeat check` names it: `agent/*.x.com:443`.",
     text_into<[](test_draft& d) -> std::string& { return d.test.rule; }, test_draft>},
    {"reason", "reason code", "any", "The reason that must come out, such as `port-not-allowed`.",
     read_test_reason},
};

constexpr key_row<allowlist::policy_source> policy_table[]{
    {"version", "1", "required", "The version of the language.",
     [](allowlist::policy_source&, const node&, error_list&) {}},
    {"phases", "map of phases", "required",
     "By name (`[a-z][a-z0-9-]*`): what each phase may reach. A listener of exeat.yaml names its phase.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { s.phases = read_phases(v, e); }},
    {"deny", "list of rules", "none", "What no phase may reach. Beats every `allow`; order never matters.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { s.deny = read_rules(v, true, e); }},
    {"addresses", "list of exceptions", "none",
     "Which names may resolve to special-purpose (private, loopback, link-local, ...) addresses. Without an "
     "entry none may.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { s.addresses = read_exceptions(v, e); }},
    {"tests", "list of tests", "none",
     "Requests and the answers that they must get. Run by `exeat test`; `serve` checks that they are "
     "well-formed and does nothing else with them.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { s.tests = read_tests(v, e); }},
};

std::optional<allowlist::rule> finish(rule_draft& draft, const node& item, bool deny, error_list& errors) {
  if ((draft.host == nullptr) == (draft.cidr == nullptr)) {
    errors.add(item.at, {},
               draft.host == nullptr ? "the rule names neither a `host` nor a `cidr`"
                                     : "`host` and `cidr` do not go together: write two rules");
    return std::nullopt;
  }
  if (draft.cidr != nullptr) {
    if (draft.apex != nullptr)
      errors.add(draft.apex->at, draft.apex->text, "`apex` belongs beside a wildcard `host`");
    const yaml::key_scope scope(errors, "cidr");
    const auto prefix = read_cidr(*draft.cidr, errors);
    if (!prefix) return std::nullopt;
    draft.rule.what = *prefix;
  } else {
    const yaml::key_scope scope(errors, "host");
    auto pattern = read_host(*draft.host, deny, errors);
    if (!pattern) return std::nullopt;
    if (draft.apex != nullptr && pattern->depth == allowlist::depth::exact) {
      errors.add(draft.apex->at, draft.apex->text, "`apex` belongs beside a wildcard `host`");
    }
    pattern->apex = draft.apex_value;
    draft.rule.what = *pattern;
  }
  return std::move(draft.rule);
}

bool is_phase_name(std::string_view name) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto rest = [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '-'; };
  return !name.empty() && name.size() <= 63 && lower(name.front()) && std::ranges::all_of(name, rest);
}

}  // namespace

std::span<const key_row<allowlist::policy_source>> policy_rows() noexcept {
  return policy_table;
}
std::span<const key_row<allowlist::phase>> phase_rows() noexcept {
  return phase_table;
}
std::span<const key_row<rule_draft>> allow_rows() noexcept {
  return allow_table;
}
std::span<const key_row<rule_draft>> deny_rows() noexcept {
  return deny_table;
}
std::span<const key_row<exception_draft>> exception_rows() noexcept {
  return exception_table;
}
std::span<const key_row<test_draft>> test_rows() noexcept {
  return test_table;
}
std::span<const refused_key> unsupported_keys() noexcept {
  return not_yet;
}
std::span<const refused_key> keys_refused_in_deny() noexcept {
  return not_in_deny;
}

std::vector<allowlist::rule> read_rules(const node& list, bool deny, error_list& errors) {
  std::vector<allowlist::rule> rules;
  if (list.kind != node_kind::sequence) {
    expected_but_found(list, "a list of rules (`[]` for none)", errors);
    return rules;
  }
  for (const auto& item : list.items) {
    rule_draft draft;
    draft.rule.ports = deny ? allowlist::port_set::any() : allowlist::port_set::of({{443, 443}});
    draft.rule.where = errors.mark(item.at);
    const bool is_map = deny ? read_map(draft, item, "a rule such as {host: example.org}", deny_rows(),
                                        keys_refused_in_deny(), errors)
                             : read_map(draft, item, "a rule such as {host: example.org}", allow_rows(),
                                        unsupported_keys(), errors);
    if (!is_map) continue;
    if (auto rule = finish(draft, item, deny, errors)) rules.push_back(std::move(*rule));
  }
  return rules;
}

std::vector<allowlist::address_exception> read_exceptions(const node& list, error_list& errors) {
  std::vector<allowlist::address_exception> exceptions;
  if (list.kind != node_kind::sequence) {
    expected_but_found(list, "a list of exceptions (`[]` for none)", errors);
    return exceptions;
  }
  for (const auto& item : list.items) {
    exception_draft draft;
    draft.exception.where = errors.mark(item.at);
    if (!read_map(draft, item, "an exception such as {cidr: 10.20.0.0/24, hosts: [artifacts.corp.example]}",
                  exception_rows(), unsupported_keys(), errors)) {
      continue;
    }
    if (draft.cidr == nullptr) errors.add(item.at, {}, "the exception names no `cidr`");
    if (!draft.hosts_written && !draft.exception.literal) {
      errors.add(item.at, {},
                 "the exception names neither `hosts` nor `literal: true`: nothing could use it");
    }
    exceptions.push_back(std::move(draft.exception));
  }
  return exceptions;
}

std::vector<allowlist::policy_test> read_tests(const node& list, error_list& errors) {
  std::vector<allowlist::policy_test> tests;
  if (list.kind != node_kind::sequence) {
    expected_but_found(list, "a list of tests (`[]` for none)", errors);
    return tests;
  }
  for (const auto& item : list.items) {
    test_draft draft;
    draft.test.where = errors.mark(item.at);
    if (!read_map(draft, item, "a test such as {phase: agent, url: \"https://example.org/\", expect: deny}",
                  test_rows(), {}, errors)) {
      continue;
    }
    if (draft.phase == nullptr) errors.add(item.at, {}, "the test names no `phase`");
    if (draft.url == nullptr) errors.add(item.at, {}, "the test names no `url`");
    if (draft.expect == nullptr) errors.add(item.at, {}, "the test does not say what to `expect`");
    tests.push_back(std::move(draft.test));
  }
  return tests;
}

void check_tests(const allowlist::policy_source& source, error_list& errors) {
  std::vector<std::string_view> names;
  for (const auto& phase : source.phases) names.push_back(phase.name);
  const std::set<std::string_view> known(names.begin(), names.end());
  for (const auto& test : source.tests) {
    if (test.phase.empty() || known.contains(test.phase)) continue;  // an empty one was reported
    errors.add({test.where.line, test.where.column}, test.phase, "the test names an unknown phase",
               nearest_word(test.phase, names));
  }
}

std::vector<allowlist::phase> read_phases(const node& map, error_list& errors) {
  std::vector<allowlist::phase> phases;
  if (map.kind != node_kind::map) {
    expected_but_found(map, "a map of phases", errors);
    return phases;
  }
  constexpr std::size_t max_phases = 1000;
  for (const auto& entry : map.entries) {
    if (!is_phase_name(entry.key)) {
      errors.add(entry.at, entry.key,
                 "a phase's name is a lower-case letter, then letters, digits and hyphens, 63 at most");
    }
    const yaml::key_scope scope(errors, entry.key);
    allowlist::phase phase{.name = entry.key, .where = errors.mark(entry.at)};
    if (read_map(phase, entry.value, "a phase such as {allow: []}", phase_rows(), unsupported_keys(),
                 errors)) {
      phases.push_back(std::move(phase));
    }
    if (phases.size() > max_phases) {
      errors.add(entry.at, entry.key, fmt::format("more than {} phases", max_phases));
      break;
    }
  }
  return phases;
}

}  // namespace exeat::config
