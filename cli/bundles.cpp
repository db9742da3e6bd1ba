// `exeat bundles`: what `use:` brings in, and why.
#include "allowlist/bundles.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "core/safe_text.hpp"

namespace exeat::cli {
namespace {

using allowlist::bundle;
using allowlist::bundle_host;
using allowlist::risk;

risk risks_of(const bundle& bundle) {
  auto out = risk::none;
  for (const auto& host : bundle.hosts) out = out | host.risks;
  return out;
}

// Tags that make a host an error for `exeat lint` in an untrusted phase.
bool is_risky(risk risks) {
  return has(risks, risk::multi_tenant) || has(risks, risk::upload);
}

std::string lines_to_paste(const bundle& bundle, std::string_view indent) {
  auto out = fmt::format("{}- use: {}\n", indent, bundle.name);
  if (is_risky(risks_of(bundle)))
    out +=
        fmt::format("{}  accept_risk: \"why\"   # in an untrusted phase, else `exeat lint` fails\n", indent);
  return out;
}

// What stands behind the host's pattern: the apex, the ports where they are not 443 alone, the budget.
std::string terms_of(const bundle_host& host) {
  std::string out;
  if (host.apex) out += fmt::format(" and {}", host.host.substr(host.host.find('.') + 1));
  if (host.ports != "443") out += fmt::format(", ports {}", host.ports);
  if (host.max_names != 0) out += fmt::format(", at most {} names", host.max_names);
  return out;
}

std::string tags_of(const bundle_host& host) {
  if (host.risks == risk::none) return {};
  return fmt::format("  [{}{}]", to_string(host.risks), host.risks_partly ? ", some names only" : "");
}

void print_text(const bundle& bundle) {
  fmt::print("{}: {}\nreviewed {}\n\n", bundle.name, bundle.title, bundle.reviewed);
  for (const auto& host : bundle.hosts)
    fmt::print("  {}{}{}\n      {}\n", host.host, terms_of(host), tags_of(host), host.reason);
  if (!bundle.without.empty()) fmt::print("\nnot in it: {}\n", bundle.without);
  fmt::print("\nin a policy, under `allow` of a phase:\n{}", lines_to_paste(bundle, "  "));
}

void print_table(std::span<const bundle> bundles) {
  std::size_t name = 6;
  std::size_t risks = 5;
  for (const auto& one : bundles) {
    name = std::max(name, one.name.size());
    risks = std::max(risks, to_string(risks_of(one)).size());
  }
  fmt::print("{:<{}}  HOSTS  {:<{}}  REVIEWED    FOR\n", "BUNDLE", name, "RISKS", risks);
  for (const auto& one : bundles) {
    fmt::print("{:<{}}  {:>5}  {:<{}}  {}  {}\n", one.name, name, one.hosts.size(), to_string(risks_of(one)),
               risks, one.reviewed, one.title);
  }
}

std::string json_tags(risk risks) {
  std::string out;
  for (const auto one : {risk::multi_tenant, risk::upload, risk::redirects}) {
    if (has(risks, one)) out += fmt::format("{}\"{}\"", out.empty() ? "" : ",", to_string(one));
  }
  return "[" + out + "]";
}

void print_json(const bundle& bundle) {
  std::string hosts;
  for (const auto& host : bundle.hosts) {
    std::string one;
    append_member(one, "host", host.host);
    append_json_member(one, "apex", host.apex ? "true" : "false");
    append_json_member(one, "ports", fmt::format("[{}]", host.ports));
    if (host.max_names != 0) append_json_member(one, "max_names", std::to_string(host.max_names));
    append_json_member(one, "risks", json_tags(host.risks));
    if (host.risks_partly) append_json_member(one, "risks_partly", "true");
    append_member(one, "reason", host.reason);
    hosts += (hosts.empty() ? "" : ",") + one + "}";
  }
  std::string out;
  append_member(out, "name", bundle.name);
  append_member(out, "title", bundle.title);
  append_member(out, "reviewed", bundle.reviewed);
  append_json_member(out, "risks", json_tags(risks_of(bundle)));
  append_member(out, "without", bundle.without);
  append_json_member(out, "hosts", "[" + hosts + "]");
  fmt::print("{}}}\n", out);
}

std::string markdown_table(std::span<const bundle> bundles) {
  std::string out = "| bundle | hosts | risks | reviewed | for |\n|---|---|---|---|---|\n";
  for (const auto& one : bundles) {
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", one.name, one.hosts.size(), to_string(risks_of(one)),
                       one.reviewed, one.title);
  }
  return out;
}

std::string markdown_hosts(const bundle& bundle) {
  std::string out = "| host | ports | risks | why |\n|---|---|---|---|\n";
  for (const auto& host : bundle.hosts) {
    out += fmt::format(
        "| `{}`{}{} | {} | {}{} | {} |\n", host.host, host.apex ? ", apex" : "",
        host.max_names == 0 ? std::string() : fmt::format(", at most {} names", host.max_names), host.ports,
        to_string(host.risks), host.risks_partly ? " (some names only)" : "", host.reason);
  }
  if (!bundle.without.empty()) out += fmt::format("\nNot in it: {}\n", bundle.without);
  return out;
}

std::string markdown_section(const bundle& bundle) {
  return fmt::format("## {}\n\n{}; reviewed {}.\n\n{}", bundle.name, bundle.title, bundle.reviewed,
                     markdown_hosts(bundle));
}

int complain(const std::string& name) {
  std::vector<std::string_view> names;
  for (const auto& one : allowlist::bundles()) names.push_back(one.name);
  const auto nearest = config::nearest_word(name, names);
  fmt::print(stderr, "exeat bundles: no bundle `{}`{}; `exeat bundles` lists them\n", config::printable(name),
             nearest.empty() ? std::string() : fmt::format(" (did you mean `{}`?)", nearest));
  return exit_error;
}

}  // namespace

