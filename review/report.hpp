// `exeat report`: what a person, a job summary or a CI system is told of what was decided.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "review/query.hpp"

namespace exeat::review {

/// A rule of the policy that was never needed, or a wildcard that few names needed.
struct unused_rule {
  std::string phase, rule, rule_at;
  std::string text;  ///< a clause
};

struct report {
  std::vector<blocked_group> blocked;     ///< some of each was refused; by falling count
  std::vector<blocked_group> would_deny;  ///< all of each was let through by a phase in audit mode
  std::uint64_t total = 0;                ///< refusals, in audit mode too
  std::uint64_t more_groups = 0;          ///< that are not listed above
  std::uint64_t other = 0;                ///< refusals whose destination is not known (any longer)
  std::uint64_t lost = 0;                 ///< lines that a log says it dropped
  std::uint64_t malformed = 0;            ///< lines that are none of a log's
  // Absent where the source does not know: a log has none of them, `unused` needs the policy.
  std::optional<std::vector<new_destination>> fresh;
  std::optional<std::vector<budget_use>> budgets;
  std::optional<std::vector<unused_rule>> unused;
};

/// Fills all but `unused` from the store.
answer<report> report_of(database& from, const filter& wanted);

/// What one kind of summary may have: GitHub refuses more than 1 MiB.
inline constexpr std::size_t markdown_max = 1'000'000;

/// Each is safe in its medium whatever the report holds, and ends with a newline.
std::string text_report(const report& report);
/// Cut, with a sentence, so that it has at most `most` octets (at least 10,000).
std::string markdown_report(const report& report, std::size_t most = markdown_max);
std::string json_report(const report& report);
/// SARIF 2.1.0; results without a rule of their own point at the file `policy`.
std::string sarif_report(const report& report, const std::string& policy);
std::string junit_report(const report& report);
/// Workflow commands of GitHub Actions: `::error` for what was refused, `::warning` for the rest; at most ten
/// of each, which is what GitHub shows of a step.
std::string annotations(const report& report);

}  // namespace exeat::review
