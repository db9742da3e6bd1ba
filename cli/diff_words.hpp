// The lines of `exeat diff` in words, for a terminal and for Markdown.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/diff.hpp"
#include "cli/diff_replay.hpp"

namespace exeat::cli {

/// Names and values stand as they are, or as code spans. Either is safe in its medium whatever the files
/// hold.
enum class diff_style : std::uint8_t { terminal, markdown };

/// Both sides of the comparison.
struct diff_policies {
  const allowlist::policy& before;
  const allowlist::policy& after;
};

/// "wider for untrusted phases: `agent`, `mcp`": what a reader must know first, without a full stop.
std::string diff_verdict(const allowlist::policy_diff& diff, diff_style style);

/// One list under a heading: "becomes reachable", "stops being reachable", "on other terms", ...
struct diff_list {
  std::string_view title;
  std::vector<std::string> lines;
};

/// What is said of one phase, or of all.
struct diff_section {
  std::string title;  ///< "phase agent (untrusted): wider"
  std::vector<diff_list> lists;
};

/// What holds for every phase first, then what is wider for an untrusted phase, then the rest by name. No
/// empty lists.
std::vector<diff_section> diff_sections(const allowlist::policy_diff& diff, const diff_policies& policies,
                                        diff_style style);

/// What makes one of these phases wider, one line each: "phase agent: `x.example`, 443 (https); by ...", and
/// "every phase: ..." for what holds for all. For a terminal.
std::vector<std::string> wider_lines(const allowlist::policy_diff& diff, const diff_policies& policies,
                                     std::span<const std::string> phases);

/// The replay's list; the title counts.
diff_section replay_section(const replay& replay, diff_style style);

/// The rule itself where it is one of the policy's under `deny`, else null.
const allowlist::rule* refusing_deny(const allowlist::rule* governing, const allowlist::policy& policy);

}  // namespace exeat::cli
