#include "importers/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "allowlist/policy.hpp"
#include "config/print_policy.hpp"
#include "core/safe_text.hpp"
#include "importers/draft.hpp"

namespace exeat::importers {
namespace {

constexpr std::array<std::string_view, 6> names{"smokescreen", "squid",         "gh-aw",
                                                "copilot",     "harden-runner", "srt"};

// One line of a comment, whatever the file's author wrote.
std::string comment(const remark& remark, const source& from) {
  std::string out = "#   ";
  core::append_visible(out, remark.line == 0 ? from.file : fmt::format("{}:{}", from.file, remark.line));
  out += ": ";
  core::append_visible(out, std::string_view(remark.text).substr(0, 500));
  return out + "\n";
}

std::string comments(std::string_view title, const std::vector<remark>& remarks, const source& from) {
  if (remarks.empty()) return {};
  std::string out = fmt::format("#\n# {}:\n", title);
  for (const auto& one : remarks) out += comment(one, from);
  return out;
}

// A name that the rule holds, and one beside it.
struct sample {
  std::string inside, beside;
};
std::optional<sample> sample_of(const allowlist::rule& rule) {
  const auto* pattern = std::get_if<allowlist::host_pattern>(&rule.what);
  if (pattern == nullptr) return std::nullopt;
  const std::string name(pattern->name.view());
  constexpr std::size_t longest = 240;
  if (name.size() > longest) return std::nullopt;
  if (pattern->depth == allowlist::depth::exact) return sample{name, "another." + name};
  return sample{"any." + name, pattern->apex ? "not" + name : name};
}

allowlist::expectation expected(allowlist::verdict verdict) {
  switch (verdict) {
    case allowlist::verdict::allow:
      return allowlist::expectation::allow;
    case allowlist::verdict::would_deny:
      return allowlist::expectation::would_deny;
    case allowlist::verdict::deny:
      break;
  }
  return allowlist::expectation::deny;
}

// Some requests and what the policy answers to them, so that a later change is noticed.
void add_tests(allowlist::policy_source& source) {
  constexpr std::size_t rules_per_phase = 10;
  auto copy = source;
  const auto policy = allowlist::compile(std::move(copy));
  if (!policy) return;
  for (const auto& phase : source.phases) {
    const auto id = policy->find_phase(phase.name);
    std::size_t tested = 0;
    for (const auto& rule : phase.allow) {
      const auto sample = sample_of(rule);
      if (!sample || rule.ports.ranges().empty() || tested == rules_per_phase) continue;
      ++tested;
      const bool plain = rule.terms && rule.terms->is_http_only();
      const auto port = rule.ports.contains(443) ? std::uint16_t{443} : rule.ports.ranges().front().first;
      const auto ask = [&](const std::string& host) {
        const auto name = core::host_name::parse(host);
        if (!id || !name) return;
        const core::destination to{*name, port};
        const auto scheme = plain ? core::scheme::http : core::scheme::https;
        const auto decided = allowlist::decide(
            *policy, {.phase = *id, .scheme = scheme, .to = &to, .method = "GET", .path = "/"});
        source.tests.push_back(
            {.phase = phase.name,
             .url = fmt::format("{}://{}{}/", plain ? "http" : "https", host,
                                port == (plain ? 80 : 443) ? "" : fmt::format(":{}", port)),
             .scheme = scheme,
             .to = to,
             .expect = expected(decided.verdict)});
      };
      ask(sample->inside);
      ask(sample->beside);
    }
  }
}

}  // namespace

std::span<const std::string_view> product_names() noexcept {
  return names;
}

std::optional<product> product_of(std::string_view name) noexcept {
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<product>(found - names.begin());
}

std::expected<imported, config::errors> import(const source& from) {
  switch (from.from) {
    case product::smokescreen:
      return from_smokescreen(from);
    case product::squid:
      return from_squid(from);
    case product::gh_aw:
      return from_gh_aw(from);
    case product::copilot:
      return from_copilot(from);
    case product::harden_runner:
      return from_harden_runner(from);
    case product::srt:
      return from_srt(from);
  }
  return std::unexpected(config::errors{{.message = "an unknown product"}});
}

std::string print(const imported& result, const source& from) {
  auto policy = result.policy;
  add_tests(policy);
  auto out =
      fmt::format("# Imported from {}. Read it before you use it: `exeat lint` and `exeat test` help.\n",
                  product_names()[static_cast<std::size_t>(from.from)]);
  out += comments("Not the same as before", result.differs, from);
  out += comments("Left out", result.left_out, from);
  return out + config::print_policy(policy);
}

}  // namespace exeat::importers
