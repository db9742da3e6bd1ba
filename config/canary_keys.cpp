#include "config/canary_keys.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/policy_values.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::array<std::string_view, 2> action_words{"alert", "lockdown"};
constexpr std::size_t most_canaries = 64;

void read_names(allowlist::phase& into, const node& value, error_list& errors) {
  if (value.kind != node_kind::sequence || value.items.empty())
    return expected_but_found(value, "a list of at least one host name", errors);
  if (value.items.size() > most_canaries)
    return errors.add(value.at, {}, fmt::format("more than {} canaries in one phase", most_canaries));
  for (const auto& item : value.items) {
    const auto pattern = read_host(item, true, errors);
    if (!pattern) continue;
    if (pattern->depth != allowlist::depth::exact) {
      errors.add(item.at, item.text,
                 "a canary is one name: what nobody knows nobody hits by chance, a wildcard everybody does");
    } else if (std::ranges::find(into.canaries, pattern->name, &allowlist::canary::name) !=
               into.canaries.end()) {
      errors.add(item.at, item.text, "the name stands in this list already");
    } else {
      into.canaries.push_back({pattern->name, errors.mark(item.at)});
    }
  }
}

constexpr value_schema name_list{.json = R"({"$ref":"#/$defs/canaries"})", .required = true};

constexpr key_row<allowlist::phase> canary_table[]{
    {"names", name_list, "list of host names", "required", "As in the short form.", read_names},
    {"action", one_of(action_words), "alert or lockdown", "alert",
     "What a request for one of them sets off besides its refusal, the metric and the line at `error`. "
     "`lockdown`: every phase of the job is sealed; only where the listener's identity proves the job.",
     [](allowlist::phase& p, const node& v, error_list& e) {
       if (const auto action = read_choice<allowlist::canary_action>(v, action_words, e))
         p.canary_action = *action;
     }},
};

}  // namespace

std::span<const key_row<allowlist::phase>> canary_rows() noexcept {
  return canary_table;
}

void read_canary(allowlist::phase& into, const node& value, error_list& errors) {
  if (value.kind == node_kind::sequence) return read_names(into, value, errors);
  if (!read_map(into, value, "a list of host names, or a map such as {names: [NAME], action: lockdown}",
                canary_rows(), {}, errors))
    return;
  if (std::ranges::none_of(value.entries, [](const yaml::entry& e) { return e.key == "names"; }))
    errors.add(value.at, {}, "the canary has no `names`");
}

}  // namespace exeat::config
