#include "config/rule_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "allowlist/name_entropy.hpp"
#include "allowlist/path_pattern.hpp"
#include "config/policy_values.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::array<std::string_view, 2> tls_words{"require", "any"};
constexpr std::array<std::string_view, 2> ech_words{"refuse", "allow"};

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
constexpr value_schema entropy_limit{
    .json =
        R"({"anyOf":[{"type":"integer","minimum":4,"maximum":1338},{"type":"string","pattern":"^[0-9]+$"}]})",
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
    {"max_name_entropy", entropy_limit, "number of bits", "no limit",
     "Beside a wildcard: how many bits what stands for it in a name may carry, so that names carry no data "
     "out. "
     "Counted as if its characters were drawn at random from the smallest alphabet that holds them all: 3.4 "
     "bits for each of digits, 4 of hexadecimal, 4.8 of letters, 5.2 of letters and digits, 5.3 with "
     "hyphens, "
     "underscores and dots. `assets-7` is 43 bits, 32 random letters and digits are 166. A longer name is "
     "`name-entropy`, and is not looked up. `exeat check` shows the count of a name. With `max_names` it "
     "bounds "
     "what a job can put into names of the rule: the one times the other.",
     [](rule_draft& d, const node& v, error_list& e) {
       constexpr std::uint64_t one_letter = 4;
       d.max_name_entropy = &v;
       if (const auto bits = read_count(v, one_letter, allowlist::most_name_entropy, e))
         d.terms.max_name_entropy = static_cast<std::uint32_t>(*bits);
     }},
    {"upload_limit", schema::limit, "size", "no limit", upload_limit_doc,
     [](rule_draft& d, const node& v, error_list& e) { read_limit(d.terms.limits.upload, v, e); }},
    {"download_limit", schema::limit, "size", "no limit", download_limit_doc,
     [](rule_draft& d, const node& v, error_list& e) { read_limit(d.terms.limits.download, v, e); }},
    {"request_limit", schema::count, "number", "no limit",
     "At most this many requests (tunnels, and requests of plain HTTP) by this rule, per job. Counted when "
     "they are let through, before a name is looked up.",
     [](rule_draft& d, const node& v, error_list& e) { read_request_limit(d.terms.limits.requests, v, e); }},
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
    {"request_limit", schema::count, "number", "no limit", "As of a rule, for each host of the bundle.",
     [](use_draft& d, const node& v, error_list& e) { read_request_limit(d.limits.requests, v, e); }},
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
void read_limit(std::optional<std::uint64_t>& into, const node& value, error_list& errors) {
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  into = read_size(value, 1, most, false, errors);
}
void read_request_limit(std::optional<std::uint64_t>& into, const node& value, error_list& errors) {
  constexpr std::uint64_t most = 1'000'000'000'000;
  into = read_count(value, 1, most, errors);
}

}  // namespace exeat::config