int run_bundles(const bundles_options& options) {
  const auto all = allowlist::bundles();
  if (options.name.empty()) {
    if (options.format == "json") {
      for (const auto& one : all) print_json(one);
    } else if (options.format == "markdown") {
      fmt::print("{}", markdown_table(all));
    } else {
      print_table(all);
    }
    return exit_ok;
  }
  const auto* one = allowlist::find_bundle(options.name);
  if (one == nullptr) return complain(options.name);
  if (options.format == "json") {
    print_json(*one);
  } else if (options.format == "markdown") {
    fmt::print("{}\n```yaml\n{}```\n", markdown_section(*one), lines_to_paste(*one, ""));
  } else {
    print_text(*one);
  }
  return exit_ok;
}

std::string bundles_page() {
  std::string out =
      "# Bundles\n\n<!-- Written by `exeat docs`; a test fails when it is stale. Edit "
      "allowlist/bundle_*.cpp. "
      "-->\n\n"
      "`use: NAME` under `allow` of a phase lets it reach what stands here, and nothing that does not.\n\n"
      "- `multi-tenant`: anyone can publish or receive there. `upload`: it accepts data from cheap or "
      "anonymous "
      "accounts.\n  In an untrusted phase both are findings of `exeat lint`, unless the `use` says "
      "`accept_risk: \"why\"`.\n"
      "- `redirects`: it sends clients on to hosts that somebody else chose, which then need a rule of their "
      "own.\n"
      "- A rule that you write for the same host governs before one that comes from a bundle.\n"
      "- Registries stand as a whole domain with its apex. Write the one host that your client is configured "
      "for where you want\n  less.\n\n";
  // One of them stands for all.
  std::vector<bundle> shown;
  std::string regions;
  for (const auto& one : allowlist::bundles()) {
    const bool by_region = one.name.starts_with("bedrock-");
    if (!by_region || regions.empty()) shown.push_back(one);
    if (by_region) regions += fmt::format("{}`{}`", regions.empty() ? "" : ", ", one.name);
  }
  out += markdown_table(shown) + "\nAmazon Bedrock has a bundle for each region: " + regions + ".\n";
  for (const auto& one : shown) out += "\n" + markdown_section(one);
  return out;
}

}  // namespace exeat::cli
