#include "config/policy_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/canary_keys.hpp"
#include "config/destination.hpp"
#include "config/policy_values.hpp"
#include "config/rule_keys.hpp"
#include "core/reason.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::array<std::string_view, 2> ech_words{"refuse", "allow"};
constexpr std::array<std::string_view, 2> mode_words{"enforce", "audit"};
constexpr std::array<std::string_view, 2> hint_words{"code", "full"};
constexpr std::array<std::string_view, 3> expect_words{"allow", "deny", "would_deny"};

// What a policy and the guard of literals can answer a test; the rest needs a real request.
constexpr auto can_be_tested = [] {
  using core::reason;
  return std::array{reason::allowed,
                    reason::no_rule,
                    reason::deny_rule,
                    reason::canary,
                    reason::rule_expired,
                    reason::port_not_allowed,
                    reason::scheme_not_allowed,
                    reason::ip_literal,
                    reason::address_forbidden,
                    reason::address_denied,
                    reason::http_only,
                    reason::method_not_allowed,
                    reason::path_not_allowed,
                    reason::name_entropy};
}();
const auto tested_codes = [] {
  std::array<std::string_view, can_be_tested.size()> codes;
  std::ranges::transform(can_be_tested, codes.begin(), core::code_of);
  return codes;
}();

// Lists of maps, each of which is a table below or in config/rule_keys.cpp.
constexpr value_schema rules_to_allow{.json = R"({"type":"array","items":{"$ref":"#/$defs/allow"}})"};
constexpr value_schema rules_to_deny{.json = R"({"type":"array","items":{"$ref":"#/$defs/deny"}})"};
constexpr value_schema exception_list{.json = R"({"type":"array","items":{"$ref":"#/$defs/exception"}})"};
constexpr value_schema test_list{.json = R"({"type":"array","items":{"$ref":"#/$defs/test"}})"};
constexpr value_schema phase_map{
    .json =
        R"({"type":"object","propertyNames":{"$ref":"#/$defs/phase_name"},"additionalProperties":{"$ref":"#/$defs/phase"},"minProperties":1,"maxProperties":1000})",
    .required = true};
constexpr value_schema included_phase_map{
    .json =
        R"({"type":"object","propertyNames":{"$ref":"#/$defs/phase_name"},"additionalProperties":{"$ref":"#/$defs/phase"},"maxProperties":1000})"};
constexpr value_schema include_list{
    .json =
        R"({"anyOf":[{"$ref":"#/$defs/path"},{"type":"array","items":{"$ref":"#/$defs/path"},"maxItems":100}]})"};
constexpr value_schema test_url{.json = R"({"type":"string","minLength":1,"maxLength":1000})",
                                .required = true};

constexpr std::string_view note_fallback = "none";
constexpr std::size_t max_text = 1000;

// Reads a text into the draft's member Outer.Inner.
template <class T, auto Outer, auto Inner>
void text_into(T& into, const node& value, error_list& errors) {
  if (auto text = read_text(value, "a text", max_text, errors)) (into.*Outer).*Inner = std::move(*text);
}
template <auto Inner>
constexpr auto text_of_test = text_into<test_draft, &test_draft::test, Inner>;

constexpr key_row<exception_draft> exception_table[]{
    {"cidr", schema::prefix.must(), "prefix", "required",
     "The special-purpose addresses that may be dialled. Keep it narrow.",
     [](exception_draft& d, const node& v, error_list& e) {
       d.cidr = &v;
       if (const auto prefix = read_cidr(v, e)) {
         d.exception.prefix = *prefix;
         d.cidr_valid = true;
       }
     }},
    {"hosts", schema::hosts, "list of host patterns", "none", "The names that may resolve into the prefix.",
     [](exception_draft& d, const node& v, error_list& e) {
       d.hosts_written = true;
       if (v.kind != node_kind::sequence || v.items.empty()) {
         return expected_but_found(v, "a list of at least one host", e);
       }
       for (const auto& item : v.items) {
         if (const auto host = read_host(item, false, e)) d.exception.hosts.push_back(*host);
       }
     }},
    {"literal", schema::flag, "true or false", "false",
     "The prefix may also be asked for as an IP address (a `cidr` rule must allow it besides).",
     [](exception_draft& d, const node& v, error_list& e) {
       if (const auto flag = read_bool(v, e)) d.exception.literal = *flag;
     }},
    {"reason", schema::text, "text", note_fallback, "Why the exception is there.",
     text_into<exception_draft, &exception_draft::exception, &allowlist::address_exception::reason>},
};

constexpr key_row<allowlist::phase> phase_table[]{
    {"untrusted", schema::flag, "true or false", "true",
     "Whether what runs in the phase may be hostile. Sets the defaults of `hints` and `ech`.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       if (const auto flag = read_bool(v, e)) p.untrusted = *flag;
     }},
    {"mode", one_of(mode_words), "enforce or audit", "enforce",
     "`audit` lets everything through and logs what would have been refused as `would_deny`.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       if (const auto mode = read_choice<allowlist::phase_mode>(v, mode_words, e)) p.mode = *mode;
     }},
    {"hints", one_of(hint_words), "code or full", "code; full where untrusted: false",
     "How much a refusal tells the client: reason code and decision id, or the rule to ask for as well.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       p.hints = read_choice<allowlist::hint_level>(v, hint_words, e);
     }},
    {"ech", one_of(ech_words), "refuse or allow", "refuse; allow where untrusted: false",
     "Whether a ClientHello may carry Encrypted ClientHello, which hides the true server name.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       p.ech = read_choice<allowlist::ech_mode>(v, ech_words, e);
     }},
    {"upload_limit", schema::limit, "size", "no limit",
     "As of a rule, over all that the phase sends. The rule's limit holds besides.",
     [](allowlist::phase& p, const node& v, error_list& e) { read_limit(p.limits.upload, v, e); }},
    {"download_limit", schema::limit, "size", "no limit", "The same for what it receives.",
     [](allowlist::phase& p, const node& v, error_list& e) { read_limit(p.limits.download, v, e); }},
    {"request_limit", schema::count, "number", "no limit",
     "As of a rule, over all requests of the phase. The rule's limit holds besides.",
     [](allowlist::phase& p, const node& v, error_list& e) { read_request_limit(p.limits.requests, v, e); }},
    {"time_limit", schema::duration, "duration", "no limit",
     "How long a job may use the phase, from the first request that is let through on. Then new requests are "
     "refused, and what is under way is cut.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       p.time_limit = read_duration(v, std::chrono::seconds(1), std::chrono::days(365), false, e);
     }},
    {"canary", canary_schema, "list of host names, or map", "none",
     "Host names that no honest process of the phase asks for, 64 at most, to be planted where only somebody "
     "who searches finds them (`exeat canary` makes some). A request for one is refused on any port, also in "
     "`audit`, counted in `exeat_canary_requests_total` and logged at the level `error`; the client sees the "
     "refusal of any unknown name. A name that is a canary here must not be allowed here.",
     read_canary},
    {"final", schema::flag, "true or false", "false", "No included file may add rules to the phase.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       if (const auto flag = read_bool(v, e)) p.final = *flag;
     }},
    {"allow", rules_to_allow, "list of rules", "none", "What the phase may reach; nothing else.",
     [](allowlist::phase& p, const node& v, error_list& e) { p.allow = read_rules(v, rule_list::allow, e); }},
};

