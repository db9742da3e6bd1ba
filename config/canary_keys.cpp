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

// Whether a source of identity can say which of the opened jobs is asking.
bool names_job(const identity_check& check) {
  const auto has_job = [](const certificate_claim& claim) { return claim.pattern.contains("{job}"); };
  return check.job_tokens || std::ranges::any_of(check.certificates, has_job) ||
         std::ranges::any_of(check.any_of, names_job);
}

// A loopback port by itself proves nothing; a unix socket is the kernel's to guard.
bool takes_anybody(const listener& listener) {
  return std::holds_alternative<tcp_endpoint>(listener.endpoint) &&
         std::ranges::all_of(listener.identity, [](const identity_check& check) {
           return check.kind == identity_check::source::listener;
         });
}

}  // namespace

std::span<const key_row<allowlist::phase>> canary_rows() noexcept {
  return canary_table;
}

void check_lockdown(const settings& settings, const allowlist::policy& policy, std::vector<error>& out) {
  const bool has_jobs =
      !settings.job.phases.empty() || std::ranges::any_of(settings.listeners, [](const listener& listener) {
        return std::ranges::any_of(listener.identity, names_job);
      });
  for (const auto& phase : policy.source().phases) {
    if (phase.canaries.empty() || phase.canary_action != allowlist::canary_action::lockdown) continue;
    const auto& where = phase.canaries.front().where;
    if (!has_jobs) {
      out.push_back({.where = where,
                     .text = phase.name,
                     .message =
                         "a canary with `action: lockdown` seals the job, but exeat.yaml declares none "
                         "(`job.phases`, or a listener whose `identity` names jobs)"});
    }
    for (const auto& listener : settings.listeners) {
      if (listener.phase != phase.name || !takes_anybody(listener)) continue;
      out.push_back({.where = where,
                     .text = phase.name,
                     .message = fmt::format("a canary with `action: lockdown` would let whoever reaches the "
                                            "listener {} seal the job: give that an `identity` that proves "
                                            "who asks, or make it a unix socket",
                                            to_string(listener.endpoint))});
    }
  }
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
