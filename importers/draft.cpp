#include "importers/draft.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "allowlist/bundles.hpp"
#include "allowlist/policy.hpp"

namespace exeat::importers {
namespace {

constexpr std::size_t most_remarks = 1000;

std::string phase_name(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      out += c;
    } else if (c >= 'A' && c <= 'Z') {
      out += static_cast<char>(c - 'A' + 'a');
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (out.ends_with('-')) out.pop_back();
  if (out.empty() || out.front() < 'a') out.insert(0, "p-");
  return out.substr(0, 60);
}

void note(std::vector<remark>& into, int line, std::string text) {
  if (into.size() < most_remarks) into.push_back({line, std::move(text)});
}

// The ports of both; a rule that has none written stands for none here.
void join(allowlist::rule& into, const allowlist::port_set& ports) {
  auto ranges = into.ports.ranges();
  ranges.insert(ranges.end(), ports.ranges().begin(), ports.ranges().end());
  into.ports = allowlist::port_set::of(std::move(ranges));
}

// `**.x` and `x` on the same ports and from the same line read better as `**.x` with `apex`.
void pair_up(std::vector<allowlist::rule>& rules) {
  // By name and by whether the rule is for plain HTTP alone.
  std::map<std::pair<std::string, const void*>, std::size_t> below;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (const auto* pattern = std::get_if<allowlist::host_pattern>(&rules[i].what);
        pattern != nullptr && rules[i].bundle.empty() && pattern->depth == allowlist::depth::any_labels)
      below.emplace(std::pair(std::string(pattern->name.view()), rules[i].terms.get()), i);
  }
  std::vector<bool> drop(rules.size(), false);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const auto* pattern = std::get_if<allowlist::host_pattern>(&rules[i].what);
    if (pattern == nullptr || !rules[i].bundle.empty() || pattern->depth != allowlist::depth::exact) continue;
    const auto found = below.find({std::string(pattern->name.view()), rules[i].terms.get()});
    if (found == below.end()) continue;
    auto& wide = rules[found->second];
    if (wide.ports != rules[i].ports || wide.where != rules[i].where || wide.terms != rules[i].terms ||
        wide.ports_written != rules[i].ports_written)
      continue;
    std::get<allowlist::host_pattern>(wide.what).apex = true;
    drop[i] = true;
  }
  std::size_t i = 0;
  std::erase_if(rules, [&](const allowlist::rule&) { return drop[i++]; });
}

}  // namespace

allowlist::phase& draft::phase(std::string_view name) {
  const auto found = phases_.find(name);
  if (found != phases_.end()) return out_.policy.phases[found->second];
  auto known = phase_name(name);
  const auto taken = [&](const std::string& text) {
    return std::ranges::find(out_.policy.phases, text, &allowlist::phase::name) != out_.policy.phases.end();
  };
  if (taken(known)) {
    int number = 2;
    while (taken(fmt::format("{}-{}", known, number))) ++number;
    known += fmt::format("-{}", number);
  }
  phases_.emplace(name, out_.policy.phases.size());
  auto& phase = out_.policy.phases.emplace_back();
  phase.name = std::move(known);
  return phase;
}

std::optional<allowlist::rule> draft::rule_of(std::string_view host, reach reach, bool deny, int line) {
  allowlist::rule rule{.what = core::cidr{}};
  rule.where = {from_.file, line, 1};
  rule.ports_written = true;
  rule.reason = fmt::format("imported from {}:{}", config::printable(from_.file), line);
  if (auto prefix = core::cidr::parse(host); prefix && reach == reach::name) {
    rule.what = *prefix;
    return rule;
  }
  if (host.find('*') != std::string_view::npos) {
    left_out(line, fmt::format("`{}`: an asterisk is no part of a name", host));
    return std::nullopt;
  }
  const auto text = fmt::format("{}{}",
                                reach == reach::name        ? ""
                                : reach == reach::one_label ? "*."
                                                            : "**.",
                                host);
  auto pattern = allowlist::host_pattern::parse(text, deny);
  if (!pattern) {
    left_out(line, fmt::format("`{}`: {}", host, allowlist::describe(pattern.error())));
    return std::nullopt;
  }
  rule.what = std::move(*pattern);
  return rule;
}

bool draft::add(std::vector<allowlist::rule>& list, std::string_view list_name, allowlist::rule rule,
                const allowlist::port_set& ports) {
  if (ports.size() == 0) {
    left_out(rule.where.line, fmt::format("`{}`: no port is left of it", allowlist::what_text(rule)));
    return false;
  }
  rule.ports = ports;
  const auto [found, is_new] =
      rules_.emplace(fmt::format("{}\n{}", list_name, allowlist::what_text(rule)), list.size());
  if (is_new) {
    list.push_back(std::move(rule));
  } else {
    join(list[found->second], ports);
  }
  return true;
}

bool draft::allow(std::string_view phase_text, std::string_view host, reach reach,
                  const allowlist::port_set& ports, int line) {
  // Apart from each other, so that ports that are joined later belong to the one or the other; pair_up does
  // the rest.
  if (reach == reach::name_below)
    return allow(phase_text, host, reach::below, ports, line) &&
           allow(phase_text, host, reach::name, ports, line);
  auto rule = rule_of(host, reach, false, line);
  if (!rule) return false;
  auto& into = phase(phase_text);
  return add(into.allow, into.name, std::move(*rule), ports);
}

