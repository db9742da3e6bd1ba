#include "cli/policy_hold.hpp"

#include <utility>
#include <vector>

#include "cli/diff_words.hpp"

namespace exeat::cli {
namespace {

std::expected<allowlist::policy_diff, std::string> compare(const allowlist::policy& before,
                                                           const allowlist::policy& after,
                                                           std::chrono::sys_seconds now) {
  if (before.source().digest == after.source().digest) return allowlist::policy_diff{};
  return allowlist::diff(before, after, now);
}

}  // namespace

policy_change::policy_change(config::shared_policy before, config::shared_policy after,
                             std::chrono::sys_seconds now)
    : before_(std::move(before)), after_(std::move(after)), diff_(compare(*before_, *after_, now)) {}

std::optional<admin::held_state> policy_change::widening(const jobs::job& job) const {
  if (!diff_) return admin::held_state{.findings = 1, .first = diff_.error()};
  std::vector<std::string> wider;
  for (const auto& phase : diff_->widened_untrusted) {
    const auto step = job.plan().step_of(phase);
    if (step && !job.is_sealed(*step)) wider.push_back(phase);
  }
  if (wider.empty()) return std::nullopt;
  auto lines = wider_lines(*diff_, {*before_, *after_}, wider);
  if (lines.empty()) lines.push_back("phase " + wider.front() + " is wider");
  return admin::held_state{.findings = lines.size(), .first = std::move(lines.front())};
}

}  // namespace exeat::cli
