#include "config/schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "allowlist/bundles.hpp"
#include "config/canary_keys.hpp"
#include "config/identity_keys.hpp"
#include "config/policy_keys.hpp"
#include "config/rule_keys.hpp"
#include "config/settings_table.hpp"
#include "config/tls_keys.hpp"
#include "config/upstream_keys.hpp"
#include "core/safe_text.hpp"

namespace exeat::config {
namespace {

struct definition {
  std::string_view name;
  std::string_view json;
};

// What several keys take. A text, a path and a pseudonym may look like a number or like true: the loader
// takes them as they are written.
constexpr definition definitions[]{
    {"text",
     R"({"type":["string","number","boolean"],"minLength":1,"maxLength":1000,"pattern":"^[^\\u0000-\\u001f\\u007f]*$"})"},
    {"path",
     R"({"type":["string","number","boolean"],"minLength":1,"maxLength":4095,"pattern":"^[^\\u0000-\\u001f\\u007f]*$"})"},
    {"phase_name", R"({"type":"string","pattern":"^[a-z][a-z0-9-]{0,62}$"})"},
    {"host_name", R"({"type":"string","minLength":1,"pattern":"^[A-Za-z0-9_.-]+$"})"},
    {"host",
     R"({"type":"string","maxLength":1024,"pattern":"^(\\*\\*?\\.)?([A-Za-z0-9_.-]|[^\\u0000-\\u007f])+$","not":{"pattern":"(^|\\.)[0-9]+\\.?$"}})"},
    {"canaries", R"({"type":"array","items":{"$ref":"#/$defs/exact_host"},"minItems":1,"maxItems":64})"},
    {"exact_host",
     R"({"type":"string","maxLength":1024,"pattern":"^([A-Za-z0-9_.-]|[^\\u0000-\\u007f])+$","not":{"pattern":"(^|\\.)[0-9]+\\.?$"}})"},
    {"prefix", R"({"type":"string","pattern":"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$"})"},
    {"port",
     R"({"anyOf":[{"type":"integer","minimum":1,"maximum":65535},{"type":"string","pattern":"^[0-9]+(-[0-9]+)?$"}]})"},
    {"ports",
     R"({"anyOf":[{"$ref":"#/$defs/port"},{"type":"array","items":{"$ref":"#/$defs/port"},"minItems":1},{"const":"any"}]})"},
    {"limit",
     R"({"anyOf":[{"type":"integer","minimum":1,"maximum":4611686018427387904},{"type":"string","pattern":"^[0-9]+(kB|MB|GB|KiB|MiB|GiB)?$"}]})"},
    {"count",
     R"({"anyOf":[{"type":"integer","minimum":1,"maximum":1000000000000},{"type":"string","pattern":"^[0-9]+$"}]})"},
    {"method", R"({"type":"string","pattern":"^[A-Z-]+$","maxLength":32,"not":{"const":"CONNECT"}})"},
    {"path_pattern", R"({"type":"string","pattern":"^/[\\u0021-\\u007e]*$","maxLength":1000})"},
    {"duration", R"({"type":"string","pattern":"^[0-9]+(ms|s|m|h|d)$"})"},
    {"duration_or_0", R"({"anyOf":[{"const":0},{"type":"string","pattern":"^(0+|[0-9]+(ms|s|m|h|d))$"}]})"},
};

// An entry names one of two keys.
constexpr std::string_view host_or_cidr = R"("oneOf":[{"required":["host"]},{"required":["cidr"]}])";
// The phase of a listener may be left out where `identity` says what decides it.
constexpr std::string_view listener_form =
    R"("oneOf":[{"required":["address"]},{"required":["unix"]}],"anyOf":[{"required":["phase"]},{"required":["identity"]}])";
constexpr std::string_view one_source =
    R"("oneOf":[{"required":["peer"]},{"required":["mtls"]},{"required":["credential"]},{"required":["source"]},{"required":["proxy_protocol"]},{"required":["any_of"]}])";
constexpr std::string_view one_alternative =
    R"("oneOf":[{"required":["peer"]},{"required":["mtls"]},{"required":["credential"]},{"required":["source"]}])";
constexpr std::string_view some_peer =
    R"("anyOf":[{"required":["uid"]},{"required":["user"]},{"required":["cgroup"]}])";
constexpr std::string_view one_name =
    R"("oneOf":[{"required":["san_uri"]},{"required":["san_dns"]},{"required":["common_name"]}])";
constexpr std::string_view some_credential =
    R"("anyOf":[{"required":["tokens"]},{"required":["jobs"],"properties":{"jobs":{"const":true}}}])";
constexpr std::string_view not_address_and_unix = R"("not":{"required":["address","unix"]})";
// An exception that nothing could use is refused.
constexpr std::string_view hosts_or_literal =
    R"("anyOf":[{"required":["hosts"]},{"required":["literal"],"properties":{"literal":{"const":true}}}])";

std::string quoted(std::string_view text) {
  std::string out;
  core::append_json_string(out, text);
  return out;
}

std::string sentence(std::string_view doc, std::string_view fallback) {
  if (fallback.empty() || fallback == "required" || fallback.starts_with("one of ")) return std::string(doc);
  return fmt::format("{} Default: {}.", doc, fallback);
}

// `schema` with a description in front.
std::string described(std::string_view schema, std::string_view description) {
  return fmt::format("{{\"description\":{},{}", quoted(description), schema.substr(1));
}

// The members of an object, each once.
struct members {
  std::string text;
  void add(std::string_view name, std::string_view schema) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", quoted(name), schema);
  }
};

// The schema of a map from the rows that read it; `more` are further members of the schema.
template <class T>
std::string map_schema(std::span<const key_row<T>> rows, bool included, std::string_view more = {}) {
  members properties;
  members dependent;
  std::string required;
  for (const auto& row : rows) {
    const bool narrowed = included && !row.schema.included.empty();
    if (narrowed && row.schema.included == "false") continue;
    properties.add(row.key, described(narrowed ? std::string(row.schema.included) : to_json(row.schema),
                                      sentence(row.doc, row.fallback)));
    if (!row.schema.beside.empty()) dependent.add(row.key, row.schema.beside);
    if (row.schema.required) required += fmt::format("{}{}", required.empty() ? "" : ",", quoted(row.key));
  }
  auto out =
      fmt::format(R"({{"type":"object","properties":{{{}}},"additionalProperties":false)", properties.text);
  if (!required.empty()) out += fmt::format(R"(,"required":[{}])", required);
  if (!dependent.text.empty()) out += fmt::format(R"(,"dependentSchemas":{{{}}})", dependent.text);
  if (!more.empty()) out.append(",").append(more);
  return out + "}";
}

// The map of the settings whose path begins with `prefix` ("" or "dns.").
std::string settings_schema(std::string_view prefix, const settings& defaults) {
  members properties;
  std::vector<std::string_view> groups;
  for (const auto& row : setting_rows()) {
    if (!row.path.starts_with(prefix)) continue;
    const auto rest = row.path.substr(prefix.size());
    const auto dot = rest.find('.');
    if (dot == std::string_view::npos) {
      const auto fallback = row.show(defaults);
      properties.add(rest, described(row.schema, sentence(row.doc, fallback)));
      continue;
    }
    const auto group = rest.substr(0, dot);
    if (std::ranges::find(groups, group) != groups.end()) continue;
    groups.push_back(group);
    properties.add(group, settings_schema(fmt::format("{}{}.", prefix, group), defaults));
  }
  return fmt::format(R"({{"type":"object","properties":{{{}}},"additionalProperties":false{}}})",
                     properties.text, prefix.empty() ? R"(,"required":["version"])" : "");
}

std::string bundle_schema() {
  std::string names;
  for (const auto& bundle : allowlist::bundles())
    names += fmt::format("{}{}", names.empty() ? "" : ",", quoted(bundle.name));
  return fmt::format(R"({{"enum":[{}]}})", names);
}

// The schema of a file: `top` with a title, `own` and those of the definitions that something refers to.
std::string whole(std::string_view title, std::string_view top, members own) {
  std::string referring = own.text;
  referring += top;
  std::array<bool, std::size(definitions)> wanted{};
  for (bool grown = true; std::exchange(grown, false);) {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i] || !referring.contains(fmt::format("\"#/$defs/{}\"", definitions[i].name))) continue;
      wanted[i] = grown = true;
      referring += definitions[i].json;
    }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i]) own.add(definitions[i].name, definitions[i].json);
  }
  return pretty_json(fmt::format(
      R"({{"$schema":"https://json-schema.org/draft/2020-12/schema","title":{},"$comment":"Written by `exeat docs` from the tables of the loader.",{},"$defs":{{{}}}}})",
      quoted(title), top.substr(1, top.size() - 2), own.text));
}

