// Whether a policy has to wait for a job's end.
#pragma once
#include <chrono>
#include <expected>
#include <optional>
#include <string>

#include "admin/job_state.hpp"
#include "allowlist/diff.hpp"
#include "config/load.hpp"
#include "jobs/job.hpp"

namespace exeat::cli {

/// One policy in the place of another, compared once for all jobs. Any thread.
class policy_change {
 public:
  /// May take seconds for large policies.
  policy_change(config::shared_policy before, config::shared_policy after, std::chrono::sys_seconds now);

  /// What opens in the untrusted phases that the job has not sealed: it is in them, or may come to them.
  /// Nothing: the new policy may take the place of the old. Policies that cannot be compared count as wider.
  std::optional<admin::held_state> widening(const jobs::job& job) const;

 private:
  config::shared_policy before_;
  config::shared_policy after_;
  std::expected<allowlist::policy_diff, std::string> diff_;
};

}  // namespace exeat::cli