constexpr key_row<allowlist::phase> included_phase_table[]{
    {"allow", rules_to_allow, "list of rules", "none",
     "Added to what the base allows in the phase. Not `tls: any`, not `ech: allow`.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       p.allow = read_rules(v, rule_list::included_allow, e);
     }},
};

constexpr std::string_view base_only =
    "belongs to the base policy: an included file may hold only `allow` rules, `deny` and `tests`";
constexpr refused_key not_in_included_phase[]{
    {"untrusted", base_only},     {"mode", base_only},           {"hints", base_only}, {"ech", base_only},
    {"upload_limit", base_only},  {"download_limit", base_only}, {"final", base_only}, {"canary", base_only},
    {"request_limit", base_only}, {"time_limit", base_only},
};
constexpr refused_key not_in_included[]{
    {"addresses", base_only},
    {"upload_limit", base_only},
    {"download_limit", base_only},
    {"request_limit", base_only},
    {"include", "an included file includes nothing: name the file in the base policy"},
};
constexpr refused_key not_in_policy[]{
    {"allow", "belongs into a phase: phases.NAME.allow"},
    {"mode", "belongs into a phase: phases.NAME.mode"},
    {"use", "belongs into a phase: phases.NAME.allow"},
    {"canary", "belongs into a phase: phases.NAME.canary"},
    {"time_limit", "belongs into a phase: phases.NAME.time_limit"},
};