bool draft::allow_tls(std::string_view phase_text, std::string_view host, reach reach, int line) {
  if (reach == reach::name_below)
    return allow_tls(phase_text, host, reach::below, line) && allow_tls(phase_text, host, reach::name, line);
  auto rule = rule_of(host, reach, false, line);
  if (!rule) return false;
  auto& into = phase(phase_text);
  rule->ports_written = false;  // 443 by default is for TLS
  return add(into.allow, into.name + "/tls", std::move(*rule), allowlist::port_set::of({{443, 443}}));
}

bool draft::allow_plain(std::string_view phase_text, std::string_view host, reach reach,
                        const allowlist::port_set& ports, int line) {
  if (reach == reach::name_below)
    return allow_plain(phase_text, host, reach::below, ports, line) &&
           allow_plain(phase_text, host, reach::name, ports, line);
  auto rule = rule_of(host, reach, false, line);
  if (!rule) return false;
  // A rule that names methods opens no tunnel.
  static const auto terms = std::make_shared<const allowlist::rule_terms>(
      allowlist::rule_terms{.methods = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}});
  rule->terms = terms;
  auto& into = phase(phase_text);
  return add(into.allow, into.name + "/plain", std::move(*rule), ports);
}

bool draft::deny(std::string_view host, reach reach, const allowlist::port_set& ports, int line) {
  if (reach == reach::name_below)
    return deny(host, reach::below, ports, line) && deny(host, reach::name, ports, line);
  auto rule = rule_of(host, reach, true, line);
  return rule && add(out_.policy.deny, "deny/", std::move(*rule), ports);
}

bool draft::use(std::string_view phase_text, std::string_view name, int line) {
  const auto* bundle = allowlist::find_bundle(name);
  if (bundle == nullptr) return false;
  auto& into = phase(phase_text);
  for (const auto& host : bundle->hosts) {
    auto pattern = allowlist::host_pattern::parse(host.host);
    if (!pattern) continue;
    pattern->apex = host.apex;
    allowlist::rule rule{.what = std::move(*pattern)};
    rule.ports_written = host.ports != "443";
    rule.ports = rule.ports_written ? web_ports() : allowlist::port_set::of({{443, 443}});
    rule.bundle = name;
    rule.reason = host.reason;
    rule.where = {from_.file, line, 1};
    if (host.max_names != 0)
      rule.terms =
          std::make_shared<const allowlist::rule_terms>(allowlist::rule_terms{.max_names = host.max_names});
    into.allow.push_back(std::move(rule));
  }
  return true;
}

void draft::differs(int line, std::string text) {
  note(out_.differs, line, std::move(text));
}
void draft::left_out(int line, std::string text) {
  note(out_.left_out, line, std::move(text));
}

// Two lines of the source may say of one host what no two rules may say: the later one goes, which is
// narrower.
void draft::drop_contradictions() {
  constexpr int most_rounds = 20;
  for (int round = 0; round < most_rounds; ++round) {
    const auto compiled = allowlist::compile(out_.policy);
    if (compiled) return;
    for (const auto& conflict : compiled.error()) {
      for (auto& phase : out_.policy.phases) {
        std::erase_if(phase.allow, [&](const allowlist::rule& rule) { return rule.where == conflict.where; });
      }
      left_out(conflict.where.line, conflict.text);
    }
  }
}

imported draft::take() {
  if (out_.policy.phases.empty()) phase(from_.phase);
  out_.policy.file = from_.file;
  for (auto& phase : out_.policy.phases) pair_up(phase.allow);
  pair_up(out_.policy.deny);
  drop_contradictions();
  const auto by_line = [](const remark& a, const remark& b) {
    return std::tie(a.line, a.text) < std::tie(b.line, b.text);
  };
  std::ranges::sort(out_.differs, by_line);
  std::ranges::sort(out_.left_out, by_line);
  return std::move(out_);
}

allowlist::port_set web_ports() {
  return allowlist::port_set::of({{80, 80}, {443, 443}});
}

bool is_address(std::string_view text) {
  return core::cidr::parse(text).has_value();
}

bool overlap(const spelled& a, const spelled& b) {
  const auto holds = [](const spelled& outer, const spelled& inner) {
    if (outer.host == inner.host)
      return outer.reach == reach::name_below || inner.reach == reach::name_below ||
             (outer.reach == reach::name) == (inner.reach == reach::name);
    return outer.reach != reach::name && inner.host.ends_with("." + outer.host);
  };
  return holds(a, b) || holds(b, a);
}

std::expected<spelled, std::string> read_star(std::string_view text, reach bare) {
  if (text.empty()) return std::unexpected("an empty name");
  if (text.find('*') == std::string_view::npos) {
    // An address has no names below it.
    return spelled{std::string(text), is_address(text) ? reach::name : bare};
  }
  if (!text.starts_with("*.") || text.find('*', 1) != std::string_view::npos || text.size() == 2)
    return std::unexpected(
        fmt::format("`{}`: an asterisk stands only as the whole first label of a name", text));
  return spelled{std::string(text.substr(2)), reach::below};
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = text.find_first_of(separators);
    if (const auto part = trimmed(text.substr(0, end)); !part.empty()) out.push_back(part);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return out;
}

const config::yaml::node* find(const config::yaml::node& map, std::string_view key) {
  if (map.kind != config::yaml::node_kind::map) return nullptr;
  const auto entry = std::ranges::find(map.entries, key, &config::yaml::entry::key);
  return entry == map.entries.end() ? nullptr : &entry->value;
}

std::expected<config::yaml::node, config::errors> parse_tree(const source& from) {
  config::yaml::error_list found(from.file);
  auto root = config::yaml::parse(from.text, found);
  if (!root || !found.empty()) return std::unexpected(found.take());
  return std::move(*root);
}

}  // namespace exeat::importers
