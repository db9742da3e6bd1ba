// `exeat explain`: what every phase answers to a destination, and what each rule has to do with it.
#include "allowlist/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "allowlist/host_risk.hpp"
#include "allowlist/name_entropy.hpp"
#include "cli/answer.hpp"
#include "cli/commands.hpp"
#include "cli/markdown.hpp"
#include "core/safe_text.hpp"
#include "proxy/refusal.hpp"

namespace exeat::cli {
namespace {

using allowlist::related_rule;
using allowlist::related_rules;

std::string scheme_word(core::scheme scheme) {
  return scheme == core::scheme::http ? "plain HTTP" : "CONNECT";
}

std::string unicode_of(const core::host& host) {
  const auto* name = std::get_if<core::host_name>(&host);
  return name == nullptr ? std::string() : allowlist::u_labels_of(*name);
}

// "the exception lets it": what an `addresses` entry does for this host.
std::string text_of(const allowlist::address_exception& exception, const core::host& host) {
  return fmt::format("{} {}", exception.prefix.to_string(),
                     std::holds_alternative<core::ip_address>(host)
                         ? "may be asked for as a literal, where a `cidr` rule allows it"
                         : "is where this name may resolve to, special-purpose or not");
}

// Null where the answer is another one.
const allowlist::canary* canary_of(const allowlist::phase& phase, const answer& answer,
                                   const core::host& host) {
  const auto* name = std::get_if<core::host_name>(&host);
  if (answer.reason != core::reason::canary || name == nullptr) return nullptr;
  const auto found = std::ranges::find(phase.canaries, *name, &allowlist::canary::name);
  return found == phase.canaries.end() ? nullptr : &*found;
}

std::string text_of_canary(const allowlist::phase& phase, const answer& answer) {
  return fmt::format("no honest process of the phase asks for it{}; the client is told {}",
                     phase.canary_action == allowlist::canary_action::lockdown
                         ? ", and the job is sealed when one does"
                         : "",
                     proxy::reason_phrase(allowlist::shown_to_client(answer.reason, answer.rule)));
}

void print_rules(const related_rules& related) {
  for (const auto& one : related.rules) {
    fmt::print("  {:<12}  {} ({}) {}\n", allowlist::code_of(one.relation), one.rule->id, one.rule->at,
               one.text);
    const bool decisive =
        one.relation == allowlist::relation::governs || one.relation == allowlist::relation::denies;
    if (decisive && !one.rule->reason.empty())
      fmt::print("  {:<12}  because: {}\n", "", config::printable(one.rule->reason, 1000));
  }
  if (related.left_out > 0) fmt::print("  and {} more\n", related.left_out);
}

void print_text(const allowlist::policy& policy, const config::wanted& wanted, std::chrono::sys_seconds now,
                const allowlist::explained& explained) {
  const auto unicode = unicode_of(wanted.to.host);
  fmt::print("{} by {}{}, in {}\n", core::to_string(wanted.to), scheme_word(wanted.scheme),
             unicode.empty() ? "" : fmt::format(" (the name reads {})", unicode),
             config::printable(policy.source().file, 4096));
  const auto& phases = policy.source().phases;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    const auto answer = judge(policy, static_cast<allowlist::phase_id>(i), wanted, now);
    fmt::print("\n{}: {}, {}\n", phases[i].name, words_for(answer.verdict), core::code_of(answer.reason));
    const auto* canary = canary_of(phases[i], answer, wanted.to.host);
    if (canary != nullptr) {
      fmt::print("  {:<12}  {} ({}) {}\n", "canary", canary->name.view(), canary->where.to_string(),
                 text_of_canary(phases[i], answer));
    }
    print_rules(explained.phases[i]);
    if (answer.guarded && answer.guarded->range != nullptr) {
      fmt::print("  {:<12}  {} is {} ({})\n", "guard", answer.guarded->address.to_string(),
                 answer.guarded->range->name, answer.guarded->range->source);
    }
    if (explained.phases[i].rules.empty() && canary == nullptr) fmt::print("  no rule comes near\n");
  }
  fmt::print("\ndeny, for every phase:\n");
  print_rules(explained.deny);
  if (explained.deny.rules.empty()) fmt::print("  no rule comes near\n");
  if (explained.exceptions.empty()) return;
  fmt::print("\naddresses:\n");
  for (const auto* exception : explained.exceptions) {
    fmt::print("  {} ({})\n", text_of(*exception, wanted.to.host), exception->where.to_string());
  }
}

void print_rows(std::string_view section, std::string_view answer, const related_rules& related) {
  if (related.rules.empty()) fmt::print("| {} | {} | | no rule comes near | |\n", section, answer);
  for (const auto& one : related.rules) {
    fmt::print("| {} | {} | {} | {} | {} |\n", section, answer, allowlist::code_of(one.relation),
               code_span(one.rule->id + " " + one.rule->at), code_span(one.text));
  }
  if (related.left_out > 0) fmt::print("| {} | | | and {} more | |\n", section, related.left_out);
}

void print_markdown(const allowlist::policy& policy, const config::wanted& wanted,
                    std::chrono::sys_seconds now, const allowlist::explained& explained) {
  const auto unicode = unicode_of(wanted.to.host);
  fmt::print("### {} by {}{}\n\n| phase | answer | relation | rule | why |\n|---|---|---|---|---|\n",
             code_span(core::to_string(wanted.to)), scheme_word(wanted.scheme),
             unicode.empty() ? "" : " (" + code_span(unicode) + ")");
  const auto& phases = policy.source().phases;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    const auto answer = judge(policy, static_cast<allowlist::phase_id>(i), wanted, now);
    if (const auto* canary = canary_of(phases[i], answer, wanted.to.host)) {
      fmt::print("| {} | {}, canary | canary | {} | {} |\n", code_span(phases[i].name),
                 words_for(answer.verdict), code_span(canary->where.to_string()),
                 code_span(text_of_canary(phases[i], answer)));
      continue;
    }
    print_rows(code_span(phases[i].name),
               fmt::format("{}, {}", words_for(answer.verdict), core::code_of(answer.reason)),
               explained.phases[i]);
  }
  print_rows("deny", "for every phase", explained.deny);
  for (const auto* exception : explained.exceptions) {
    fmt::print("| addresses | | | {} | {} |\n", code_span(exception->where.to_string()),
               code_span(text_of(*exception, wanted.to.host)));
  }
}

