#include <algorithm>
#include <iterator>

#include "review/report.hpp"
#include "review/report_words.hpp"

namespace exeat::review {
namespace {

/// A code span that ends where it should: what could end it, or a cell, or start markup shows as \xNN.
std::string code_span(std::string_view text) {
  std::string out = "`";
  for (const char c : visible(text.empty() ? "-" : text)) {
    if (std::string_view("`|<>&").find(c) != std::string_view::npos) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + "`";
}

/// Takes lines as long as there is room for what has to follow.
class bounded {
 public:
  explicit bounded(std::size_t most) : most_(most) {}

  /// A heading, a table's head: what is short.
  void text(std::string_view text) { out_ += text; }
  /// One of many.
  void line(std::string_view text) {
    if (out_.size() + text.size() > most_ - tail) {
      ++left_out_;
    } else {
      out_ += text;
    }
  }
  /// Of the lines behind this much of it, the rest is for the others.
  void share(std::size_t most) { most_ = most; }
  std::string take() && {
    if (left_out_ > 0) {
      out_ += fmt::format(
          "\n{} lines are left out, for a job summary holds 1 MiB; `exeat report --format json` has them.\n",
          left_out_);
    }
    return std::move(out_);
  }

 private:
  static constexpr std::size_t tail = 5'000;
  std::size_t most_;
  std::string out_;
  std::size_t left_out_ = 0;
};

void append_refusals(bounded& out, const std::vector<blocked_group>& rows) {
  out.text(
      "| Count | Destination | Phase | Reason | First seen | Last seen (UTC) "
      "|\n|---:|---|---|---|---|---|\n");
  for (const auto& row : rows) {
    out.line(fmt::format("| {} | {} | {} | {} | {} | {} |\n", row.count, code_span(destination(row)),
                         code_span(row.phase), code_span(reason_of(row)), seconds_of(row.first_seen),
                         seconds_of(row.last_seen)));
  }
}

}  // namespace

std::string markdown_report(const report& report, std::size_t most) {
  bounded out(most / 2);
  if (!report.blocked.empty()) {
    append_refusals(out, report.blocked);
    out.text("\n");
  }
  out.share(most / 10 * 7);
  if (!report.would_deny.empty()) {
    out.text("Would have been refused, but for audit mode:\n\n");
    append_refusals(out, report.would_deny);
    out.text("\n");
  }
  out.share(most / 10 * 8);
  out.text(summary(report) + ".\n");
  const auto codes = meanings(report);
  if (!codes.empty()) out.text("\n");
  for (const auto& [code, doc] : codes) out.line(fmt::format("- `{}`: {}\n", code, doc));
  const auto hints = hints_of(report);
  if (!hints.empty()) out.text("\nTo allow:\n\n");
  for (const auto& [to, hint] : hints) {
    std::string quoted(hint);
    std::ranges::replace(quoted, '`', '\'');  // our own quotes, which a code span cannot hold
    out.line(fmt::format("- {}: {}\n", code_span(to), code_span(quoted)));
  }
  out.share(most / 10 * 9);
  if (report.fresh && !report.fresh->empty()) {
    out.text(
        "\nAllowed, and never seen before:\n\n| Count | Destination | Phase | Rule | First seen (UTC) |\n"
        "|---:|---|---|---|---|\n");
    for (const auto& row : *report.fresh) {
      out.line(fmt::format("| {} | {} | {} | {} | {} |\n", row.count, code_span(destination(row)),
                           code_span(row.phase), code_span(row.rule), seconds_of(row.first_seen)));
    }
  }
  out.share(most);
  if (report.budgets && !report.budgets->empty()) {
    out.text("\n| Used | Budget | Limit | Where |\n|---:|---|---|---|\n");
    for (const auto& use : *report.budgets) {
      out.line(fmt::format("| {} % | {} of {} | {} | {} |\n", percent_of(use), of_budget(use, use.used),
                           of_budget(use, use.limit), code_span(use.kind), code_span(owner_of(use))));
    }
  }
  if (report.unused && !report.unused->empty()) {
    out.text("\nRules of the policy:\n\n");
    for (const auto& one : *report.unused)
      out.line(
          fmt::format("- {} ({}): {}\n", code_span(one.rule), code_span(one.rule_at), code_span(one.text)));
  }
  return std::move(out).take();
}

}  // namespace exeat::review
