// What in a valid policy is dangerous, dead or left over.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/policy.hpp"

namespace exeat::allowlist {

/// In ascending order.
enum class severity : std::uint8_t { info, low, medium, high };
/// "info", "low", "medium", "high".
std::string_view to_string(severity severity) noexcept;
std::optional<severity> severity_of(std::string_view word) noexcept;

/// One kind of finding. The code is stable: it stands in output, SARIF and people's exceptions.
struct lint_check {
  std::string_view code;
  allowlist::severity severity;
  std::string_view title;   ///< a noun phrase
  std::string_view danger;  ///< one sentence
  std::string_view fix;     ///< one sentence
};

/// All checks, in the order of their codes.
std::span<const lint_check> lint_checks() noexcept;

struct finding {
  const lint_check* check = nullptr;
  mark where;
  /// What it is about and the particulars: "agent/x.com:443 is denied by deny/**.com:any (policy.yaml:9)".
  /// UTF-8 of the policy's author, on one line.
  std::string text;
};

struct lint_options {
  /// UTC; compared with `expires`.
  std::chrono::sys_seconds now;
  /// A rule that expires within so many days is reported; 0: none.
  std::chrono::days expires_within{30};
  /// Allow rules and exceptions without a `reason` are reported.
  bool require_reason = true;
  /// Allow rules without an `owner` are reported.
  bool require_owner = false;
};

/// Every finding, in the order of the file. About 100,000 rules a second. No I/O; any thread.
std::vector<finding> lint(const policy& policy, const lint_options& options);

}  // namespace exeat::allowlist
