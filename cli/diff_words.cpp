#include "cli/diff_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "cli/markdown.hpp"
#include "core/safe_text.hpp"

namespace exeat::cli {
namespace {

using allowlist::change_kind;
using allowlist::direction;
using allowlist::phase_diff;
using allowlist::reach_change;
using allowlist::rule;
using allowlist::term_change;

// Of a list within one line; the rest is counted.
constexpr std::size_t most_named = 6;
constexpr std::size_t longest_value = 300;

std::string quoted(std::string_view text, diff_style style) {
  if (style == diff_style::markdown) return code_span(text, longest_value);
  std::string visible;
  core::append_visible(visible, text.substr(0, longest_value));
  return text.size() > longest_value ? visible + "..." : visible;
}

// "a, b, c and 4 more".
template <class Range, class Text>
std::string listed(const Range& range, diff_style style, Text&& text) {
  std::string out;
  std::size_t named = 0;
  for (const auto& item : range) {
    if (named == most_named) break;
    out += (named++ == 0 ? "" : ", ") + quoted(text(item), style);
  }
  if (range.size() > named) out += fmt::format(" and {} more", range.size() - named);
  return out;
}

std::string subject_words(const reach_change& line, diff_style style) {
  const auto text = allowlist::to_string(line.what);
  const auto* pattern = std::get_if<allowlist::host_pattern>(&line.what);
  if (pattern == nullptr || !pattern->apex) return quoted(text, style);
  return quoted(pattern->name.view(), style) + " and " + quoted(text, style);
}

std::string ports_words(const allowlist::port_set& ports) {
  const auto text = ports.to_string();
  if (text == "any") return "any port";
  const bool one = ports.size() == 1;
  return (one ? "port " : "ports ") + text;
}

std::string ports_words(const reach_change& line) {
  if (line.https == line.http) return ports_words(line.https) + " (https and http)";
  std::string out;
  if (!line.https.ranges().empty()) out = ports_words(line.https) + " (https)";
  if (!line.http.ranges().empty()) out += (out.empty() ? "" : ", ") + ports_words(line.http) + " (http)";
  return out;
}

std::string rule_words(const rule& rule, diff_style style) {
  auto out = quoted(rule.id, style);
  if (!rule.at.empty()) out += " (" + quoted(rule.at, style) + ")";
  return out;
}

std::string term_words(const term_change& term, diff_style style) {
  return fmt::format("{}: {} -> {} ({})", term.name, quoted(term.before, style), quoted(term.after, style),
                     to_string(term.direction));
}

// Which rule it comes from.
std::string cause_words(const reach_change& line, const diff_policies& policies, diff_style style) {
  const auto* refused_before = refusing_deny(line.before, policies.before);
  if (line.kind == change_kind::stops_being_reachable) {
    if (const auto* deny = refusing_deny(line.after, policies.after))
      return "; denied by " + rule_words(*deny, style);
    return line.before == nullptr ? "" : "; it was by " + rule_words(*line.before, style);
  }
  std::string out;
  if (line.after != nullptr) out += "; by " + rule_words(*line.after, style);
  if (refused_before != nullptr) out += "; no longer denied by " + rule_words(*refused_before, style);
  return out;
}

std::string line_words(const reach_change& line, const diff_policies& policies, diff_style style,
                       bool with_schemes) {
  auto out = subject_words(line, style) + ", " + (with_schemes ? ports_words(line) : ports_words(line.https));
  if (line.from) out += ", from " + allowlist::day_text(*line.from) + " on";
  if (line.until && line.kind == change_kind::becomes_reachable)
    out += ", until " + allowlist::day_text(*line.until);
  if (!line.except.empty())
    out += ", except " + listed(line.except, style, [](const auto& s) { return allowlist::to_string(s); });
  for (const auto& term : line.terms) out += "; " + term_words(term, style);
  return out + cause_words(line, policies, style);
}

std::string exception_words(const allowlist::exception_change& change, diff_style style) {
  auto out = quoted(change.prefix.to_string(), style);
  if (!change.hosts.empty()) {
    out += " as an address of " + listed(change.hosts, style, [](const allowlist::host_pattern& p) {
             return p.apex ? p.to_string() + " with apex" : p.to_string();
           });
  }
  if (change.literal) out += change.hosts.empty() ? " as a literal" : ", and as a literal";
  if (const auto at = change.entry->where.to_string(); !at.empty()) out += " (" + quoted(at, style) + ")";
  return out;
}

void add(diff_section& section, std::string_view title, std::vector<std::string> lines) {
  if (!lines.empty()) section.lists.push_back({title, std::move(lines)});
}

void add_changes(diff_section& section, const std::vector<reach_change>& changes,
                 const diff_policies& policies, diff_style style, std::array<std::string_view, 3> titles,
                 bool with_schemes) {
  for (const auto kind :
       {change_kind::becomes_reachable, change_kind::stops_being_reachable, change_kind::terms}) {
    std::vector<std::string> lines;
    for (const auto& line : changes) {
      if (line.kind == kind) lines.push_back(line_words(line, policies, style, with_schemes));
    }
    add(section, titles[static_cast<std::size_t>(kind)], std::move(lines));
  }
}

std::string_view tendency(bool wider, bool narrower) {
  if (wider && narrower) return "wider and narrower";
  return wider ? "wider" : narrower ? "narrower" : "changed";
}

diff_section section_of(const phase_diff& phase, const diff_policies& policies, diff_style style) {
  std::vector<std::string_view> about;
  if (phase.before == nullptr) about.emplace_back("new");
  if (phase.after == nullptr) about.emplace_back("removed");
  about.emplace_back(phase.is_untrusted() ? "untrusted" : "trusted");
  diff_section out{
      .title = fmt::format("phase {} ({}): {}", quoted(phase.name, style), fmt::join(about, ", "),
                           tendency(phase.is_wider(), phase.is_narrower())),
      .lists = {}};
  std::vector<std::string> facts;
  facts.reserve(phase.facts.size() + 1);
  for (const auto& fact : phase.facts) facts.push_back(term_words(fact, style));
  if (phase.after != nullptr && phase.after->mode == allowlist::phase_mode::audit)
    facts.emplace_back("it is in audit: whatever the rules refuse is let through all the same");
  add(out, "the phase itself", std::move(facts));
  add_changes(out, phase.changes, policies, style,
              {"becomes reachable", "stops being reachable", "on other terms"}, true);
  return out;
}

diff_section section_for_all(const allowlist::policy_diff& diff, const diff_policies& policies,
                             diff_style style) {
  const auto is_narrower = [](const auto& all) {
    return std::ranges::any_of(all, [](const auto& one) { return one.is_narrower(); });
  };
  const bool narrower =
      is_narrower(diff.addresses) ||
      std::ranges::any_of(diff.exceptions, [](const auto& e) { return !e.added; }) ||
      std::ranges::any_of(diff.facts, [](const auto& f) { return f.direction == direction::narrower; });
  diff_section out{.title = fmt::format("every phase: {}", tendency(diff.is_wider_for_all(), narrower)),
                   .lists = {}};
  std::vector<std::string> facts, added, removed;
  for (const auto& fact : diff.facts) facts.push_back(term_words(fact, style));
  for (const auto& change : diff.exceptions)
    (change.added ? added : removed).push_back(exception_words(change, style));
  add(out, "the job's limits", std::move(facts));
  add(out, "addresses newly excepted from the guard", std::move(added));
  add(out, "addresses no longer excepted from the guard", std::move(removed));
  add_changes(out, diff.addresses, policies, style,
              {"addresses that names may resolve to again", "addresses that names may no longer resolve to",
               "addresses on other terms"},
              false);
  return out;
}

}  // namespace

const rule* refusing_deny(const rule* governing, const allowlist::policy& policy) {
  const auto& deny = policy.source().deny;
  const std::less<const rule*> before;
  const bool is_deny = governing != nullptr && !deny.empty() && !before(governing, deny.data()) &&
                       before(governing, deny.data() + deny.size());
  return is_deny ? governing : nullptr;
}

std::string diff_verdict(const allowlist::policy_diff& diff, diff_style style) {
  if (diff.is_empty()) return "nothing changes in what can be reached";
  if (diff.widened_untrusted.empty()) return "no untrusted phase is widened";
  return "wider for " +
         std::string(diff.widened_untrusted.size() == 1 ? "an untrusted phase" : "untrusted phases") + ": " +
         listed(diff.widened_untrusted, style, [](const std::string& name) { return name; });
}

std::vector<diff_section> diff_sections(const allowlist::policy_diff& diff, const diff_policies& policies,
                                        diff_style style) {
  std::vector<diff_section> out;
  if (auto all = section_for_all(diff, policies, style); !all.lists.empty()) out.push_back(std::move(all));
  for (const bool first : {true, false}) {
    for (const auto& phase : diff.phases) {
      if ((phase.is_untrusted() && phase.is_wider()) == first)
        out.push_back(section_of(phase, policies, style));
    }
  }
  return out;
}

std::vector<std::string> wider_lines(const allowlist::policy_diff& diff, const diff_policies& policies,
                                     std::span<const std::string> phases) {
  constexpr auto style = diff_style::terminal;
  std::vector<std::string> out;
  const auto add_all = [&](const std::string& who, const auto& facts, const auto& changes,
                           bool with_schemes) {
    for (const auto& fact : facts) {
      if (fact.direction == direction::wider || fact.direction == direction::both)
        out.push_back(who + ": " + term_words(fact, style));
    }
    for (const auto& line : changes) {
      if (line.is_wider()) out.push_back(who + ": " + line_words(line, policies, style, with_schemes));
    }
  };
  for (const auto& phase : diff.phases) {
    if (phase.is_wider() && std::ranges::find(phases, phase.name) != phases.end())
      add_all("phase " + quoted(phase.name, style), phase.facts, phase.changes, true);
  }
  const std::string all = "every phase";
  add_all(all, diff.facts, diff.addresses, false);
  for (const auto& change : diff.exceptions) {
    if (change.added) out.push_back(all + ": excepted from the guard: " + exception_words(change, style));
  }
  return out;
}

diff_section replay_section(const replay& replay, diff_style style) {
  diff_section out{.title = fmt::format("replay: {} of {} recorded requests change", replay.changed_requests,
                                        replay.requests),
                   .lists = {}};
  std::vector<std::string> passes, rest;
  for (const auto& one : replay.changed) {
    auto text = fmt::format("{} x {} {} in {}: {} ({}) -> {} ({})", one.count, quoted(one.method, style),
                            quoted(one.destination, style), quoted(one.phase, style), one.before,
                            one.before_reason, one.after, one.after_reason);
    if (one.rule != nullptr) text += "; " + rule_words(*one.rule, style);
    (one.is_wider ? passes : rest).push_back(std::move(text));
  }
  add(out, "let through by the new policy", std::move(passes));
  add(out, "answered otherwise", std::move(rest));
  std::vector<std::string> notes;
  const auto note = [&](std::uint64_t count, std::string_view what) {
    if (count > 0) notes.push_back(fmt::format("{}: {}", what, count));
  };
  note(replay.without_phase, "requests of phases that neither policy has");
  note(replay.malformed, "lines that are none of a decision log's");
  note(replay.lost, "lines that the log itself lost");
  note(replay.beyond, "requests beyond the first 100000 different ones were not asked");
  add(out, "left out", std::move(notes));
  return out;
}

}  // namespace exeat::cli
