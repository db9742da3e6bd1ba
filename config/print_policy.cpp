#include "config/print_policy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <vector>

#include "allowlist/bundles.hpp"
#include "config/utf8.hpp"
#include "core/units.hpp"

namespace exeat::config {
namespace {

// Words that some reader of YAML takes for something else than a text.
constexpr std::array<std::string_view, 9> odd_words{"true", "false", "null", "yes", "no",
                                                    "on",   "off",   "y",    "n"};

bool is_plain(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto is_inner = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == '/' || c == ' ';
  };
  if (text.empty() || !is_letter(text.front()) || text.back() == ' ' || !std::ranges::all_of(text, is_inner))
    return false;
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return std::ranges::find(odd_words, lower) == odd_words.end();
}

// A flow map that is being written.
class flow_map {
 public:
  void add(std::string_view key, std::string_view value) {
    text_ += fmt::format("{}{}: {}", text_.empty() ? "" : ", ", key, value);
  }
  void add_text(std::string_view key, std::string_view value) {
    if (!value.empty()) add(key, print_scalar(value));
  }
  void add_size(std::string_view key, const std::optional<std::uint64_t>& octets) {
    if (octets) add(key, core::size_to_string(*octets));
  }
  template <class Items, class Print>
  void add_list(std::string_view key, const Items& items, Print&& print) {
    if (items.empty()) return;
    std::string list;
    for (const auto& item : items) list.append(list.empty() ? "" : ", ").append(print(item));
    add(key, fmt::format("[{}]", list));
  }
  std::string take() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string print_ports(const allowlist::port_set& ports) {
  if (ports == allowlist::port_set::any()) return "any";
  std::string list;
  for (const auto& range : ports.ranges()) {
    if (!list.empty()) list += ", ";
    list += range.first == range.last ? std::to_string(range.first)
                                      : fmt::format("\"{}-{}\"", range.first, range.last);
  }
  return ports.ranges().size() == 1 ? list : fmt::format("[{}]", list);
}

std::string print_date(const std::chrono::year_month_day& date) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

void add_notes(flow_map& out, const allowlist::rule& rule, std::string_view reason) {
  out.add_text("reason", reason);
  out.add_text("owner", rule.owner);
  out.add_text("ticket", rule.ticket);
  out.add_text("accept_risk", rule.accept_risk);
  if (rule.expires) out.add("expires", print_date(*rule.expires));
  if (rule.final) out.add("final", "true");
}

void add_limits(flow_map& out, const allowlist::transfer_limits& limits) {
  out.add_size("upload_limit", limits.upload);
  out.add_size("download_limit", limits.download);
  if (limits.requests) out.add("request_limit", std::to_string(*limits.requests));
}

void add_terms(flow_map& out, const allowlist::rule_terms& terms) {
  out.add_list("methods", terms.methods, print_scalar);
  out.add_list("paths", terms.paths, print_scalar);
  out.add_list("resolve_in", terms.resolve_in,
               [](const core::cidr& prefix) { return fmt::format("\"{}\"", prefix.to_string()); });
  if (terms.max_names) out.add("max_names", std::to_string(*terms.max_names));
  if (terms.max_name_entropy) out.add("max_name_entropy", std::to_string(*terms.max_name_entropy));
  add_limits(out, terms.limits);
}

// The `use` from which a rule comes. What the entry says for all hosts of the bundle is the same in each.
std::string print_use(const allowlist::rule& rule) {
  flow_map out;
  out.add("use", rule.bundle);
  std::string_view own_reason;
  if (const auto* bundle = allowlist::find_bundle(rule.bundle)) {
    const auto what = allowlist::what_text(rule);
    const auto host = std::ranges::find(bundle->hosts, std::string_view(what), &allowlist::bundle_host::host);
    if (host != bundle->hosts.end()) own_reason = host->reason;
  }
  add_notes(out, rule, rule.reason == own_reason ? std::string_view() : std::string_view(rule.reason));
  if (rule.terms) add_limits(out, rule.terms->limits);
  return out.take();
}

void print_rules(std::string& out, std::string_view key, std::string_view indent,
                 const std::vector<allowlist::rule>& rules, bool deny) {
  if (rules.empty()) {
    out += fmt::format("{}{}: []\n", indent, key);
    return;
  }
  out += fmt::format("{}{}:\n", indent, key);
  std::set<std::tuple<std::string_view, std::string_view, int, int>> used;
  for (const auto& rule : rules) {
    const bool is_use = !rule.bundle.empty();
    // All that one `use` brought stands in one place.
    if (is_use && !used.emplace(rule.bundle, rule.where.file, rule.where.line, rule.where.column).second)
      continue;
    out += fmt::format("{}  - {}\n", indent, is_use ? print_use(rule) : print_rule(rule, deny));
  }
}

void print_limits(std::string& out, std::string_view indent, const allowlist::transfer_limits& limits) {
  if (limits.upload) out += fmt::format("{}upload_limit: {}\n", indent, core::size_to_string(*limits.upload));
  if (limits.download)
    out += fmt::format("{}download_limit: {}\n", indent, core::size_to_string(*limits.download));
  if (limits.requests) out += fmt::format("{}request_limit: {}\n", indent, *limits.requests);
}

void print_phase(std::string& out, const allowlist::phase& phase) {
  out += fmt::format("  {}:\n", phase.name);
  if (!phase.untrusted) out += "    untrusted: false\n";
  if (phase.mode == allowlist::phase_mode::audit) out += "    mode: audit\n";
  if (phase.hints)
    out += fmt::format("    hints: {}\n", *phase.hints == allowlist::hint_level::full ? "full" : "code");
  if (phase.ech)
    out += fmt::format("    ech: {}\n", *phase.ech == allowlist::ech_mode::allow ? "allow" : "refuse");
  print_limits(out, "    ", phase.limits);
  if (phase.time_limit) out += fmt::format("    time_limit: {}\n", core::to_string(*phase.time_limit));
  if (phase.final) out += "    final: true\n";
  if (!phase.canaries.empty()) {
    flow_map canary;
    canary.add_list("names", phase.canaries,
                    [](const allowlist::canary& one) { return print_scalar(one.name.view()); });
    if (phase.canary_action == allowlist::canary_action::lockdown) canary.add("action", "lockdown");
    out += fmt::format("    canary: {}\n", canary.take());
  }
  print_rules(out, "allow", "    ", phase.allow, false);
}

std::string_view word_of(allowlist::expectation expect) {
  switch (expect) {
    case allowlist::expectation::allow:
      return "allow";
    case allowlist::expectation::would_deny:
      return "would_deny";
    case allowlist::expectation::deny:
      break;
  }
  return "deny";
}

std::string print_test(const allowlist::policy_test& test) {
  flow_map out;
  out.add_text("phase", test.phase);
  out.add_text("url", test.url);
  if (test.method != "GET") out.add_text("method", test.method);
  out.add("expect", word_of(test.expect));
  out.add_text("rule", test.rule);
  if (test.reason) out.add("reason", core::code_of(*test.reason));
  return out.take();
}

std::string print_exception(const allowlist::address_exception& exception) {
  flow_map out;
  out.add("cidr", fmt::format("\"{}\"", exception.prefix.to_string()));
  out.add_list("hosts", exception.hosts,
               [](const allowlist::host_pattern& host) { return print_scalar(host.to_string()); });
  if (exception.literal) out.add("literal", "true");
  out.add_text("reason", exception.reason);
  return out.take();
}

}  // namespace

std::string print_scalar(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const auto size = utf8_sequence(text.substr(i));
    const auto octet = static_cast<unsigned char>(text[i]);
    const auto sequence = text.substr(i, size);
    i += std::max<std::size_t>(size, 1);
    if (size == 0) {
      out += "\xef\xbf\xbd";
    } else if (octet == '"' || octet == '\\') {
      out.append("\\").append(sequence);
    } else if (octet < 0x20 || octet == 0x7f) {
      out += fmt::format("\\x{:02x}", octet);
    } else if (hides_text(utf8_value(sequence))) {
      out += fmt::format("\\u{:04x}", utf8_value(sequence));
    } else {
      out += sequence;
    }
  }
  return out + "\"";
}

