// `exeat lint`: what in a valid policy is dangerous, dead or left over.
#include "allowlist/lint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "cli/lint_files.hpp"
#include "cli/lint_upstream.hpp"
#include "cli/markdown.hpp"
#include "core/safe_text.hpp"
#include "core/units.hpp"

namespace exeat::cli {
namespace {

using allowlist::finding;
using allowlist::severity;

void print_text(const std::vector<finding>& findings) {
  std::size_t counts[4]{};
  for (const auto& one : findings) {
    ++counts[static_cast<std::size_t>(one.check->severity)];
    fmt::print("{}: {}: {} [{}]\n  danger: {}\n  fix: {}\n", one.where.to_string(),
               allowlist::to_string(one.check->severity), config::printable(one.text, 1000), one.check->code,
               one.check->danger, one.check->fix);
  }
  if (findings.empty()) {
    fmt::print("nothing found\n");
    return;
  }
  fmt::print(
      "{} found: {} high, {} medium, {} low, {} info\n", findings.size(),
      counts[static_cast<std::size_t>(severity::high)], counts[static_cast<std::size_t>(severity::medium)],
      counts[static_cast<std::size_t>(severity::low)], counts[static_cast<std::size_t>(severity::info)]);
}

void print_json(const std::vector<finding>& findings) {
  for (const auto& one : findings) {
    std::string out;
    append_member(out, "code", one.check->code);
    append_member(out, "severity", allowlist::to_string(one.check->severity));
    append_member(out, "file", one.where.file);
    append_json_member(out, "line", std::to_string(one.where.line));
    append_json_member(out, "column", std::to_string(one.where.column));
    append_member(out, "text", one.text);
    append_member(out, "danger", one.check->danger);
    append_member(out, "fix", one.check->fix);
    fmt::print("{}}}\n", out);
  }
}

void print_markdown(const std::vector<finding>& findings) {
  if (findings.empty()) {
    fmt::print("`exeat lint`: nothing found\n");
    return;
  }
  fmt::print("| severity | where | code | finding |\n|---|---|---|---|\n");
  std::vector<const allowlist::lint_check*> seen;
  for (const auto& one : findings) {
    fmt::print("| {} | {} | {} | {} |\n", allowlist::to_string(one.check->severity),
               code_span(one.where.to_string()), one.check->code, code_span(one.text, 1000));
    if (std::ranges::find(seen, one.check) == seen.end()) seen.push_back(one.check);
  }
  // Dangers and fixes are ours, and once each is enough.
  fmt::print("\n");
  std::ranges::sort(seen);
  for (const auto* check : seen) fmt::print("- `{}`: {} {}\n", check->code, check->danger, check->fix);
}

// SARIF 2.1.0 3.27.10 knows four levels, and `none` is not for us.
std::string_view sarif_level(severity severity) {
  switch (severity) {
    case severity::high:
      return "error";
    case severity::medium:
      return "warning";
    case severity::low:
    case severity::info:
      break;
  }
  return "note";
}

// A path as a URI reference (RFC 3986): relative ones stay so, for the viewer to resolve in its checkout.
std::string uri_of(std::string_view path) {
  std::string out = path.starts_with('/') ? "file://" : "";
  while (path.starts_with("./")) path.remove_prefix(2);
  for (const char c : path) {
    const auto octet = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", octet);
  }
  return out;
}

std::string sarif_text(std::string_view text) {
  std::string out;
  append_member(out, "text", text);
  return out + "}";
}

std::string sarif_rules() {
  std::string out;
  for (const auto& check : allowlist::lint_checks()) {
    std::string rule;
    append_member(rule, "id", check.code);
    append_json_member(rule, "shortDescription", sarif_text(check.title));
    append_json_member(rule, "fullDescription", sarif_text(check.danger));
    append_json_member(rule, "help", sarif_text(check.fix));
    append_json_member(rule, "defaultConfiguration",
                       fmt::format("{{\"level\":\"{}\"}}", sarif_level(check.severity)));
    out += (out.empty() ? "" : ",") + rule + "}";
  }
  return "[" + out + "]";
}

std::string sarif_result(const finding& one) {
  std::string artifact;
  append_member(artifact, "uri", uri_of(one.where.file));
  std::string place;
  append_json_member(place, "artifactLocation", artifact + "}");
  if (one.where.line > 0)
    append_json_member(place, "region", fmt::format("{{\"startLine\":{}}}", one.where.line));
  std::string out;
  append_member(out, "ruleId", one.check->code);
  append_json_member(out, "ruleIndex", std::to_string(one.check - allowlist::lint_checks().data()));
  append_member(out, "level", sarif_level(one.check->severity));
  append_json_member(out, "message",
                     sarif_text(fmt::format("{}. {} {}", one.text, one.check->danger, one.check->fix)));
  append_json_member(out, "locations", "[{\"physicalLocation\":" + place + "}}]");
  return out + "}";
}

void print_sarif(const std::vector<finding>& findings) {
  std::string driver;
  append_member(driver, "name", "exeat");
  append_member(driver, "version", EXEAT_VERSION);
  append_json_member(driver, "rules", sarif_rules());
  fmt::print(
      "{{\"$schema\":\"https://json.schemastore.org/sarif-2.1.0.json\",\"version\":\"2.1.0\",\"runs\":[{{"
      "\"tool\":{{\"driver\":{}}}}},\"results\":[",
      driver);
  for (bool first = true; const auto& one : findings) {
    fmt::print("{}\n{}", first ? "" : ",", sarif_result(one));
    first = false;
  }
  fmt::print("]}}]}}\n");
}

}  // namespace

int run_lint(const lint_options& options) {
  const auto within = core::parse_duration(options.expires_within);
  constexpr std::chrono::days longest{36500};
  if (!within || *within > longest) {
    fmt::print(stderr, "exeat lint: --expires-within: expected a duration such as 30d, or 0, found `{}`\n",
               config::printable(options.expires_within));
    return exit_error;
  }
  const auto policy = load_chosen(options.policy);
  if (!policy) {
    fmt::print(stderr, "{}", config::to_string(policy.error()));
    return exit_error;
  }
  auto findings = allowlist::lint(**policy, {.now = current_time(),
                                             .expires_within = std::chrono::ceil<std::chrono::days>(*within),
                                             .require_reason = options.require_reason,
                                             .require_owner = options.require_owner});
  if (!options.policy.config_file.empty()) {
    const auto settings = config::load_settings(
        options.policy.config_file,
        {.policy = options.policy.policy, .insecure_policy_file = options.policy.insecure_policy_file});
    if (!settings) {
      fmt::print(stderr, "{}", config::to_string(settings.error()));
      return exit_error;
    }
    auto ways = lint_upstream(*settings, **policy);
    auto files = lint_files(*settings, **policy, options.policy.config_file);
    ways.insert(ways.end(), std::make_move_iterator(files.begin()), std::make_move_iterator(files.end()));
    findings.insert(findings.begin(), std::make_move_iterator(ways.begin()),
                    std::make_move_iterator(ways.end()));
  }
  if (options.format == "sarif") {
    print_sarif(findings);
  } else if (options.format == "json") {
    print_json(findings);
  } else if (options.format == "markdown") {
    print_markdown(findings);
  } else {
    print_text(findings);
  }
  const auto least = allowlist::severity_of(options.fail_on);  // nothing for "never"
  const bool fails = least && std::ranges::any_of(findings, [&](const finding& one) {
                       return one.check->severity >= *least;
                     });
  return fails ? exit_denied : exit_ok;
}

std::string lint_page() {
  std::string out =
      "# What `exeat lint` finds\n\n<!-- Written by `exeat docs`; a test fails when it is stale. Edit "
      "allowlist/lint_table.cpp. -->\n\n"
      "`--fail-on` takes a severity and ends with status 1 from it on; without it that is `high`. What a "
      "`use` "
      "brings in is one finding\nat most. What no policy can hold (a wildcard on a public suffix, `*`, rules "
      "that contradict each other) is an error when the file\nis loaded, and no finding.\n\n"
      "In an untrusted phase a host that a [bundle](bundles.md) tags `multi-tenant` or `upload` is an error, "
      "written out or brought in by\n`use`, unless the rule says `accept_risk: \"why\"`.\n\n"
      "| code | severity | what | danger | fix |\n|---|---|---|---|---|\n";
  for (const auto& check : allowlist::lint_checks()) {
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", check.code, allowlist::to_string(check.severity),
                       check.title, check.danger, check.fix);
  }
  return out;
}

}  // namespace exeat::cli