std::string policy_file(bool included) {
  members own;
  own.add("phase", included ? map_schema(included_phase_rows(), true) : map_schema(phase_rows(), false));
  own.add("allow", R"({"anyOf":[{"$ref":"#/$defs/rule"},{"$ref":"#/$defs/use"}]})");
  own.add("rule", map_schema(allow_rows(), included, host_or_cidr));
  own.add("use", map_schema(use_rows(), included));
  own.add("deny", map_schema(deny_rows(), included, host_or_cidr));
  if (!included) own.add("canary", map_schema(canary_rows(), false));
  if (!included) own.add("exception", map_schema(exception_rows(), false, hosts_or_literal));
  own.add("test", map_schema(test_rows(), included));
  own.add("bundle", bundle_schema());
  return included ? whole("A file that a policy of Exeat includes", map_schema(included_rows(), true), own)
                  : whole("policy.yaml of Exeat", map_schema(policy_rows(), false), own);
}

}  // namespace

std::string to_json(const value_schema& schema) {
  if (schema.words.empty()) return std::string(schema.json);
  std::string words;
  for (const auto word : schema.words) words += fmt::format("{}{}", words.empty() ? "" : ",", quoted(word));
  return fmt::format(R"({{"enum":[{}]}})", words);
}

std::string policy_schema() {
  return policy_file(false);
}

std::string policy_include_schema() {
  return policy_file(true);
}

std::string configuration_schema() {
  // Built without the environment, lest the schema depend on who writes it.
  settings defaults;
  defaults.control.reset();
  members own;
  own.add("tls", map_schema(tls_rows(), false));
  own.add("listener", map_schema(listener_rows(), false, listener_form));
  own.add("identity_check", map_schema(check_rows(), false, one_source));
  own.add("alternative", map_schema(alternative_rows(), false, one_alternative));
  own.add("peer", map_schema(peer_rows(), false, some_peer));
  own.add("certificate_name", map_schema(certificate_rows(), false, one_name));
  own.add("credential", map_schema(credential_rows(), false, some_credential));
  own.add("token", map_schema(token_rows(), false));
  own.add("source", map_schema(source_rows(), false));
  own.add("upstream", map_schema(upstream_rows(), false));
  own.add("admin", map_schema(admin_rows(), false, not_address_and_unix));
  own.add("control", map_schema(control_rows(), false));
  return whole("exeat.yaml, the configuration of Exeat", settings_schema("", defaults), own);
}

}  // namespace exeat::config
