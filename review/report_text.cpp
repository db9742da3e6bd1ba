#include <algorithm>
#include <iterator>

#include "review/report.hpp"
#include "review/report_words.hpp"

namespace exeat::review {
namespace {

using cells = std::vector<std::string>;

/// Columns as wide as what stands in them; the first one to the right.
void append_table(std::string& out, const std::vector<cells>& lines) {
  constexpr std::size_t width_max = 60;  // what is longer shifts its own line only
  std::vector<std::size_t> widths(lines.front().size());
  for (const auto& line : lines) {
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], std::min(line[i].size(), width_max));
  }
  for (const auto& line : lines) {
    fmt::format_to(std::back_inserter(out), "{:>{}}", line[0], widths[0]);
    for (std::size_t i = 1; i + 1 < line.size(); ++i)
      fmt::format_to(std::back_inserter(out), "  {:<{}}", line[i], widths[i]);
    fmt::format_to(std::back_inserter(out), "  {}\n", line.back());
  }
}

void append_refusals(std::string& out, const std::vector<blocked_group>& rows) {
  std::vector<cells> lines{{"COUNT", "DESTINATION", "PHASE", "REASON", "FIRST SEEN", "LAST SEEN (UTC)"}};
  for (const auto& row : rows) {
    lines.push_back({std::to_string(row.count), visible(destination(row)), visible(row.phase),
                     visible(reason_of(row)), seconds_of(row.first_seen), seconds_of(row.last_seen)});
  }
  append_table(out, lines);
}

}  // namespace

std::string text_report(const report& report) {
  std::string out;
  if (!report.blocked.empty()) append_refusals(out, report.blocked);
  if (!report.would_deny.empty()) {
    out += report.blocked.empty() ? "Would have been refused, but for audit mode:\n"
                                  : "\nWould have been refused, but for audit mode:\n";
    append_refusals(out, report.would_deny);
  }
  const bool any = !report.blocked.empty() || !report.would_deny.empty();
  out += (any ? "\n" : "") + summary(report) + '\n';
  if (any) out += '\n';
  for (const auto& [code, doc] : meanings(report))
    fmt::format_to(std::back_inserter(out), "{}: {}\n", code, doc);
  const auto hints = hints_of(report);
  if (!hints.empty()) out += "\nTo allow:\n";
  for (const auto& [to, hint] : hints)
    fmt::format_to(std::back_inserter(out), "  {}: {}\n", visible(to), visible(hint));
  if (report.fresh && !report.fresh->empty()) {
    out += "\nAllowed, and never seen before:\n";
    std::vector<cells> lines{{"COUNT", "DESTINATION", "PHASE", "RULE", "FIRST SEEN (UTC)"}};
    for (const auto& row : *report.fresh) {
      lines.push_back({std::to_string(row.count), visible(destination(row)), visible(row.phase),
                       visible(row.rule), seconds_of(row.first_seen)});
    }
    append_table(out, lines);
  }
  if (report.budgets && !report.budgets->empty()) {
    out += "\nBudgets:\n";
    std::vector<cells> lines{{"USED", "OF", "LIMIT", "WHERE"}};
    for (const auto& use : *report.budgets) {
      lines.push_back({fmt::format("{}%", percent_of(use)),
                       fmt::format("{} of {}", of_budget(use, use.used), of_budget(use, use.limit)),
                       visible(use.kind), visible(owner_of(use))});
    }
    append_table(out, lines);
  }
  if (report.unused && !report.unused->empty()) {
    out += "\nRules of the policy:\n";
    for (const auto& one : *report.unused) {
      fmt::format_to(std::back_inserter(out), "  {} ({}): {}\n", visible(one.rule), visible(one.rule_at),
                     visible(one.text));
    }
  }
  return out;
}

}  // namespace exeat::review