void read_test_url(test_draft& into, const node& value, error_list& errors) {
  into.url = &value;
  auto text = read_text(value, "a URL", max_text, errors);
  if (!text) return;
  const auto wanted = parse_destination(*text, name_spelling::policy);
  if (!wanted) return errors.add(value.at, value.text, wanted.error());
  into.test.scheme = wanted->scheme;
  into.test.to = wanted->to;
  into.test.path = wanted->path;
  into.test.url = std::move(*text);
}

void read_test_reason(test_draft& into, const node& value, error_list& errors) {
  if (const auto index = read_word(value, tested_codes, errors)) into.test.reason = can_be_tested[*index];
}

constexpr key_row<test_draft> test_table[]{
    {"phase", schema::phase_name.must(), "phase", "required", "The phase that asks.",
     [](test_draft& d, const node& v, error_list& e) {
       d.phase = &v;
       if (auto name = read_text(v, "a phase", max_text, e)) d.test.phase = std::move(*name);
     }},
    {"url", test_url, "URL", "required",
     "What it asks for, as `exeat check` takes it: `https://HOST[:PORT]/`, `http://HOST[:PORT]/` or "
     "`HOST:PORT`. The path counts where a rule has `paths`. Names are not looked up.",
     read_test_url},
    {"method", schema::text, "method", "GET", "The method of an http URL, for rules with `methods`.",
     text_of_test<&allowlist::policy_test::method>},
    {"expect", one_of(expect_words).must(), "allow, deny or would_deny", "required",
     "`would_deny`: refused by the rules, let through because the phase is in `audit`.",
     [](test_draft& d, const node& v, error_list& e) {
       d.expect = &v;
       if (const auto word = read_choice<allowlist::expectation>(v, expect_words, e)) d.test.expect = *word;
     }},
    {"rule", schema::text, "rule id", "any",
     "The rule that must govern, as `exeat check` names it: `agent/*.x.com:443`.",
     text_of_test<&allowlist::policy_test::rule>},
    {"reason", one_of(tested_codes), "reason code", "any",
     "The reason that must come out, such as `port-not-allowed`.", read_test_reason},
};

bool is_phase_name(std::string_view name) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto rest = [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '-'; };
  return !name.empty() && name.size() <= 63 && lower(name.front()) && std::ranges::all_of(name, rest);
}

std::vector<allowlist::phase> read_phase_map(const node& map, std::span<const key_row<allowlist::phase>> rows,
                                             std::span<const refused_key> refused, error_list& errors) {
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
    if (read_map(phase, entry.value, "a phase such as {allow: []}", rows, refused, errors)) {
      phases.push_back(std::move(phase));
    }
    if (phases.size() > max_phases) {
      errors.add(entry.at, entry.key, fmt::format("more than {} phases", max_phases));
      break;
    }
  }
  return phases;
}

void read_include(allowlist::policy_source& into, const node& value, error_list& errors) {
  constexpr std::size_t most = 100;
  constexpr std::string_view wanted = "a path, or a list of paths";
  const auto take = [&](const node& item) {
    if (auto path = read_text(item, "a path", max_text, errors))
      into.includes.push_back({std::move(*path), errors.mark(item.at)});
  };
  if (value.kind == node_kind::scalar) return take(value);
  if (value.kind != node_kind::sequence) return expected_but_found(value, wanted, errors);
  if (value.items.size() > most)
    return errors.add(value.at, {}, fmt::format("more than {} included files", most));
  for (const auto& item : value.items) take(item);
}

