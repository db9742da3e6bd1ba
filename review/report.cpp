#include "review/report.hpp"

#include <algorithm>

#include "review/report_words.hpp"

namespace exeat::review {
namespace {

constexpr std::size_t most_groups = 10'000;
constexpr std::size_t most_hints = 10;

}  // namespace

answer<report> report_of(database& from, const filter& wanted) {
  report out;
  const auto page = blocked(from, wanted, {.by = order::count, .limit = most_groups});
  if (!page) return std::unexpected(page.error());
  out.total = page->count_total;
  out.more_groups = page->groups_total - page->groups.size();
  for (const auto& row : page->groups) {
    if (row.host == other_host) out.other += row.count;
    (row.would_deny == row.count ? out.would_deny : out.blocked).push_back(row);
  }
  auto fresh = allowed_first_seen(from, wanted, {.by = order::host, .limit = most_groups});
  if (!fresh) return std::unexpected(fresh.error());
  out.fresh = std::move(*fresh);
  auto used = budgets(from);
  if (!used) return std::unexpected(used.error());
  if (wanted.phase)
    std::erase_if(*used, [&](const auto& one) { return !one.phase.empty() && one.phase != *wanted.phase; });
  out.budgets = std::move(*used);
  return out;
}

std::string summary(const report& report) {
  std::string out = fmt::format("{} refused", report.total);
  std::uint64_t audit = 0;
  for (const auto& row : report.would_deny) audit += row.count;
  for (const auto& row : report.blocked) audit += row.would_deny;
  if (audit > 0) out += fmt::format(", {} of them let through in audit mode", audit);
  if (report.other > 0) out += fmt::format(", {} of them to destinations that were not kept", report.other);
  if (report.more_groups > 0) out += fmt::format("; {} more destinations are not listed", report.more_groups);
  if (report.lost > 0) out += fmt::format("; the log says that it lost {} lines", report.lost);
  if (report.malformed > 0) out += fmt::format("; {} malformed lines skipped", report.malformed);
  return out;
}

std::vector<std::pair<std::string_view, std::string_view>> meanings(const report& report) {
  std::set<std::string_view> codes;
  for (const auto* rows : {&report.blocked, &report.would_deny}) {
    for (const auto& row : *rows) codes.insert(row.reason);
  }
  std::vector<std::pair<std::string_view, std::string_view>> out;
  for (const core::reason_row& row : core::reasons()) {
    if (codes.contains(row.code)) out.emplace_back(row.code, row.doc);
  }
  return out;
}

std::vector<std::pair<std::string, std::string_view>> hints_of(const report& report) {
  std::vector<std::pair<std::string, std::string_view>> out;
  for (const auto* rows : {&report.blocked, &report.would_deny}) {
    for (const auto& row : *rows) {
      if (row.hint.empty() || out.size() == most_hints) continue;
      std::pair<std::string, std::string_view> hint{destination(row), row.hint};
      if (std::ranges::find(out, hint) == out.end()) out.push_back(std::move(hint));
    }
  }
  return out;
}

}  // namespace exeat::review