std::string json_of(const related_rule& one) {
  std::string out;
  append_member(out, "relation", allowlist::code_of(one.relation));
  append_member(out, "rule", one.rule->id);
  append_member(out, "rule_at", one.rule->at);
  append_member(out, "text", one.text);
  return out + "}";
}

std::string json_of(const related_rules& related) {
  std::string out = "[";
  for (const auto& one : related.rules) {
    if (out.size() > 1) out += ',';
    out += json_of(one);
  }
  return out + "]";
}

std::string json_of_phase(const allowlist::phase& phase, const answer& answer, const core::host& host,
                          const related_rules& related) {
  std::string out;
  append_member(out, "phase", phase.name);
  append_member(out, "verdict", allowlist::to_string(answer.verdict));
  append_member(out, "reason", core::code_of(answer.reason));
  if (answer.rule != nullptr) {
    append_member(out, "rule", answer.rule->id);
    append_member(out, "rule_at", answer.rule->at);
  }
  if (const auto* canary = canary_of(phase, answer, host))
    append_member(out, "canary_at", canary->where.to_string());
  if (answer.verdict != allowlist::verdict::allow) {
    append_member(out, "reason_phrase",
                  proxy::reason_phrase(allowlist::shown_to_client(answer.reason, answer.rule)));
  }
  if (answer.verdict != allowlist::verdict::allow) {
    append_member(out, "message", answer.told.message);
    std::string next;
    for (const auto& line : answer.told.next) {
      next += next.empty() ? '[' : ',';
      core::append_json_string(next, line);
    }
    append_json_member(out, "next", next.empty() ? "[]" : next + "]");
  }
  if (!answer.hint.empty()) append_member(out, "hint", answer.hint);
  append_json_member(out, "rules", json_of(related));
  append_json_member(out, "left_out", std::to_string(related.left_out));
  return out + "}";
}

void print_json(const allowlist::policy& policy, const config::wanted& wanted, std::chrono::sys_seconds now,
                const allowlist::explained&) {
  fmt::print("{}\n", explain_json(policy, wanted, now));
}

}  // namespace

std::string explain_json(const allowlist::policy& policy, const config::wanted& wanted,
                         std::chrono::sys_seconds now, std::string_view method) {
  const auto explained = allowlist::explain(
      policy, {.scheme = wanted.scheme, .to = &wanted.to, .now = now, .method = method, .path = wanted.path});
  std::string out;
  append_member(out, "policy", policy.source().file);
  append_member(out, "host", core::to_string(wanted.to.host));
  if (const auto unicode = unicode_of(wanted.to.host); !unicode.empty())
    append_member(out, "host_unicode", unicode);
  if (const auto* name = std::get_if<core::host_name>(&wanted.to.host)) {
    if (const auto risk = allowlist::risk_of(*name)) {
      std::string told;
      append_member(told, "tags", allowlist::to_string(risk->risks));
      append_member(told, "why", risk->why);
      append_json_member(out, "risk", told + "}");
    }
    append_json_member(out, "name_bits", std::to_string(allowlist::entropy_of(name->view())));
  }
  append_json_member(out, "port", std::to_string(wanted.to.port));
  append_member(out, "scheme", wanted.scheme == core::scheme::http ? "http" : "https");
  std::string phases;
  for (std::size_t i = 0; i < policy.source().phases.size(); ++i) {
    if (!phases.empty()) phases += ',';
    phases += json_of_phase(policy.source().phases[i],
                            judge(policy, static_cast<allowlist::phase_id>(i), wanted, now, method),
                            wanted.to.host, explained.phases[i]);
  }
  append_json_member(out, "phases", "[" + phases + "]");
  append_json_member(out, "deny", json_of(explained.deny));
  append_json_member(out, "deny_left_out", std::to_string(explained.deny.left_out));
  std::string exceptions;
  for (const auto* exception : explained.exceptions) {
    std::string one;
    append_member(one, "cidr", exception->prefix.to_string());
    append_member(one, "at", exception->where.to_string());
    exceptions += (exceptions.empty() ? "" : ",") + one + "}";
  }
  append_json_member(out, "addresses", "[" + exceptions + "]");
  return out + "}";
}

int run_explain(const explain_options& options) {
  const auto policy = load_chosen(options.policy);
  if (!policy) {
    fmt::print(stderr, "{}", config::to_string(policy.error()));
    return exit_error;
  }
  const auto wanted = config::parse_destination(options.destination, config::name_spelling::policy);
  if (!wanted) {
    fmt::print(stderr, "exeat explain: `{}`: {}\n", config::printable(options.destination), wanted.error());
    return exit_error;
  }
  const auto now = current_time();
  const auto explained = allowlist::explain(
      **policy,
      {.scheme = wanted->scheme, .to = &wanted->to, .now = now, .method = "GET", .path = wanted->path});
  const auto print = options.format == "json"       ? print_json
                     : options.format == "markdown" ? print_markdown
                                                    : print_text;
  print(**policy, *wanted, now, explained);
  return exit_ok;
}

}  // namespace exeat::cli
