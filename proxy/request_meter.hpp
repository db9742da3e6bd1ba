// How many requests may still be let through: the limits of a rule, its phase and its job.
#pragma once
#include <boost/container/static_vector.hpp>
#include <string>
#include <string_view>

#include "allowlist/rule.hpp"
#include "proxy/budget.hpp"
#include "proxy/meter.hpp"

namespace exeat::proxy {

/// As a meter of octets: one for each rule with a `request_limit`, and one for each phase under one.
/// Immutable but for the counts; thread-safe.
class request_meter {
 public:
  explicit request_meter(bool enforced) noexcept : enforced_(enforced) {}
  /// From the narrowest scope to the widest, at most three.
  void add(const allowlist::transfer_limits& limits, budget_book& book, std::string_view key,
           std::string_view whose);
  bool empty() const noexcept { return lines_.empty(); }

  /// Counts one more request. False where that exceeds a limit; then it is counted in `audit` alone, which
  /// lets it pass all the same.
  bool charge() const noexcept;
  /// True where the next charge() would be false.
  bool is_used_up() const noexcept { return used_up_line() != nullptr; }
  /// "request_limit 100 of agent/x.com:443 is used up", of the first one that is; empty where none is.
  std::string shortage() const;

 private:
  const meter::line* used_up_line() const noexcept;

  boost::container::static_vector<meter::line, 3> lines_;
  bool enforced_;
};

}  // namespace exeat::proxy
