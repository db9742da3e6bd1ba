// `exeat report`: what was refused, and what else a reviewer wants to know, from the review store or from
// logs.
#include "log/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>

#include "allowlist/suggest.hpp"
#include "cli/commands.hpp"
#include "config/load.hpp"
#include "review/report.hpp"

namespace exeat::cli {
namespace {

constexpr const char* default_file = "blocked.log";

int fail(std::string_view message) {
  fmt::print(stderr, "exeat report: {}\n", message);
  return exit_error;
}

/// Of a line of the log: "2027-03-31T12:03:44.000123Z".
review::time_point time_of(const std::string& text) {
  auto seconds = log::parse_since(text.substr(0, 19) + "Z", {});
  if (!seconds || text.size() < 26) return {};
  return *seconds + std::chrono::microseconds(std::stoi(text.substr(20, 6)));
}

struct source {
  std::string database;  ///< empty: the files
  std::vector<std::string> files;
  std::string policy = "policy.yaml";  ///< for those who want a file to point at
};

/// The files that are named, else the store that is named, that of exeat.yaml, that of the environment, else
/// blocked.log here.
std::expected<source, std::string> source_of(const report_options& options) {
  source out;
  if (!options.policy.policy.empty()) out.policy = options.policy.policy;
  std::string configured = config::settings::default_review_database();
  if (!options.policy.config_file.empty()) {
    const auto settings = config::load_settings(
        options.policy.config_file,
        {.policy = options.policy.policy, .insecure_policy_file = options.policy.insecure_policy_file});
    if (!settings) return std::unexpected(config::to_string(settings.error()));
    configured = settings->review.database;
    if (!settings->policy.empty()) out.policy = settings->policy;
    if (configured.empty() && options.files.empty() && options.database.empty())
      out.files.push_back(settings->log.blocked.empty() ? settings->log.file : settings->log.blocked);
    if (out.files == std::vector<std::string>{""})
      return std::unexpected(fmt::format("{} has neither `review.database` nor `log.blocked` nor `log.file`",
                                         options.policy.config_file));
  }
  if (!options.files.empty()) {
    out.files = options.files;
  } else if (!options.database.empty()) {
    out.database = options.database;
  } else if (out.files.empty() && !configured.empty() &&
             (!options.policy.config_file.empty() || std::filesystem::exists(configured))) {
    out.database = configured;
  } else if (out.files.empty()) {
    if (!std::filesystem::exists(default_file)) {
      return std::unexpected(fmt::format(
          "there is nothing to report on: name the review store (`--database`, or `--config` of the process "
          "that has one), or a log (`exeat report FILE`, or `-` for standard input; by default {} in this "
          "directory), which is what `log.blocked` in exeat.yaml names; the decision log serves as well",
          default_file));
    }
    out.files.emplace_back(default_file);
  }
  return out;
}

review::report from_logs(const log::report& read) {
  review::report out;
  out.total = read.total;
  out.other = read.other;
  out.lost = read.lost;
  out.malformed = read.malformed;
  for (const auto& row : read.rows) {
    review::blocked_group group;
    group.host = row.host;
    group.port = row.port;
    group.phase = row.phase;
    group.reason = row.reason;
    group.hint = row.hint;
    group.count = row.count;
    group.would_deny = row.would_deny;
    group.first_seen = time_of(row.first_seen);
    group.last_seen = time_of(row.last_seen);
    (row.would_deny == row.count ? out.would_deny : out.blocked).push_back(std::move(group));
  }
  return out;
}

/// What of the policy the store knows no use of.
std::expected<std::vector<review::unused_rule>, std::string> unused_rules(review::database& store,
                                                                          const allowlist::policy& policy,
                                                                          const report_options& options) {
  allowlist::usage usage(policy);
  const auto hits = review::hits_by_rule(store);
  if (!hits) return std::unexpected(hits.error());
  for (const auto& rule : *hits) {
    const auto hosts = review::hosts_of_rule(store, rule.phase, rule.rule);
    if (!hosts) return std::unexpected(hosts.error());
    for (const auto& host : *hosts) usage.allowed(rule.rule, host);
  }
  std::vector<review::unused_rule> out;
  for (const auto& one : usage.find()) {
    if (options.phase && one.phase != *options.phase) continue;
    std::string names;
    for (const auto& name : one.names) names.append(names.empty() ? "" : ", ").append(name);
    out.push_back({.phase = one.phase,
                   .rule = one.rule->bundle.empty() ? one.rule->id : "use: " + one.rule->bundle,
                   .rule_at = one.rule->at,
                   .text = names.empty() ? "never needed" : fmt::format("needed for {} alone", names)});
  }
  return out;
}

std::expected<review::report, std::string> from_store(const source& source, const review::filter& wanted,
                                                      const report_options& options) {
  auto store = review::open_to_read(source.database);
  if (!store) return std::unexpected(std::move(store.error()));
  auto out = review::report_of(*store, wanted);
  if (!out) return out;
  if (!options.policy.policy.empty() || !options.policy.config_file.empty()) {
    const auto policy = load_chosen(options.policy);
    if (!policy) return std::unexpected(config::to_string(policy.error()));
    auto unused = unused_rules(*store, **policy, options);
    if (!unused) return std::unexpected(std::move(unused.error()));
    out->unused = std::move(*unused);
  }
  return out;
}

std::string printed(const review::report& report, const report_options& options, const source& source) {
  if (options.format == "markdown") return review::markdown_report(report);
  if (options.format == "json") return review::json_report(report);
  if (options.format == "sarif") return review::sarif_report(report, source.policy);
  if (options.format == "junit") return review::junit_report(report);
  return review::text_report(report);
}

}  // namespace

int run_report(const report_options& options) {
  review::filter wanted{.phase = options.phase, .job = options.job};
  if (!options.since.empty()) {
    const auto since = log::parse_since(options.since, std::chrono::system_clock::now());
    if (!since) return fail(fmt::format("--since: {}", since.error()));
    wanted.since = *since;
  }
  const auto source = source_of(options);
  if (!source) return fail(source.error());
  review::report report;
  std::vector<std::string> unreadable;
  if (source->database.empty()) {
    if (std::ranges::find(options.fail_on, "new") != options.fail_on.end())
      return fail("--fail-on new: only the review store knows what was seen before");
    const auto read = log::make_report({.files = source->files,
                                        .rotated = options.rotated,
                                        .since = wanted.since,
                                        .phase = options.phase,
                                        .job = options.job},
                                       std::cin);
    unreadable = read.unreadable;
    report = from_logs(read);
  } else {
    auto read = from_store(*source, wanted, options);
    if (!read) return fail(read.error());
    report = std::move(*read);
  }
  fmt::print("{}", printed(report, options, *source));
  // Where standard output is the job's summary, the runner still reads this.
  if (options.annotations) fmt::print(stderr, "{}", review::annotations(report));
  for (const auto& sentence : unreadable) fmt::print(stderr, "exeat report: {}\n", sentence);
  if (!unreadable.empty()) return exit_error;
  const auto fails_on = [&](std::string_view word, bool any) {
    return any && std::ranges::find(options.fail_on, word) != options.fail_on.end();
  };
  return fails_on("blocked", !report.blocked.empty()) ||
                 fails_on("new", report.fresh && !report.fresh->empty())
             ? exit_denied
             : exit_ok;
}

}  // namespace exeat::cli
