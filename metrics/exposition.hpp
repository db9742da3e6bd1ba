// What /metrics answers.
#pragma once
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "metrics/registry.hpp"

namespace exeat::metrics {

/// Sums the workers' counters, and reads the process's own numbers from /proc, whenever Collect is called.
/// Any thread; the registry must outlive it. Throws std::bad_alloc only.
class collector final : public prometheus::Collectable {
 public:
  explicit collector(const registry& source) : source_(&source) {}
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const registry* source_;
};

/// The Prometheus text format 0.0.4 of all metrics; Content-Type "text/plain; version=0.0.4; charset=utf-8".
std::string expose(const registry& source);

}  // namespace exeat::metrics
