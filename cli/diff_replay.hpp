// Which requests of a decision log two policies answer differently.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <iosfwd>
#include <string>
#include <vector>

#include "allowlist/policy.hpp"

namespace exeat::cli {

/// Requests that are the same to a policy. Phase, method and destination are printable.
struct replayed {
  std::string phase;
  std::string method;
  std::string destination;  ///< "https://HOST:PORT" or "http://HOST:PORT"
  std::string before;       ///< "allowed", "denied", "would be denied (audit)", "depends on the path"
  std::string after;
  std::string before_reason;  ///< a reason code, or "no-phase"
  std::string after_reason;
  const allowlist::rule* rule = nullptr;  ///< of the new policy's answer; may be null
  std::uint64_t count = 0;
  bool is_wider = false;  ///< let through by the new one alone
};

struct replay {
  /// Those that change, what is let through by the new policy alone first, then by falling count.
  std::vector<replayed> changed;
  std::uint64_t requests = 0;  ///< in the log, understood
  std::uint64_t changed_requests = 0;
  std::uint64_t malformed = 0;      ///< lines that are none of the log's
  std::uint64_t lost = 0;           ///< lines that the log itself says it dropped
  std::uint64_t without_phase = 0;  ///< of phases that neither policy has
  std::uint64_t beyond = 0;         ///< beyond the first 100,000 distinct requests: not asked
};

/// Asks both policies the recorded requests: `decide`, and `guard` with the one address that the log names. A
/// log holds no paths: where a rule with `paths` governs, the answer depends on them. Budgets (`max_names`,
/// limits) are not replayed. The error (a sentence) names the log that cannot be read.
std::expected<replay, std::string> replay_logs(const std::vector<std::string>& files,
                                               std::istream& standard_input, const allowlist::policy& before,
                                               const allowlist::policy& after, std::chrono::sys_seconds now);

}  // namespace exeat::cli
