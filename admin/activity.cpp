#include "admin/activity.hpp"

namespace exeat::admin {
namespace {

bool is_use(const proxy::event& event) {
  return !event.rule.empty() &&
         (event.verdict == proxy::outcome::allow || event.reason == core::reason::deny_rule ||
          core::row_of(event.reason).kind != core::reason_kind::policy);
}

}  // namespace

void activity::see(const proxy::event& event) {
  if (event.kind != proxy::event::kind::decision) return;
  const std::scoped_lock lock(mutex_);
  if (is_use(event)) {
    auto found = rules_.find(event.rule);
    if (found == rules_.end() && rules_.size() < most_rules)
      found = rules_.emplace(std::string(event.rule), rule_use{}).first;
    if (found != rules_.end()) {
      ++found->second.count;
      found->second.last = event.time;
    }
  }
  if (event.phase.empty()) return;
  std::string key(event.job);
  key.append(1, '\n').append(event.phase);
  auto found = phases_.find(key);
  if (found == phases_.end()) {
    if (phases_.size() >= most_phases) return;
    phase_use fresh{.job = std::string(event.job),
                    .phase = std::string(event.phase),
                    .first = event.time,
                    .last = event.time};
    found = phases_.emplace(std::move(key), std::move(fresh)).first;
  }
  auto& use = found->second;
  use.last = event.time;
  if (event.reason == core::reason::canary) ++use.canaries;
  switch (event.verdict) {
    case proxy::outcome::allow:
      ++use.allowed;
      break;
    case proxy::outcome::deny:
      ++use.denied;
      break;
    case proxy::outcome::would_deny:
      ++use.would_deny;
      break;
    case proxy::outcome::error:
      ++use.failed;
      break;
  }
}

rule_use activity::of_rule(std::string_view id) const {
  const std::scoped_lock lock(mutex_);
  const auto found = rules_.find(id);
  return found == rules_.end() ? rule_use{} : found->second;
}

std::vector<phase_use> activity::phases() const {
  const std::scoped_lock lock(mutex_);
  std::vector<phase_use> out;
  out.reserve(phases_.size());
  for (const auto& [key, use] : phases_) out.push_back(use);
  return out;
}

}  // namespace exeat::admin
