#include "proxy/loaded_policy.hpp"

#include <string>
#include <utility>

namespace exeat::proxy {
namespace {

// A policy may have 100,000 rules: a scrape shows those that have used something, and of those so many.
constexpr std::size_t most_rules_shown = 500;

constexpr std::string_view job_key = "job";

bool any(const allowlist::transfer_limits& limits) noexcept {
  return limits.upload || limits.download;
}

}  // namespace

loaded_policy::loaded_policy(std::shared_ptr<const allowlist::policy> loaded, metrics::phase_slots& names,
                             budget_book& book)
    : policy(std::move(loaded)) {
  const auto& source = policy->source();
  count(source.limits, book, job_key, nullptr, nullptr);
  for (const auto& phase : source.phases) {
    slots_.push_back(names.intern(phase.name));
    const auto phase_key = "phase/" + phase.name;
    const auto add_outer = [&](meter& to) {
      to.add(phase.limits, book, phase_key, "phase " + phase.name);
      to.add(source.limits, book, job_key, "the job");
    };
    count(phase.limits, book, phase_key, &phase, nullptr);
    const bool enforced = phase.mode == allowlist::phase_mode::enforce;
    auto whole = std::make_unique<meter>(enforced);
    add_outer(*whole);
    has_meters_ |= !whole->empty();
    of_phase_.push_back(whole->empty() ? nullptr : std::move(whole));

    for (const auto& rule : phase.allow) {
      if (!rule.terms) continue;
      const auto rule_key = "rule/" + rule.id;
      terms held;
      if (any(rule.terms->limits)) {
        auto limits = std::make_unique<meter>(enforced);
        limits->add(rule.terms->limits, book, rule_key, rule.id);
        add_outer(*limits);
        held.limits = std::move(limits);
        has_meters_ = true;
        count(rule.terms->limits, book, rule_key, &phase, &rule);
      }
      if (rule.terms->max_names) {
        held.names = book.names(rule.id);
        counted_.push_back(
            {metrics::budget_kind::names, &phase, &rule, nullptr, held.names, *rule.terms->max_names});
      }
      if (held.limits || held.names) of_rule_.emplace(&rule, std::move(held));
    }
  }
}

void loaded_policy::count(const allowlist::transfer_limits& limits, budget_book& book, std::string_view key,
                          const allowlist::phase* phase, const allowlist::rule* rule) {
  if (limits.upload) {
    counted_.push_back(
        {metrics::budget_kind::upload, phase, rule, book.octets(key, way::up), nullptr, *limits.upload});
  }
  if (limits.download) {
    counted_.push_back({metrics::budget_kind::download, phase, rule, book.octets(key, way::down), nullptr,
                        *limits.download});
  }
}

const meter* loaded_policy::meter_of(allowlist::phase_id phase, const allowlist::rule* rule) const noexcept {
  if (!has_meters_) return nullptr;
  if (rule != nullptr && rule->terms) {
    const auto found = of_rule_.find(rule);
    if (found != of_rule_.end() && found->second.limits) return found->second.limits.get();
  }
  return of_phase_[static_cast<std::size_t>(phase)].get();
}

name_budget* loaded_policy::names_of(const allowlist::rule& rule) const noexcept {
  const auto found = of_rule_.find(&rule);
  return found == of_rule_.end() ? nullptr : found->second.names.get();
}

std::vector<metrics::budget_sample> loaded_policy::samples() const {
  std::vector<metrics::budget_sample> out;
  std::size_t rules = 0;
  for (const auto& c : counted_) {
    const std::uint64_t used = c.octets ? c.octets->used() : c.names->size();
    if (c.rule != nullptr && (used == 0 || ++rules > most_rules_shown)) continue;
    out.push_back({.kind = c.kind,
                   .phase = c.phase != nullptr ? c.phase->name : std::string(),
                   .rule = c.rule != nullptr ? c.rule->id : std::string(),
                   .used = used,
                   .limit = c.limit});
  }
  return out;
}

}  // namespace exeat::proxy
