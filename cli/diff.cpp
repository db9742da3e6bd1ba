// `exeat diff`: what a change of the policy opens and closes.
#include "allowlist/diff.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <optional>
#include <string>

#include "cli/commands.hpp"
#include "cli/diff_markdown.hpp"
#include "cli/diff_words.hpp"
#include "core/safe_text.hpp"

namespace exeat::cli {
namespace {

using allowlist::policy_diff;
using allowlist::reach_change;

void print_text(const std::vector<diff_section>& sections) {
  for (const auto& section : sections) {
    fmt::print("\n{}\n", section.title);
    for (const auto& list : section.lists) {
      fmt::print("  {}:\n", list.title);
      for (const auto& line : list.lines) fmt::print("    {}\n", line);
    }
  }
}

std::string_view word_of(allowlist::change_kind kind) {
  switch (kind) {
    case allowlist::change_kind::becomes_reachable:
      return "becomes_reachable";
    case allowlist::change_kind::stops_being_reachable:
      return "stops_being_reachable";
    case allowlist::change_kind::terms:
      break;
  }
  return "terms";
}

std::string_view word_of(allowlist::direction direction) {
  switch (direction) {
    case allowlist::direction::wider:
      return "wider";
    case allowlist::direction::narrower:
      return "narrower";
    case allowlist::direction::both:
      return "both";
    case allowlist::direction::neutral:
      break;
  }
  return "neutral";
}

void append_rule(std::string& out, std::string_view name, const allowlist::rule* rule) {
  if (rule == nullptr) return;
  append_member(out, name, rule->id);
  append_member(out, fmt::format("{}_at", name), rule->at);
}

template <class Range, class Text>
std::string json_list(const Range& range, Text&& text) {
  std::string out = "[";
  for (const auto& item : range) {
    if (out.size() > 1) out += ',';
    core::append_json_string(out, text(item));
  }
  return out + "]";
}

void append_term(std::string& out, const allowlist::term_change& term) {
  append_member(out, "term", term.name);
  append_member(out, "old", term.before);
  append_member(out, "new", term.after);
  append_member(out, "direction", word_of(term.direction));
}

void print_json(const reach_change& line, std::string_view phase, const allowlist::policy& after) {
  std::string out;
  append_member(out, "change", word_of(line.kind));
  if (phase.empty()) {
    append_member(out, "of", "resolved addresses");
  } else {
    append_member(out, "phase", phase);
  }
  const auto* pattern = std::get_if<allowlist::host_pattern>(&line.what);
  append_member(out, pattern != nullptr ? "host" : "cidr", allowlist::to_string(line.what));
  if (pattern != nullptr && pattern->apex) append_json_member(out, "apex", "true");
  if (!line.except.empty())
    append_json_member(out, "except",
                       json_list(line.except, [](const auto& s) { return allowlist::to_string(s); }));
  if (phase.empty()) {
    append_member(out, "ports", line.https.to_string());
  } else {
    if (!line.https.ranges().empty()) append_member(out, "https", line.https.to_string());
    if (!line.http.ranges().empty()) append_member(out, "http", line.http.to_string());
  }
  if (!line.terms.empty()) {
    std::string terms;
    for (const auto& term : line.terms) {
      std::string one;
      append_term(one, term);
      terms += (terms.empty() ? "" : ",") + one + "}";
    }
    append_json_member(out, "terms", "[" + terms + "]");
  }
  if (line.from) append_member(out, "from", allowlist::day_text(*line.from));
  if (line.until) append_member(out, "until", allowlist::day_text(*line.until));
  append_rule(out, "old_rule", line.before);
  append_rule(out, "rule", line.after);
  if (refusing_deny(line.after, after) != nullptr) append_json_member(out, "denied", "true");
  fmt::print("{}}}\n", out);
}

void print_json(const allowlist::term_change& fact, std::string_view phase) {
  std::string out;
  append_member(out, "change", phase.empty() ? "job" : "phase");
  if (!phase.empty()) append_member(out, "phase", phase);
  append_term(out, fact);
  fmt::print("{}}}\n", out);
}

void print_json(const allowlist::exception_change& change) {
  std::string out;
  append_member(out, "change", change.added ? "exception_added" : "exception_removed");
  append_member(out, "cidr", change.prefix.to_string());
  append_json_member(out, "hosts",
                     json_list(change.hosts, [](const allowlist::host_pattern& p) { return p.to_string(); }));
  append_json_member(out, "literal", change.literal ? "true" : "false");
  append_member(out, "at", change.entry->where.to_string());
  fmt::print("{}}}\n", out);
}

void print_json(const replayed& one) {
  std::string out;
  append_member(out, "change", "replayed");
  append_member(out, "phase", one.phase);
  append_member(out, "method", one.method);
  append_member(out, "url", one.destination);
  append_member(out, "old", one.before);
  append_member(out, "old_reason", one.before_reason);
  append_member(out, "new", one.after);
  append_member(out, "new_reason", one.after_reason);
  append_json_member(out, "count", std::to_string(one.count));
  append_rule(out, "rule", one.rule);
  fmt::print("{}}}\n", out);
}

// One object per line, the summary last.
void print_json(const policy_diff& diff, const allowlist::policy& after,
                const std::optional<replay>& replayed) {
  for (const auto& fact : diff.facts) print_json(fact, {});
  for (const auto& change : diff.exceptions) print_json(change);
  for (const auto& line : diff.addresses) print_json(line, {}, after);
  for (const auto& phase : diff.phases) {
    if (phase.before == nullptr || phase.after == nullptr) {
      std::string out;
      append_member(out, "change", phase.before == nullptr ? "phase_added" : "phase_removed");
      append_member(out, "phase", phase.name);
      fmt::print("{}}}\n", out);
    }
    for (const auto& fact : phase.facts) print_json(fact, phase.name);
    for (const auto& line : phase.changes) print_json(line, phase.name, after);
  }
  std::string summary;
  append_member(summary, "change", "summary");
  append_json_member(summary, "widened_untrusted",
                     json_list(diff.widened_untrusted, [](const std::string& name) { return name; }));
  append_json_member(summary, "same", diff.is_empty() ? "true" : "false");
  append_json_member(summary, "reworded", std::to_string(diff.reworded));
  if (replayed) {
    for (const auto& one : replayed->changed) print_json(one);
    const auto count = [&](std::string_view name, std::uint64_t value) {
      append_json_member(summary, name, std::to_string(value));
    };
    count("requests", replayed->requests);
    count("changed_requests", replayed->changed_requests);
    count("malformed", replayed->malformed);
    count("lost", replayed->lost);
    count("without_phase", replayed->without_phase);
    count("not_asked", replayed->beyond);
  }
  fmt::print("{}}}\n", summary);
}

int fail(std::string_view message) {
  fmt::print(stderr, "exeat diff: {}\n", config::printable(message, 1000));
  return exit_error;
}

}  // namespace

int run_diff(const diff_options& options) {
  const auto load = [&](const std::string& path) {
    return config::load_policy_file(path, {.insecure = options.insecure_policy_file});
  };
  const auto before = load(options.before);
  const auto after = load(options.after);
  for (const auto* one : {&before, &after}) {
    if (!*one) fmt::print(stderr, "{}", config::to_string(one->error()));
  }
  if (!before || !after) return exit_error;

  const auto now = current_time();
  const auto diff = allowlist::diff(**before, **after, now);
  if (!diff) return fail(diff.error());
  std::optional<replay> replayed;
  if (!options.replay.empty()) {
    auto asked = replay_logs(options.replay, std::cin, **before, **after, now);
    if (!asked) return fail(asked.error());
    replayed = std::move(*asked);
  }

  if (options.format == "json") {
    print_json(*diff, **after, replayed);
  } else {
    const auto style = options.format == "markdown" ? diff_style::markdown : diff_style::terminal;
    auto sections = diff_sections(*diff, {**before, **after}, style);
    if (replayed) sections.push_back(replay_section(*replayed, style));
    const auto verdict = diff_verdict(*diff, style);
    const auto reworded = diff->reworded == 0
                              ? std::string()
                              : fmt::format("{} rule{} changed in reason, owner or ticket only",
                                            diff->reworded, diff->reworded == 1 ? "" : "s");
    if (style == diff_style::markdown) {
      fmt::print("{}", diff_markdown(verdict, sections, reworded));
    } else {
      fmt::print("{}\n", verdict);
      print_text(sections);
      if (!reworded.empty()) fmt::print("\n{}\n", reworded);
    }
  }
  return diff->widened_untrusted.empty() ? exit_ok : exit_denied;
}

}  // namespace exeat::cli
