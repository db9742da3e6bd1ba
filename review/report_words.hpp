// What the formats of a report share.
#pragma once
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/reason.hpp"
#include "core/safe_text.hpp"
#include "core/units.hpp"
#include "review/report.hpp"

namespace exeat::review {

/// One line of printable ASCII that no runner of CI takes for a command of its own: `::x` at the start of a
/// line, `##[x` anywhere.
inline std::string visible(std::string_view text) {
  std::string out;
  core::append_visible(out, text);
  for (auto at = out.find("##["); at != std::string::npos; at = out.find("##[", at))
    out.replace(at, 3, "##\\x5b");
  if (out.starts_with("::")) out.replace(0, 1, "\\x3a");
  return out;
}

/// "host:port", "-" where nothing is known. Raw.
inline std::string destination(const std::string& host, std::uint16_t port) {
  if (host.empty()) return "-";
  std::string out = host.find(':') != std::string::npos ? '[' + host + ']' : host;
  if (port != 0) out += fmt::format(":{}", port);
  return out;
}
template <typename Row>
std::string destination(const Row& row) {
  return destination(row.host, row.port);
}

inline std::string reason_of(const blocked_group& row) {
  if (row.would_deny == 0) return row.reason;
  if (row.would_deny == row.count) return row.reason + " (audit)";
  return fmt::format("{} ({} of {} audit)", row.reason, row.would_deny, row.count);
}

/// "2027-03-31 12:03:44"
inline std::string seconds_of(time_point time) {
  return fmt::format("{:%F %T}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

inline std::string of_budget(const budget_use& use, std::uint64_t amount) {
  if (use.kind == "time") return core::to_string(std::chrono::milliseconds(amount));
  return use.kind == "upload" || use.kind == "download" ? core::size_to_string(amount)
                                                        : std::to_string(amount);
}
inline std::string owner_of(const budget_use& use) {
  return !use.rule.empty() ? use.rule : !use.phase.empty() ? "phase " + use.phase : "the job";
}
inline unsigned percent_of(const budget_use& use) {
  return use.limit == 0
             ? 100
             : static_cast<unsigned>(100.0 * static_cast<double>(use.used) / static_cast<double>(use.limit));
}

/// One line on the whole, without a full stop.
std::string summary(const report& report);

/// The doc lines of the codes that occur, in the order of the table of reasons.
std::vector<std::pair<std::string_view, std::string_view>> meanings(const report& report);

/// (destination, hint) of the first ten rows that have one, each once: two phases often lack the same rule.
std::vector<std::pair<std::string, std::string_view>> hints_of(const report& report);

}  // namespace exeat::review