std::string print_rule(const allowlist::rule& rule, bool deny) {
  flow_map out;
  if (const auto* pattern = std::get_if<allowlist::host_pattern>(&rule.what)) {
    out.add("host", print_scalar(pattern->to_string()));
    if (pattern->apex) out.add("apex", "true");
  } else {
    out.add("cidr", fmt::format("\"{}\"", std::get<core::cidr>(rule.what).to_string()));
  }
  if (deny ? rule.ports != allowlist::port_set::any() : rule.ports_written)
    out.add("ports", print_ports(rule.ports));
  if (rule.tls == allowlist::tls_mode::any) out.add("tls", "any");
  if (rule.ech) out.add("ech", *rule.ech == allowlist::ech_mode::allow ? "allow" : "refuse");
  if (rule.terms) add_terms(out, *rule.terms);
  add_notes(out, rule, rule.reason);
  return out.take();
}

std::string print_policy(const allowlist::policy_source& source) {
  std::string out = "version: 1\n";
  print_limits(out, "", source.limits);
  out += "phases:\n";
  for (const auto& phase : source.phases) print_phase(out, phase);
  if (!source.deny.empty()) print_rules(out, "deny", "", source.deny, true);
  if (!source.addresses.empty()) {
    out += "addresses:\n";
    for (const auto& exception : source.addresses) out += fmt::format("  - {}\n", print_exception(exception));
  }
  if (!source.tests.empty()) {
    out += "tests:\n";
    for (const auto& test : source.tests) out += fmt::format("  - {}\n", print_test(test));
  }
  return out;
}

}  // namespace exeat::config
