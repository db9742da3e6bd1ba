// `exeat suggest`: from a log to a fragment of a policy.
#include "allowlist/suggest.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "cli/answer.hpp"
#include "cli/commands.hpp"
#include "cli/markdown.hpp"
#include "config/print_policy.hpp"
#include "core/safe_text.hpp"
#include "log/report.hpp"
#include "log/requests.hpp"

namespace exeat::cli {
namespace {

using allowlist::suggestions;

struct findings {
  suggestions proposed;
  std::vector<allowlist::unused_rule> unused;
};

int fail(std::string_view message) {
  fmt::print(stderr, "exeat suggest: {}\n", message);
  return exit_error;
}

std::string visible(std::string_view text) {
  std::string out;
  core::append_visible(out, text.substr(0, 300));
  return out;
}

// A comment for a rule that a log never needed, or that could be narrower.
std::string unused_text(const allowlist::unused_rule& one) {
  const auto where = fmt::format(
      "{} ({})", one.rule->bundle.empty() ? one.rule->id : "use: " + one.rule->bundle, one.rule->at);
  if (one.names.empty()) return fmt::format("{}: not needed in these logs", where);
  std::string names;
  for (const auto& name : one.names) names.append(names.empty() ? "" : ", ").append(name);
  return fmt::format("{}: needed for {} alone", where, names);
}

// Phases with nothing but rules: a file that stands alone, or under `include`.
std::string fragment(const suggestions& proposed) {
  if (proposed.rules.empty()) return "version: 1\n";
  std::string out = "version: 1\nphases:\n";
  std::string_view phase;
  for (const auto& one : proposed.rules) {
    if (phase != one.phase) out += fmt::format("  {}:\n    allow:\n", config::print_scalar(one.phase));
    phase = one.phase;
    if (!one.near.empty())
      out += fmt::format("      # {} nearly let it pass: the port is another\n", visible(one.near));
    out += fmt::format("      - {}\n", config::print_rule(one.rule, false));
  }
  return out;
}

void print_text(const findings& all) {
  std::string out =
      "# Suggested by `exeat suggest`. Whoever was refused chose these names: read each before you take "
      "it.\n";
  out += fragment(all.proposed);
  if (!all.proposed.held_back.empty()) out += "#\n# Held back, for a person to decide:\n";
  for (const auto& one : all.proposed.held_back) {
    out += fmt::format("#   {} {} ({} x, first {}): {}\n", visible(one.phase), visible(one.destination),
                       one.count, one.first.empty() ? "unknown" : visible(one.first), visible(one.why));
  }
  if (!all.unused.empty()) out += "#\n# In the policy, by these logs:\n";
  for (const auto& one : all.unused) out += fmt::format("#   {}\n", visible(unused_text(one)));
  fmt::print("{}", out);
}

void print_markdown(const findings& all) {
  fmt::print("### exeat suggest: {} rules, {} held back\n\n```yaml\n{}```\n", all.proposed.rules.size(),
             all.proposed.held_back.size(), fragment(all.proposed));
  if (!all.proposed.held_back.empty())
    fmt::print("\n| held back | phase | requests | first | why |\n|---|---|---|---|---|\n");
  for (const auto& one : all.proposed.held_back) {
    fmt::print("| {} | {} | {} | {} | {} |\n", code_span(one.destination), code_span(one.phase), one.count,
               code_span(one.first), code_span(one.why));
  }
  if (!all.unused.empty()) fmt::print("\nBy these logs:\n\n");
  for (const auto& one : all.unused) fmt::print("- {}\n", code_span(unused_text(one)));
}

void print_json(const findings& all) {
  for (const auto& one : all.proposed.rules) {
    std::string out;
    append_member(out, "kind", "rule");
    append_member(out, "phase", one.phase);
    append_member(out, "rule", config::print_rule(one.rule, false));
    append_json_member(out, "count", std::to_string(one.count));
    append_member(out, "first", one.first);
    if (!one.near.empty()) append_member(out, "near", one.near);
    fmt::print("{}}}\n", out);
  }
  for (const auto& one : all.proposed.held_back) {
    std::string out;
    append_member(out, "kind", "held_back");
    append_member(out, "phase", one.phase);
    append_member(out, "destination", one.destination);
    append_json_member(out, "count", std::to_string(one.count));
    append_member(out, "first", one.first);
    append_member(out, "why", one.why);
    fmt::print("{}}}\n", out);
  }
  for (const auto& one : all.unused) {
    std::string out;
    append_member(out, "kind", one.names.empty() ? "unused" : "wide");
    append_member(out, "phase", one.phase);
    append_member(out, "rule", one.rule->id);
    append_member(out, "rule_at", one.rule->at);
    append_member(out, "text", unused_text(one));
    fmt::print("{}}}\n", out);
  }
}

// FILE.1, FILE.2, ... beside FILE, as rotation leaves them.
std::vector<std::string> with_rotated(std::vector<std::string> files) {
  std::vector<std::string> out;
  for (auto& file : files) {
    for (unsigned i = 1; file != "-"; ++i) {
      auto rotated = fmt::format("{}.{}", file, i);
      if (!std::filesystem::exists(rotated)) break;
      out.push_back(std::move(rotated));
    }
    out.push_back(std::move(file));
  }
  return out;
}

// What a tunnel was cut for. Its destination has a rule; `tls: any` or `ech: allow`, which would have let it
// live, are for nobody to propose.
bool is_of_peek(core::reason reason) {
  switch (reason) {
    case core::reason::not_tls:
    case core::reason::sni_missing:
    case core::reason::sni_mismatch:
    case core::reason::ech_refused:
    case core::reason::bad_client_hello:
    case core::reason::client_hello_timeout:
      return true;
    default:
      return false;
  }
}

struct tally {
  log::requests_read read;
  std::uint64_t refused = 0;
};

void summary(const findings& all, const tally& count) {
  const auto& p = all.proposed;
  fmt::print(stderr, "{} refused requests: {} rules, {} destinations held back", count.refused,
             p.rules.size(), p.held_back.size());
  if (p.already_allowed > 0) fmt::print(stderr, ", {} allowed by the policy by now", p.already_allowed);
  fmt::print(stderr, "\n");
  for (const auto& [code, times] : p.other_reasons)
    fmt::print(stderr, "  {} x {}: no rule is proposed for that\n", times, code);
  if (p.left_out > 0)
    fmt::print(stderr,
               "  {} requests are left out: more than 100,000 different ones, which looks like a flood\n",
               p.left_out);
  if (count.read.malformed > 0) fmt::print(stderr, "  {} malformed lines skipped\n", count.read.malformed);
  if (count.read.lost > 0) fmt::print(stderr, "  the log says that it lost {} lines\n", count.read.lost);
}

}  // namespace

int run_suggest(const suggest_options& options) {
  config::shared_policy policy;
  if (!options.policy.policy.empty() || !options.policy.config_file.empty()) {
    auto loaded = load_chosen(options.policy);
    if (!loaded) {
      fmt::print(stderr, "{}", config::to_string(loaded.error()));
      return exit_error;
    }
    policy = std::move(*loaded);
  }
  if (options.unused && !policy) return fail("--unused needs the policy: --policy FILE or --config FILE");
  std::string since;
  if (!options.since.empty()) {
    const auto from = log::parse_since(options.since, std::chrono::system_clock::now());
    if (!from) return fail(fmt::format("--since: {}", from.error()));
    since = fmt::format("{:%FT%TZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(*from)));
  }
  auto files = options.files;
  if (files.empty()) files.emplace_back("blocked.log");

  allowlist::suggester suggester(policy.get());
  std::optional<allowlist::usage> usage;
  if (options.unused) usage.emplace(*policy);
  tally count;
  const auto is_asked_for = [&](const log::recorded_request& one) {
    return (since.empty() || one.time >= since) &&
           (options.phases.empty() || std::ranges::find(options.phases, one.phase) != options.phases.end());
  };
  const auto take_cut = [&](const log::recorded_request& one) {
    const auto reason = core::reason_of(one.reason);
    if (!reason || !is_of_peek(*reason) || !is_asked_for(one)) return;
    ++count.refused;
    suggester.refused({.phase = one.phase, .reason = *reason});
  };
  const auto take = [&](const log::recorded_request& one) {
    if (!is_asked_for(one)) return;
    if (one.verdict == "deny" || one.verdict == "would_deny") {
      const auto reason = core::reason_of(one.reason);
      ++count.refused;
      suggester.refused({.phase = one.phase,
                         .host = one.host,
                         .port = one.port,
                         .plain = one.scheme != "https",
                         .method = one.method,
                         .reason = reason.value_or(core::reason::internal_error),
                         .date = one.time.substr(0, 10)});
    } else if (usage) {
      usage->allowed(one.rule, one.host);
    }
  };
  for (const auto& file : with_rotated(files)) {
    if (const auto error = log::read_requests(file, std::cin, count.read, take, take_cut); !error.empty())
      return fail(error);
  }
  findings all{suggester.propose(
                   {.wildcards = options.wildcards, .min_count = options.min_count, .now = current_time()}),
               {}};
  if (usage) all.unused = usage->find();
  (options.format == "json" ? print_json : options.format == "markdown" ? print_markdown : print_text)(all);
  summary(all, count);
  return exit_ok;
}

}  // namespace exeat::cli
