#include <algorithm>
#include <iterator>
#include <ranges>

#include "review/report.hpp"
#include "review/report_words.hpp"

namespace exeat::review {
namespace {

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : visible(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

/// Of a message; a property's value wants `:` and `,` escaped besides.
std::string command_text(std::string_view text, bool property) {
  std::string out;
  for (const char c : visible(text)) {
    if (c == '%' || (property && (c == ':' || c == ','))) {
      fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string sentence(const blocked_group& row) {
  auto out =
      fmt::format("{} x {} in phase {}", row.count, reason_of(row), row.phase.empty() ? "-" : row.phase);
  if (!row.hint.empty()) out += "; to allow: " + row.hint;
  return out;
}

}  // namespace

std::string junit_report(const report& report) {
  const auto passed = report.would_deny.size() + (report.fresh ? report.fresh->size() : 0);
  const auto tests = std::max<std::size_t>(1, report.blocked.size() + passed);
  auto out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"exeat report\" "
      "tests=\"{}\" "
      "failures=\"{}\" errors=\"0\">\n",
      tests, report.blocked.size());
  const auto test = [&](std::string_view kind, const auto& row, std::string_view inside) {
    fmt::format_to(std::back_inserter(out), "<testcase classname=\"exeat.{}.{}\" name=\"{}\">{}</testcase>\n",
                   kind, xml(row.phase.empty() ? "-" : row.phase), xml(destination(row)), inside);
  };
  for (const auto& row : report.blocked)
    test("blocked", row,
         fmt::format("<failure type=\"{}\" message=\"{}\"/>", xml(row.reason), xml(sentence(row))));
  for (const auto& row : report.would_deny)
    test("audit", row, fmt::format("<system-out>{}</system-out>", xml(sentence(row))));
  if (report.fresh) {
    for (const auto& row : *report.fresh) {
      test("new", row,
           fmt::format("<system-out>let through {} times, and never before, by {}</system-out>", row.count,
                       xml(row.rule)));
    }
  }
  if (report.blocked.empty() && passed == 0)
    out += "<testcase classname=\"exeat\" name=\"nothing was refused\"></testcase>\n";
  return out + "</testsuite>\n</testsuites>\n";
}

std::string annotations(const report& report) {
  constexpr std::size_t most = 10;
  std::string out;
  for (const auto& row : report.blocked | std::views::take(most)) {
    fmt::format_to(std::back_inserter(out), "::error title={}::{}\n",
                   command_text("blocked: " + destination(row), true), command_text(sentence(row), false));
  }
  std::size_t warnings = 0;
  for (const auto& row : report.would_deny) {
    if (warnings++ == most) break;
    fmt::format_to(std::back_inserter(out), "::warning title={}::{}\n",
                   command_text("would be blocked: " + destination(row), true),
                   command_text(sentence(row), false));
  }
  if (report.fresh) {
    for (const auto& row : *report.fresh) {
      if (warnings++ >= most) break;
      fmt::format_to(std::back_inserter(out), "::warning title={}::{}\n",
                     command_text("new: " + destination(row), true),
                     command_text(fmt::format("let through {} times in phase {}, and never before, by {}",
                                              row.count, row.phase, row.rule),
                                  false));
    }
  }
  return out;
}

}  // namespace exeat::review
