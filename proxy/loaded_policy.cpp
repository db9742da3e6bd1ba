#include "proxy/loaded_policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "core/units.hpp"

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
    const auto add_outer_requests = [&](request_meter& to) {
      to.add(phase.limits, book, phase_key, "phase " + phase.name);
      to.add(source.limits, book, job_key, "the job");
    };
    auto requests = std::make_unique<request_meter>(enforced);
    add_outer_requests(*requests);
    has_request_limits_ |= !requests->empty();
    requests_of_phase_.push_back(requests->empty() ? nullptr : std::move(requests));
    times_.push_back({book.clock(phase.name), phase.time_limit});
    has_time_limits_ |= phase.time_limit.has_value();

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
      }
      if (rule.terms->limits.requests) {
        auto limit = std::make_unique<request_meter>(enforced);
        limit->add(rule.terms->limits, book, rule_key, rule.id);
        add_outer_requests(*limit);
        held.requests = std::move(limit);
        has_request_limits_ = true;
      }
      count(rule.terms->limits, book, rule_key, &phase, &rule);
      if (rule.terms->max_names) {
        held.names = book.names(rule.id);
        counted_.push_back(
            {metrics::budget_kind::names, &phase, &rule, nullptr, held.names, *rule.terms->max_names});
      }
      if (held.limits || held.requests || held.names) of_rule_.emplace(&rule, std::move(held));
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
  if (limits.requests) {
    counted_.push_back(
        {metrics::budget_kind::requests, phase, rule, book.requests(key), nullptr, *limits.requests});
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

const request_meter* loaded_policy::requests_of(allowlist::phase_id phase,
                                                const allowlist::rule* rule) const noexcept {
  if (!has_request_limits_) return nullptr;
  if (rule != nullptr && rule->terms) {
    const auto found = of_rule_.find(rule);
    if (found != of_rule_.end() && found->second.requests) return found->second.requests.get();
  }
  return requests_of_phase_[static_cast<std::size_t>(phase)].get();
}

bool loaded_policy::any_time_is_up(phase_clock::time_point now) const noexcept {
  if (!has_time_limits_) return false;
  for (std::size_t i = 0; i < times_.size(); ++i) {
    if (time_is_up(static_cast<allowlist::phase_id>(i), now)) return true;
  }
  return false;
}

std::string loaded_policy::text_of(const counted& c) {
  const auto whose = c.rule != nullptr    ? c.rule->id
                     : c.phase != nullptr ? "phase " + c.phase->name
                                          : std::string("the job");
  switch (c.kind) {
    case metrics::budget_kind::upload:
      return fmt::format("upload_limit {} of {}", core::size_to_string(c.limit), whose);
    case metrics::budget_kind::download:
      return fmt::format("download_limit {} of {}", core::size_to_string(c.limit), whose);
    case metrics::budget_kind::requests:
      return fmt::format("request_limit {} of {}", c.limit, whose);
    case metrics::budget_kind::names:
      return fmt::format("max_names {} of {}", c.limit, whose);
    case metrics::budget_kind::time:
      break;
  }
  return {};
}

std::vector<std::string> loaded_policy::due_warnings(phase_clock::time_point now) const {
  std::vector<std::string> out;
  for (const auto& c : counted_) {
    const auto used = c.used();
    if (used < c.limit - c.limit / 5 || !(c.amount ? c.amount->told : c.names->told).tell(c.limit)) continue;
    // In `audit`, and after a reload, more may be used than there is.
    const auto percent =
        used >= c.limit ? 100
                        : static_cast<int>(100.0 * static_cast<double>(used) / static_cast<double>(c.limit));
    out.push_back(fmt::format("{}: {} % is used", text_of(c), percent));
  }
  if (!has_time_limits_) return out;
  for (std::size_t i = 0; i < times_.size(); ++i) {
    const auto& time = times_[i];
    if (!time.limit || time.clock->elapsed(now) < *time.limit - *time.limit / 5) continue;
    if (!time.clock->told.tell(static_cast<std::uint64_t>(time.limit->count()))) continue;
    const auto elapsed = std::min<std::chrono::milliseconds>(
        std::chrono::floor<std::chrono::milliseconds>(time.clock->elapsed(now)), *time.limit);
    out.push_back(fmt::format("time_limit {} of phase {}: {} % has passed", core::to_string(*time.limit),
                              policy->source().phases[i].name, 100 * elapsed.count() / time.limit->count()));
  }
  return out;
}

name_budget* loaded_policy::names_of(const allowlist::rule& rule) const noexcept {
  const auto found = of_rule_.find(&rule);
  return found == of_rule_.end() ? nullptr : found->second.names.get();
}

std::vector<metrics::budget_sample> loaded_policy::samples() const {
  std::vector<metrics::budget_sample> out;
  std::size_t rules = 0;
  for (const auto& c : counted_) {
    const auto used = c.used();
    if (c.rule != nullptr && (used == 0 || ++rules > most_rules_shown)) continue;
    out.push_back({.kind = c.kind,
                   .phase = c.phase != nullptr ? c.phase->name : std::string(),
                   .rule = c.rule != nullptr ? c.rule->id : std::string(),
                   .used = used,
                   .limit = c.limit});
  }
  const auto now = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < times_.size(); ++i) {
    if (!times_[i].limit) continue;
    const auto milliseconds = [](auto duration) {
      return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::milliseconds>(duration).count());
    };
    out.push_back({.kind = metrics::budget_kind::time,
                   .phase = policy->source().phases[i].name,
                   .rule = {},
                   .used = milliseconds(times_[i].clock->elapsed(now)),
                   .limit = milliseconds(*times_[i].limit)});
  }
  return out;
}

}  // namespace exeat::proxy
