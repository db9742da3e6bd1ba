#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <ostream>
#include <set>

#include "core/reason.hpp"
#include "core/safe_text.hpp"
#include "log/report.hpp"

namespace exeat::log {
namespace {

constexpr std::size_t hints_max = 10;

std::string visible(std::string_view text) {
  std::string out;
  core::append_visible(out, text);
  return out;
}

/// "host:port", "-" where nothing is known.
std::string destination(const report_row& row) {
  if (row.host.empty()) return "-";
  const bool v6 = row.host.find(':') != std::string::npos;
  std::string out = v6 ? '[' + row.host + ']' : row.host;
  if (row.port != 0) out += fmt::format(":{}", row.port);
  return out;
}

std::string reason_of(const report_row& row) {
  if (row.would_deny == 0) return row.reason;
  if (row.would_deny == row.count) return row.reason + " (audit)";
  return fmt::format("{} ({} of {} audit)", row.reason, row.would_deny, row.count);
}

/// "2027-03-31 12:03:44" of the log's time.
std::string seconds_of(const std::string& time) {
  std::string out = time.substr(0, 19);
  if (out.size() > 10) out[10] = ' ';
  return out;
}

/// A code span that ends where it should: what could end it, or a cell, or start markup shows as \xNN.
std::string code_span(std::string_view text) {
  std::string out = "`";
  for (const char c : visible(text)) {
    if (std::string_view("`|<>&").find(c) != std::string_view::npos) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "`";
}

std::string summary(const report& report) {
  std::string out = fmt::format("{} refused", report.total);
  if (report.other > 0) out += fmt::format(", {} of them to destinations beyond those listed", report.other);
  if (report.lost > 0) out += fmt::format("; the log says that it lost {} lines", report.lost);
  if (report.malformed > 0) out += fmt::format("; {} malformed lines skipped", report.malformed);
  return out;
}

/// The doc lines of the codes that occur, in the order of the table of reasons.
std::vector<std::pair<std::string_view, std::string_view>> meanings(const report& report) {
  std::set<std::string_view> codes;
  for (const report_row& row : report.rows) codes.insert(row.reason);
  std::vector<std::pair<std::string_view, std::string_view>> out;
  for (const core::reason_row& row : core::reasons()) {
    if (codes.contains(row.code)) out.emplace_back(row.code, row.doc);
  }
  return out;
}

/// (destination, hint) of the first rows that have one, each once: two phases often lack the same rule.
std::vector<std::pair<std::string, std::string_view>> hints_of(const report& report) {
  std::vector<std::pair<std::string, std::string_view>> out;
  for (const report_row& row : report.rows) {
    if (row.hint.empty() || out.size() == hints_max) continue;
    std::pair<std::string, std::string_view> hint{destination(row), row.hint};
    if (std::ranges::find(out, hint) == out.end()) out.push_back(std::move(hint));
  }
  return out;
}

}  // namespace

void print_table(const report& report, std::ostream& out) {
  if (report.rows.empty()) {
    out << summary(report) << '\n';
    return;
  }
  std::vector<std::array<std::string, 6>> cells{
      {"COUNT", "DESTINATION", "PHASE", "REASON", "FIRST SEEN", "LAST SEEN (UTC)"}};
  for (const report_row& row : report.rows) {
    cells.push_back({fmt::format("{}", row.count), visible(destination(row)), visible(row.phase),
                     visible(reason_of(row)), seconds_of(row.first_seen), seconds_of(row.last_seen)});
  }
  constexpr std::size_t width_max = 60;  // what is longer shifts its own line only
  std::array<std::size_t, 6> widths{};
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], std::min(line[i].size(), width_max));
  }
  for (const auto& line : cells) {
    out << fmt::format("{:>{}}  {:<{}}  {:<{}}  {:<{}}  {:<{}}  {}\n", line[0], widths[0], line[1], widths[1],
                       line[2], widths[2], line[3], widths[3], line[4], widths[4], line[5]);
  }
  out << '\n' << summary(report) << "\n\n";
  for (const auto& [code, doc] : meanings(report)) out << code << ": " << doc << '\n';
  const auto hints = hints_of(report);
  if (!hints.empty()) out << "\nTo allow:\n";
  for (const auto& [to, hint] : hints) out << "  " << visible(to) << ": " << visible(hint) << '\n';
}

void print_markdown(const report& report, std::ostream& out) {
  if (!report.rows.empty()) {
    out << "| Count | Destination | Phase | Reason | First seen | Last seen (UTC) "
           "|\n|---:|---|---|---|---|---|\n";
    for (const report_row& row : report.rows) {
      out << fmt::format("| {} | {} | {} | {} | {} | {} |\n", row.count, code_span(destination(row)),
                         code_span(row.phase.empty() ? "-" : row.phase), code_span(reason_of(row)),
                         seconds_of(row.first_seen), seconds_of(row.last_seen));
    }
    out << '\n';
  }
  out << summary(report) << ".\n";
  if (!report.rows.empty()) out << '\n';
  for (const auto& [code, doc] : meanings(report)) out << "- `" << code << "`: " << doc << '\n';
  const auto hints = hints_of(report);
  if (!hints.empty()) out << "\nTo allow:\n\n";
  for (const auto& [to, hint] : hints) {
    std::string quoted(hint);
    std::ranges::replace(quoted, '`', '\'');  // our own quotes, which a code span cannot hold
    out << "- " << code_span(to) << ": " << code_span(quoted) << '\n';
  }
}

void print_json(const report& report, std::ostream& out) {
  std::string text = "{\"refusals\":[";
  for (bool first = true; const report_row& row : report.rows) {
    text += first ? "\n{" : ",\n{";
    first = false;
    const auto member = [&text](std::string_view name, std::string_view value) {
      fmt::format_to(std::back_inserter(text), "\"{}\":", name);
      core::append_json_string(text, value);
      text += ',';
    };
    if (!row.host.empty()) member("host", row.host);
    if (row.port != 0) fmt::format_to(std::back_inserter(text), "\"port\":{},", row.port);
    if (!row.phase.empty()) member("phase", row.phase);
    member("reason", row.reason);
    member("first_seen", row.first_seen);
    member("last_seen", row.last_seen);
    if (!row.hint.empty()) member("hint", row.hint);
    fmt::format_to(std::back_inserter(text), "\"count\":{},\"would_deny\":{}}}", row.count, row.would_deny);
  }
  fmt::format_to(std::back_inserter(text), "],\n\"total\":{},\"other\":{},\"lost\":{},\"malformed\":{}}}\n",
                 report.total, report.other, report.lost, report.malformed);
  out << text;
}

}  // namespace exeat::log
