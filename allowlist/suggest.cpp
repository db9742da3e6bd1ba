#include "allowlist/suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "allowlist/address_guard.hpp"
#include "allowlist/bundles.hpp"
#include "allowlist/explain_likeness.hpp"
#include "allowlist/host_risk.hpp"
#include "allowlist/name_entropy.hpp"

namespace exeat::allowlist {
namespace {

constexpr std::size_t most_keys = 100'000;
constexpr std::size_t most_names_under_one = 20;
constexpr std::size_t most_shapes = 5'000;

std::string times(std::uint64_t count) {
  return count == 1 ? std::string("once") : fmt::format("{} times", count);
}

// Reasons that a further rule can change.
bool asks_for_rule(core::reason reason) {
  using core::reason;
  return reason == reason::no_rule || reason == reason::port_not_allowed ||
         reason == reason::scheme_not_allowed || reason == reason::rule_expired ||
         reason == reason::ip_literal || reason == reason::deny_rule || reason == reason::http_only ||
         reason == reason::method_not_allowed || reason == reason::path_not_allowed;
}

// Names that somebody has written down, to hold others against.
class known_names {
 public:
  explicit known_names(const policy* base) {
    for (const auto& bundle : bundles()) {
      for (const auto& host : bundle.hosts) {
        if (const auto pattern = host_pattern::parse(host.host)) add(pattern->name.view());
      }
    }
    if (base == nullptr) return;
    for (const auto& phase : base->source().phases) {
      for (const auto& rule : phase.allow) {
        if (const auto* pattern = std::get_if<host_pattern>(&rule.what)) add(pattern->name.view());
      }
    }
  }

  // The known name that `name`, or what stands behind its first labels, is easily taken for.
  std::string like(const core::host_name& name) const {
    for (auto text = name.view(); text.find('.') != std::string_view::npos;
         text.remove_prefix(text.find('.') + 1)) {
      if (names_.contains(text)) return {};
      const auto shape = shape_of(text);
      for (const auto& [known, known_shape] : shapes_) {
        if (likeness_of(shape, known_shape) != likeness::none) return known;
      }
    }
    return {};
  }

