#include "config/job_keys.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::string_view wanted_steps = "a list of phases in their order such as [setup, agent]";
constexpr std::string_view wanted_parallel = "a list of phases such as {parallel: [agent, mcp]}";

bool has_phase(const std::vector<std::vector<std::string>>& steps, std::string_view phase) {
  return std::ranges::any_of(steps,
                             [&](const auto& step) { return std::ranges::find(step, phase) != step.end(); });
}

// One name of a phase, into the last step.
void read_name(std::vector<std::vector<std::string>>& steps, const node& value, error_list& errors) {
  const auto name = read_text(value, "the name of a phase", 63, errors);
  if (!name) return;
  if (has_phase(steps, *name)) {
    errors.add(value.at, *name, "the phase stands twice in the job: each has one place in its order");
    return;
  }
  steps.back().push_back(*name);
}

void read_parallel(std::vector<std::vector<std::string>>& steps, const node& value, error_list& errors) {
  for (const auto& entry : value.entries) {
    const yaml::key_scope scope(errors, errors.key() + "." + entry.key);
    if (entry.key != "parallel") {
      constexpr std::string_view known[]{"parallel"};
      unknown_key(entry, known, {}, errors);
    } else if (entry.value.kind != node_kind::sequence || entry.value.items.empty()) {
      expected_but_found(entry.value, wanted_parallel, errors);
    } else {
      for (const auto& item : entry.value.items) read_name(steps, item, errors);
    }
  }
  if (value.entries.empty()) expected_but_found(value, wanted_parallel, errors);
}

// Calls f(phase, where, who) for every phase that a listener or an entry of its `identity` names.
template <class F>
void for_each_named_phase(const settings& s, const F& f) {
  for (const auto& listener : s.listeners) {
    const auto who = "the listener " + to_string(listener.endpoint);
    if (!listener.phase.empty()) f(listener.phase, listener.where, who);
    const auto entry = who + " (an entry of its `identity`)";
    const auto visit = [&](const auto& self, const identity_check& check) -> void {
      for (const auto& claim : check.peers) f(claim.phase, check.where, entry);
      for (const auto& claim : check.certificates) f(claim.phase, check.where, entry);
      for (const auto& claim : check.tokens) f(claim.phase, check.where, entry);
      for (const auto& claim : check.sources) f(claim.phase, check.where, entry);
      for (const auto& other : check.any_of) self(self, other);
    };
    for (const auto& check : listener.identity) visit(visit, check);
  }
}

}  // namespace

void read_job_phases(settings_draft& into, const node& value, error_list& errors) {
  if (value.kind != node_kind::sequence || value.items.empty())
    return expected_but_found(value, wanted_steps, errors);
  auto& steps = into.settings.job.phases;
  steps.clear();
  for (const auto& item : value.items) {
    steps.emplace_back();
    if (item.kind == node_kind::map) {
      read_parallel(steps, item, errors);
    } else {
      read_name(steps, item, errors);
    }
    if (steps.back().empty()) steps.pop_back();  // with an error
  }
}

std::string show_job_phases(const settings& s) {
  if (s.job.phases.empty()) return "none: no job is declared, and no phase is ever sealed";
  std::vector<std::string> steps;
  for (const auto& step : s.job.phases) {
    steps.push_back(step.size() == 1 ? step.front()
                                     : fmt::format("{{parallel: [{}]}}", fmt::join(step, ", ")));
  }
  return fmt::format("[{}]", fmt::join(steps, ", "));
}

std::string job_phases_schema() {
  return R"({"type":"array","minItems":1,"items":{"anyOf":[{"$ref":"#/$defs/phase_name"},{"type":"object","properties":{"parallel":{"type":"array","items":{"$ref":"#/$defs/phase_name"},"minItems":1}},"required":["parallel"],"additionalProperties":false}]}})";
}

void check_job(const settings& s, std::vector<error>& out) {
  if (s.job.phases.empty()) {
    if (!s.job.advance_secret_file.empty()) {
      out.push_back({.message =
                         "`job.advance_secret_file` without `job.phases`: there is nothing to advance; "
                         "name the job's phases in their order, such as `phases: [setup, agent]`"});
    }
    return;
  }
  for_each_named_phase(
      s, [&](const std::string& phase, const allowlist::mark& where, const std::string& who) {
        if (phase.empty() || has_phase(s.job.phases, phase)) return;
        out.push_back(
            {.where = where,
             .text = printable(phase),
             .message = fmt::format("{} names a phase that is not in the job, and would never be sealed "
                                    "(add it to `job.phases`, or take it out here)",
                                    who)});
      });
}

void check_job_phases(const settings& s, const allowlist::policy& policy, std::vector<error>& out) {
  std::vector<std::string_view> names;
  for (const auto& phase : policy.source().phases) names.push_back(phase.name);
  for (const auto& step : s.job.phases) {
    for (const auto& phase : step) {
      if (policy.find_phase(phase)) continue;
      out.push_back(
          {.text = printable(phase),
           .message = fmt::format("`job.phases` names a phase that {} does not have", policy.source().file),
           .nearest = nearest_word(phase, names)});
    }
  }
}

}  // namespace exeat::config
