#include "metrics/registry.hpp"

#include <utility>

namespace exeat::metrics {

std::string_view name_of(log_sink sink) noexcept {
  switch (sink) {
    case log_sink::ring:
      return "ring";
    case log_sink::file:
      return "file";
    case log_sink::standard_output:
      return "stdout";
    case log_sink::syslog:
      return "syslog";
    case log_sink::blocked:
      return "blocked";
  }
  return "unknown";
}

registry::registry(unsigned workers) {
  workers_.reserve(workers);
  for (unsigned i = 0; i < workers; ++i) workers_.push_back(std::make_unique<worker_counters>());
}

void registry::set_policy(policy_info info) {
  const std::lock_guard lock(mutex_);
  policy_ = std::move(info);
}

std::optional<policy_info> registry::policy() const {
  const std::lock_guard lock(mutex_);
  return policy_;
}

void registry::set_budgets(budget_source source) {
  const std::scoped_lock lock(mutex_);
  budgets_ = std::move(source);
}

std::vector<budget_sample> registry::budgets() const {
  budget_source source;
  {
    const std::scoped_lock lock(mutex_);
    source = budgets_;
  }
  return source ? source() : std::vector<budget_sample>{};
}

void registry::set_review(review_source source) {
  const std::scoped_lock lock(mutex_);
  review_ = std::move(source);
}

std::optional<review_sample> registry::review() const {
  review_source source;
  {
    const std::scoped_lock lock(mutex_);
    source = review_;
  }
  if (!source) return std::nullopt;
  return source();
}

void registry::count_reload(bool ok) noexcept {
  reloads_[ok ? 1 : 0].fetch_add(1, std::memory_order_relaxed);
  last_reload_ok_.store(ok, std::memory_order_relaxed);
}

}  // namespace exeat::metrics