constexpr key_row<allowlist::policy_source> policy_table[]{
    {"version", schema::version, "1", "required", "The version of the language.",
     [](allowlist::policy_source&, const node&, error_list&) {}},
    {"phases", phase_map, "map of phases", "required",
     "By name (`[a-z][a-z0-9-]*`): what each phase may reach. A listener of exeat.yaml names its phase.",
     [](allowlist::policy_source& s, const node& v, error_list& e) {
       s.phases = read_phase_map(v, phase_table, unsupported_keys(), e);
     }},
    {"deny", rules_to_deny, "list of rules", "none",
     "What no phase may reach. Beats every `allow`; order never matters.",
     [](allowlist::policy_source& s, const node& v, error_list& e) {
       s.deny = read_rules(v, rule_list::deny, e);
     }},
    {"addresses", exception_list, "list of exceptions", "none",
     "Which names may resolve to special-purpose (private, loopback, link-local, ...) addresses. Without an "
     "entry none may.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { s.addresses = read_exceptions(v, e); }},
    {"tests", test_list, "list of tests", "none",
     "Requests and the answers that they must get. Run by `exeat test`; `serve` checks that they are "
     "well-formed and does nothing else with them.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { s.tests = read_tests(v, e); }},
    {"include", include_list, "path or list", "none",
     "Files that add to this one, relative to it: `include: [team.yaml, policy.d/]`. A path that ends in a "
     "slash stands for every `*.yaml` right in that directory. What is included may hold only `allow` rules "
     "of phases that stand here, `deny` and `tests`. A rule of it that is more specific than one here "
     "governs "
     "with its own terms: what must hold for all is a limit of the phase or the job, a `deny`, or `final`.",
     read_include},
    {"upload_limit", schema::limit, "size", "no limit",
     "As of a rule, over all phases of a job. Those of rule and phase hold besides.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { read_limit(s.limits.upload, v, e); }},
    {"download_limit", schema::limit, "size", "no limit", "The same for what the job receives.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { read_limit(s.limits.download, v, e); }},
    {"request_limit", schema::count, "number", "no limit",
     "As of a rule, over all requests of a job. Those of rule and phase hold besides.",
     [](allowlist::policy_source& s, const node& v, error_list& e) {
       read_request_limit(s.limits.requests, v, e);
     }},
};

constexpr key_row<allowlist::policy_source> included_table[]{
    {"version", schema::version, "1", "required", "The version of the language.",
     [](allowlist::policy_source&, const node&, error_list&) {}},
    {"phases", included_phase_map, "map of phases", "none",
     "Phases of the base policy, each with what is added to its `allow`.",
     [](allowlist::policy_source& s, const node& v, error_list& e) {
       s.phases = read_phase_map(v, included_phase_table, not_in_included_phase, e);
     }},
    {"deny", rules_to_deny, "list of rules", "none", "What no phase may reach, besides what the base denies.",
     [](allowlist::policy_source& s, const node& v, error_list& e) {
       s.deny = read_rules(v, rule_list::included_deny, e);
     }},
    {"tests", test_list, "list of tests", "none", "As in the base policy; they see the whole.",
     [](allowlist::policy_source& s, const node& v, error_list& e) { s.tests = read_tests(v, e); }},
};

}  // namespace

std::span<const key_row<allowlist::policy_source>> policy_rows() noexcept {
  return policy_table;
}
std::span<const refused_key> keys_refused_in_policy() noexcept {
  return not_in_policy;
}
std::span<const key_row<allowlist::policy_source>> included_rows() noexcept {
  return included_table;
}
std::span<const key_row<allowlist::phase>> included_phase_rows() noexcept {
  return included_phase_table;
}
std::span<const refused_key> keys_refused_in_included() noexcept {
  return not_in_included;
}
std::span<const key_row<allowlist::phase>> phase_rows() noexcept {
  return phase_table;
}
std::span<const key_row<exception_draft>> exception_rows() noexcept {
  return exception_table;
}
std::span<const key_row<test_draft>> test_rows() noexcept {
  return test_table;
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

}  // namespace exeat::config
