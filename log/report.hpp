// What was refused, grouped, out of the JSON lines of blocked.log.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace exeat::log {

struct report_options {
  /// JSON lines as log/ writes them; the main log works as well: only refusals count. "-": standard input.
  std::vector<std::string> files;
  bool rotated = true;                                         ///< FILE.1, FILE.2, ... beside each FILE too
  std::optional<std::chrono::system_clock::time_point> since;  ///< nothing older
  std::optional<std::string> phase, job;                       ///< of these alone
};

/// One group. Host and phase are the attacker's choice: any octets.
struct report_row {
  std::string host;        ///< empty where the head was not understood
  std::uint16_t port = 0;  ///< 0 = none
  std::string phase;
  std::string reason;
  std::uint64_t count = 0;
  std::uint64_t would_deny = 0;  ///< of these, let through by a phase in audit mode
  std::string first_seen;        ///< RFC 3339, as in the log
  std::string last_seen;
  std::string hint;  ///< of the last one; may be empty
};

struct report {
  std::vector<report_row> rows;         ///< by falling count, then by name
  std::uint64_t total = 0;              ///< refusals, those under `other` too
  std::uint64_t malformed = 0;          ///< lines that are none of the log's
  std::uint64_t lost = 0;               ///< lines that the log itself says it dropped
  std::uint64_t other = 0;              ///< refusals beyond the first 100,000 groups
  std::vector<std::string> unreadable;  ///< a sentence per file
};

/// "24h" (that long before `now`), "2027-03-31" or "2027-03-31T12:00:00Z". The error is a sentence.
std::expected<std::chrono::system_clock::time_point, std::string> parse_since(
    std::string_view text, std::chrono::system_clock::time_point now);

/// A refusal that stands in two files, or in a decision and a close line of the same reason, counts once.
report make_report(const report_options& options, std::istream& standard_input);

}  // namespace exeat::log