 private:
  void add(std::string_view name) {
    if (names_.emplace(name).second && shapes_.size() < most_shapes)
      shapes_.emplace_back(name, shape_of(name));
  }
  std::set<std::string, std::less<>> names_;
  std::vector<std::pair<std::string, name_shape>> shapes_;
};

std::string_view parent_of(std::string_view name) {
  const auto dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(dot + 1);
}

// All that was asked of one host by one phase.
struct wish {
  std::string phase;
  core::host_name name;
  std::vector<port_range> tunnel_ports, plain_ports;
  std::set<std::string> methods;
  std::uint64_t count = 0;
  std::string first;
  std::string near;
};

std::string reason_text(std::uint64_t count, const std::string& first) {
  return fmt::format("observed {}, first {}", times(count), first.empty() ? "at an unknown time" : first);
}

// The rules for a wish: one for tunnels, one for plain HTTP.
void make_rules(const wish& wish, const host_pattern& pattern, const rule_terms& bounds,
                std::vector<suggestion>& out) {
  const auto make = [&](port_set ports, bool written, rule_terms terms) {
    rule rule{.what = pattern};
    rule.ports = std::move(ports);
    rule.ports_written = written;
    rule.reason = reason_text(wish.count, wish.first);
    terms.max_names = bounds.max_names;
    terms.max_name_entropy = bounds.max_name_entropy;
    if (terms != rule_terms{}) rule.terms = std::make_shared<const rule_terms>(std::move(terms));
    out.push_back({wish.phase, std::move(rule), wish.count, wish.first, wish.near});
  };
  // 443 by itself, not written, is for TLS alone; another port that is written admits plain HTTP as well.
  std::vector<port_range> other_ports, plain_ports;
  bool tls = false;
  for (const auto& port : wish.tunnel_ports) {
    if (port.first == 443) {
      tls = true;
    } else {
      other_ports.push_back(port);
    }
  }
  const auto others = port_set::of(other_ports);
  for (const auto& port : wish.plain_ports) {
    if (!others.contains(port.first)) plain_ports.push_back(port);
  }
  if (tls) make(port_set::of({{443, 443}}), false, {});
  if (others.size() > 0) make(others, true, {});
  if (const auto ports = port_set::of(plain_ports); ports.size() > 0)
    make(ports, true, {.methods = {wish.methods.begin(), wish.methods.end()}});
}

}  // namespace

std::string_view odd_label(std::string_view label) noexcept {
  constexpr std::size_t longest = 30;
  constexpr std::size_t enough = 12;
  if (label.size() > longest) return "a label of more than 30 characters";
  if (label.size() < enough || label.starts_with("xn--")) return {};
  std::array<unsigned, 256> counts{};
  std::size_t digits_inside = 0, hex = 0;  // digits with a letter behind them
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t i = 0; i < label.size(); ++i) {
    const char c = label[i];
    ++counts[static_cast<unsigned char>(c)];
    digits_inside += is_digit(c) && i + 1 < label.size() && !is_digit(label[i + 1]) ? 1 : 0;
    hex += (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ? 1 : 0;
  }
  if (hex == label.size()) return "a label that reads like hexadecimal data";
  double entropy = 0;
  for (const auto count : counts) {
    if (count == 0) continue;
    const auto share = static_cast<double>(count) / static_cast<double>(label.size());
    entropy -= share * std::log2(share);
  }
  // Words repeat letters and have their digits at the end; encoded data does neither.
  constexpr double high = 3.3;
  if (entropy > high && digits_inside >= 2 && label.find('-') == std::string_view::npos)
    return "a label that reads like encoded data";
  if (entropy > 3.9 && label.find('-') == std::string_view::npos)
    return "a label that reads like encoded data";
  return {};
}

bool suggester::is_canary(std::string_view phase, const core::host_name& name) const {
  if (canaries_.contains(std::pair(std::string(phase), std::string(name.view())))) return true;
  const auto id = base_ == nullptr ? std::nullopt : base_->find_phase(phase);
  return id && std::ranges::find(base_->phase_of(*id).canaries, name, &canary::name) !=
                   base_->phase_of(*id).canaries.end();
}

bool suggester::covers_canary(std::string_view phase, const host_pattern& pattern) const {
  const auto seen = [&](const std::pair<std::string, std::string>& one) {
    const auto name = core::host_name::parse(one.second);
    return one.first == phase && name && pattern.matches(*name);
  };
  if (std::ranges::any_of(canaries_, seen)) return true;
  const auto id = base_ == nullptr ? std::nullopt : base_->find_phase(phase);
  return id && std::ranges::any_of(base_->phase_of(*id).canaries,
                                   [&](const canary& one) { return pattern.matches(one.name); });
}

void suggester::refused(const observation& one) {
  if (one.reason == core::reason::canary && canaries_.size() < most_keys)
    canaries_.emplace(one.phase.substr(0, 64), one.host.substr(0, 256));
  if (!asks_for_rule(one.reason)) {
    ++other_[core::code_of(one.reason)];
    return;
  }
  key key{std::string(one.phase.substr(0, 64)), std::string(one.host.substr(0, 256)), one.port, one.plain};
  auto found = seen_.find(key);
  if (found == seen_.end()) {
    if (seen_.size() >= most_keys) {
      ++left_out_;
      return;
    }
    found = seen_.emplace(std::move(key), tally{}).first;
  }
  auto& tally = found->second;
  ++tally.count;
  tally.reason = one.reason;
  if (!one.date.empty() && (tally.first.empty() || one.date < tally.first))
    tally.first = one.date.substr(0, 10);
  constexpr std::size_t most_methods = 16;
  if (one.plain && tally.methods.size() < most_methods) tally.methods.emplace(one.method.substr(0, 32));
}

suggestions suggester::propose(const suggest_options& options) const {
  suggestions out;
  out.left_out = left_out_;
  out.other_reasons = other_;
  const known_names known(base_);
  std::map<std::pair<std::string, std::string>, wish> wishes;                       // by phase and name
  std::map<std::pair<std::string, std::string>, std::set<std::string_view>> under;  // by phase and parent

  const auto hold = [&](const key& key, const tally& tally, std::string why) {
    const auto& [phase, host, port, plain] = key;
    out.held_back.push_back({phase, fmt::format("{}{}:{}", plain ? "http://" : "", host, port), tally.count,
                             tally.first, std::move(why)});
  };
  const auto is_method = [](const std::string& method) {
    return !method.empty() && method != "CONNECT" &&
           std::ranges::all_of(method, [](char c) { return (c >= 'A' && c <= 'Z') || c == '-'; });
  };

  for (const auto& [key, tally] : seen_) {
    const auto& [phase, host, port, plain] = key;
    const allowlist::phase* in = nullptr;
    std::string near;
    if (base_ != nullptr) {
      const auto id = base_->find_phase(phase);
      if (!id) {
        hold(key, tally, "the policy has no phase of that name");
        continue;
      }
      in = &base_->phase_of(*id);
      if (in->final) {
        hold(key, tally, "the phase is `final`: no included file can add to it");
        continue;
      }
    }
    if (const auto literal = core::ip_address::parse(host)) {
      hold(key, tally,
           special_range_of(*literal) != nullptr
               ? "a special-purpose address: see `addresses`"
               : fmt::format("an address: a `cidr` rule for {} would let it pass, whoever is there", host));
      continue;
    }
    const auto name = core::host_name::parse(host);
    if (!name || port == 0) {
      hold(key, tally, "not a name");
      continue;
    }
    if (is_canary(phase, *name)) {
      out.other_reasons[core::code_of(core::reason::canary)] += tally.count;
      continue;
    }
    const core::destination to{*name, port};
    if (base_ != nullptr) {
      const auto decided =
          decide(*base_, {.phase = *base_->find_phase(phase),
                          .scheme = plain ? core::scheme::http : core::scheme::https,
                          .to = &to,
                          .now = options.now,
                          .method = tally.methods.empty() ? std::string_view("GET")
                                                          : std::string_view(*tally.methods.begin()),
                          .path = "/"});
      if (decided.verdict == verdict::allow) {
        out.already_allowed += tally.count;
        continue;
      }
      if (decided.reason == core::reason::deny_rule) {
        hold(key, tally, fmt::format("refused by {} ({})", decided.governing->id, decided.governing->at));
        continue;
      }
      if (decided.governing != nullptr && decided.reason != core::reason::port_not_allowed) {
        hold(key, tally,
             fmt::format("{}: change {} ({})", core::code_of(decided.reason), decided.governing->id,
                         decided.governing->at));
        continue;
      }
      if (decided.governing != nullptr) near = decided.governing->id;
    } else if (tally.reason == core::reason::deny_rule) {
      hold(key, tally, "refused by a rule under `deny`");
      continue;
    }
    if (plain && (port == 443 || !std::ranges::all_of(tally.methods, is_method))) {
      hold(key, tally, port == 443 ? "plain HTTP to 443" : "a method that no rule can name");
      continue;
    }
    auto& wish =
        wishes.try_emplace({phase, host}, allowlist::wish{.phase = phase, .name = *name}).first->second;
    (plain ? wish.plain_ports : wish.tunnel_ports).push_back({port, port});
    wish.methods.insert(tally.methods.begin(), tally.methods.end());
    wish.count += tally.count;
    if (wish.first.empty() || (!tally.first.empty() && tally.first < wish.first)) wish.first = tally.first;
    if (!near.empty()) wish.near = near;
  }
  for (const auto& [key, wish] : wishes)
    under[{wish.phase, std::string(parent_of(wish.name.view()))}].insert(key.second);

  std::map<std::pair<std::string, std::string>, std::vector<const wish*>> families;
  for (const auto& [key, wish] : wishes) {
    const auto hold_wish = [&](std::string why) {
      const auto port = wish.tunnel_ports.empty() ? wish.plain_ports.front() : wish.tunnel_ports.front();
      out.held_back.push_back(
          {wish.phase,
           fmt::format("{}{}:{}", wish.tunnel_ports.empty() ? "http://" : "", wish.name.view(), port.first),
           wish.count, wish.first, std::move(why)});
    };
    const bool untrusted = base_ == nullptr || base_->phase_of(*base_->find_phase(wish.phase)).untrusted;
    const auto parent = std::string(parent_of(wish.name.view()));
    std::string_view odd;
    for (auto rest = wish.name.view(); !rest.empty() && odd.empty();) {
      odd = odd_label(rest.substr(0, rest.find('.')));
      rest = parent_of(rest);
    }
    if (!odd.empty()) {
      hold_wish(std::string(odd));
      continue;
    }
    const auto family = under[{wish.phase, parent}].size();
    const bool wild = options.wildcards != 0 && family >= options.wildcards;
    if (family > most_names_under_one && !wild) {
      hold_wish(fmt::format("{} names under {}: names can carry data", family, parent));
      continue;
    }
    if (const auto like = known.like(wish.name); !like.empty()) {
      hold_wish(fmt::format("easily taken for {}", like));
      continue;
    }
    const auto risk = risk_of(wish.name);
    if (untrusted && risk) {
      hold_wish(fmt::format("{}: {}",
                            risk->tenant                                ? "anybody can have a name there"
                            : has(risk->risks, allowlist::risk::upload) ? "takes uploads"
                                                                        : "anybody can publish there",
                            risk->why));
      continue;
    }
    if (wish.count < options.min_count.value_or(untrusted ? 2 : 1)) {
      hold_wish(fmt::format("asked for {}", times(wish.count)));
      continue;
    }
    const auto wildcard =
        wild ? host_pattern::parse("*." + parent) : std::unexpected(pattern_error::bad_name);
    if (wildcard && !(risk && risk->tenant) && !covers_canary(wish.phase, *wildcard)) {
      families[{wish.phase, parent}].push_back(&wish);
    } else {
      make_rules(wish, {.name = wish.name}, {}, out.rules);
    }
  }
  for (const auto& [key, members] : families) {
    if (members.size() < options.wildcards) {
      for (const auto* one : members) make_rules(*one, {.name = one->name}, {}, out.rules);
      continue;
    }
    auto all = *members.front();
    for (const auto* one : members) {
      if (one == members.front()) continue;
      all.tunnel_ports.insert(all.tunnel_ports.end(), one->tunnel_ports.begin(), one->tunnel_ports.end());
      all.plain_ports.insert(all.plain_ports.end(), one->plain_ports.begin(), one->plain_ports.end());
      all.methods.insert(one->methods.begin(), one->methods.end());
      all.count += one->count;
      all.first = std::min(all.first, one->first);
    }
    const auto pattern = *host_pattern::parse("*." + key.second);
    // A little more than the names that were seen: their numbers may grow by a digit.
    constexpr std::uint32_t step = 16;
    std::uint32_t most = 0;
    for (const auto* one : members)
      most = std::max(most, entropy_of(wildcard_part(pattern, one->name.view())));
    make_rules(all, pattern,
               {.max_names = static_cast<std::uint32_t>(members.size()),
                .max_name_entropy = (most + step - 1) / step * step},
               out.rules);
  }
  std::ranges::sort(out.rules, [](const suggestion& a, const suggestion& b) {
    return std::tuple(std::string_view(a.phase), what_text(a.rule), a.rule.ports.to_string()) <
           std::tuple(std::string_view(b.phase), what_text(b.rule), b.rule.ports.to_string());
  });
  return out;
}

void usage::allowed(std::string_view rule, std::string_view host) {
  constexpr std::size_t most_rules = 1'000'000;
  constexpr std::size_t most_names = 21;  // one more than is shown
  auto found = names_.find(rule);
  if (found == names_.end()) {
    if (rule.empty() || names_.size() >= most_rules) return;
    found = names_.emplace(std::string(rule), std::set<std::string>{}).first;
  }
  if (found->second.size() < most_names) found->second.emplace(host.substr(0, 256));
}

std::vector<unused_rule> usage::find() const {
  std::vector<unused_rule> out;
  for (const auto& phase : policy_.source().phases) {
    std::set<std::pair<std::string_view, int>> used_bundles;
    for (const auto& rule : phase.allow) {
      if (!rule.bundle.empty() && names_.contains(rule.id))
        used_bundles.emplace(rule.bundle, rule.where.line);
    }
    std::set<std::pair<std::string_view, int>> told;
    for (const auto& rule : phase.allow) {
      const auto hit = names_.find(rule.id);
      if (!rule.bundle.empty()) {
        const std::pair<std::string_view, int> use{rule.bundle, rule.where.line};
        if (!used_bundles.contains(use) && told.insert(use).second) out.push_back({&rule, phase.name, {}});
        continue;
      }
      if (hit == names_.end()) {
        out.push_back({&rule, phase.name, {}});
        continue;
      }
      const auto* pattern = std::get_if<host_pattern>(&rule.what);
      constexpr std::size_t few = 20;
      if (pattern != nullptr && pattern->depth != depth::exact && hit->second.size() <= few)
        out.push_back({&rule, phase.name, {hit->second.begin(), hit->second.end()}});
    }
  }
  return out;
}

}  // namespace exeat::allowlist
