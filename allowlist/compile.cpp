#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "allowlist/address_forms.hpp"
#include "allowlist/address_guard.hpp"
#include "allowlist/lint_cover.hpp"
#include "allowlist/matcher.hpp"
#include "allowlist/policy.hpp"

namespace exeat::allowlist {
namespace {

using conflicts = std::vector<conflict>;

auto place(const mark& where) {
  return std::tuple(std::string_view(where.file), where.line, where.column);
}

std::string quoted_place(const mark& where) {
  const auto text = where.to_string();
  return text.empty() ? "elsewhere" : text;
}

bool same_terms(const rule& a, const rule& b) {
  static const rule_terms none;
  return a.terms == b.terms || (a.terms ? *a.terms : none) == (b.terms ? *b.terms : none);
}

// Equal in all that a reader of the policy sees except the place and whether 443 was written or implied. Two
// bundles may have different reasons for one host.
bool same_attributes(const rule& a, const rule& b) {
  if (a.bundle.empty() != b.bundle.empty() || a.tls != b.tls || a.ech != b.ech || a.expires != b.expires ||
      !same_terms(a, b))
    return false;
  if (!a.bundle.empty()) return true;
  return std::tie(a.reason, a.owner, a.ticket, a.accept_risk, a.final) ==
         std::tie(b.reason, b.owner, b.ticket, b.accept_risk, b.final);
}

bool same_but_expires(const rule& a, const rule& b) {
  return a.tls == b.tls && a.ech == b.ech && same_terms(a, b);
}

std::string differing_attributes(const rule& a, const rule& b) {
  std::string out;
  const auto note = [&](bool differs, std::string_view key) {
    if (!differs) return;
    if (!out.empty()) out += ", ";
    out.append("`").append(key).append("`");
  };
  note(a.tls != b.tls, "tls");
  note(a.ech != b.ech, "ech");
  note(a.expires != b.expires, "expires");
  static const rule_terms none;
  const auto& x = a.terms ? *a.terms : none;
  const auto& y = b.terms ? *b.terms : none;
  note(x.resolve_in != y.resolve_in, "resolve_in");
  note(x.max_names != y.max_names, "max_names");
  note(x.max_name_entropy != y.max_name_entropy, "max_name_entropy");
  note(x.limits.upload != y.limits.upload, "upload_limit");
  note(x.limits.download != y.limits.download, "download_limit");
  note(x.limits.requests != y.limits.requests, "request_limit");
  note(x.methods != y.methods, "methods");
  note(x.paths != y.paths, "paths");
  if (!a.bundle.empty() && !b.bundle.empty()) return out;
  note(a.accept_risk != b.accept_risk, "accept_risk");
  note(a.final != b.final, "final");
  note(a.reason != b.reason, "reason");
  note(a.owner != b.owner, "owner");
  note(a.ticket != b.ticket, "ticket");
  return out;
}

std::uint64_t hash_of_what(const rule& rule) {
  if (const auto* pattern = std::get_if<host_pattern>(&rule.what)) return hash_of(pattern->name.view());
  const auto octets = std::get<core::cidr>(rule.what).base.bytes();
  return hash_of({reinterpret_cast<const char*>(octets.data()), octets.size()});
}

// Leaves one of each set of repetitions: the one that stands first in the files, and of `443` implied and
// `443` written the written one, which lets everything through that the other does.
void fold_repetitions(std::vector<rule>& rules, std::vector<repetition>& folded) {
  struct place_of {
    std::uint64_t hash;  // of what the rule names: settles most comparisons
    std::size_t index;
  };
  std::vector<place_of> order;
  order.reserve(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) order.push_back({hash_of_what(rules[i]), i});
  std::ranges::sort(order, [&](const place_of& a, const place_of& b) {
    if (a.hash != b.hash) return a.hash < b.hash;
    const rule& x = rules[a.index];
    const rule& y = rules[b.index];
    if (governs_before(x, y)) return true;
    if (governs_before(y, x)) return false;
    return std::tuple(place(x.where), a.index) < std::tuple(place(y.where), b.index);
  });
  std::vector<bool> drop(rules.size(), false);
  const rule* kept = nullptr;
  for (const auto& [hash, index] : order) {
    const rule& current = rules[index];
    if (kept != nullptr && kept->what == current.what && kept->ports == current.ports &&
        same_attributes(*kept, current)) {
      drop[index] = true;
      folded.push_back({what_text(current), current.where, kept->where});
    } else {
      kept = &current;
    }
  }
  std::vector<rule> left;
  left.reserve(rules.size());
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!drop[i]) left.push_back(std::move(rules[i]));
  }
  rules = std::move(left);
}

std::string bounded(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return std::string(text);
  return fmt::format("{}~{:08x}", text.substr(0, limit - 9), hash_of(text) >> 32);
}

bool is_of(const std::vector<rule>& rules, const rule* rule) {
  return !rules.empty() && !std::less()(rule, rules.data()) && std::less()(rule, rules.data() + rules.size());
}

void assign_ids(policy_source& source) {
  constexpr std::size_t longest_section = 63;
  constexpr std::size_t longest_ports = 48;
  struct named {
    std::uint64_t hash;  // of the id
    allowlist::rule* rule;
  };
  std::vector<named> all;
  const auto name_all = [&](std::string_view section, std::vector<rule>& rules) {
    const auto prefix = bounded(section, longest_section);
    for (auto& rule : rules) {
      rule.id =
          fmt::format("{}/{}:{}", prefix, what_text(rule), bounded(rule.ports.to_string(), longest_ports));
      rule.at = rule.where.to_string();
      all.push_back({hash_of(rule.id), &rule});
    }
  };
  name_all("deny", source.deny);
  for (auto& phase : source.phases) name_all(phase.name, phase.allow);

  // A wildcard with and without `apex`, rules in conflict, or a phase named `deny` and the section of that
  // name share a text: they are numbered in an order that does not depend on the file's.
  std::ranges::sort(all, [&](const named& a, const named& b) {
    if (a.hash != b.hash) return a.hash < b.hash;
    if (a.rule->id != b.rule->id) return a.rule->id < b.rule->id;
    if (governs_before(*a.rule, *b.rule)) return true;
    if (governs_before(*b.rule, *a.rule)) return false;
    return is_of(source.deny, a.rule) && !is_of(source.deny, b.rule);
  });
  std::string_view previous;
  unsigned repetition = 1;
  for (const auto& [hash, rule] : all) {
    if (rule->id == previous) {
      rule->id += fmt::format("#{}", ++repetition);
    } else {
      previous = rule->id;
      repetition = 1;
    }
  }
}

void check_phases(const policy_source& source, conflicts& out) {
  constexpr std::size_t most_phases = 65535;  // phase_id
  if (source.phases.size() > most_phases)
    out.push_back({source.phases[most_phases].where, "a policy has at most 65535 phases"});
  std::vector<const phase*> sorted;
  sorted.reserve(source.phases.size());
  for (const auto& phase : source.phases) sorted.push_back(&phase);
  std::ranges::sort(sorted, [](const phase* a, const phase* b) {
    return std::tuple(std::string_view(a->name), place(a->where)) <
           std::tuple(std::string_view(b->name), place(b->where));
  });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i]->name != sorted[i - 1]->name) continue;
    out.push_back({sorted[i]->where, fmt::format("phase `{}` is already defined at {}", sorted[i]->name,
                                                 quoted_place(sorted[i - 1]->where))});
  }
}

std::string shown(const rule& rule) {
  const auto* pattern = std::get_if<host_pattern>(&rule.what);
  return fmt::format("`{}`{}", what_text(rule), pattern && pattern->apex ? " with `apex`" : "");
}

// `rules` match the same names alike (or stand on the same prefix) and are ordered by governs_before. Two of
// as many ports that share one can both match one request, and nothing says which of them governs: they must
// then agree in all that hangs on it.
void check_equals(std::span<const rule* const> rules, conflicts& out) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    for (std::size_t j = i + 1; j < rules.size(); ++j) {
      const rule* a = rules[i];
      const rule* b = rules[j];
      // What is written out governs before what a bundle brings: no contradiction.
      if (b->ports.size() != a->ports.size() || a->bundle.empty() != b->bundle.empty()) break;
      // Within one size they are ordered by their first range: nothing further on can reach back.
      if (!a->ports.ranges().empty() && !b->ports.ranges().empty() &&
          b->ports.ranges().front().first > a->ports.ranges().back().last)
        break;
      if (!a->ports.overlaps(b->ports) || same_attributes(*a, *b)) continue;
      // Of two bundles the one that has not expired matches, and nothing else tells them apart.
      if (!a->bundle.empty() && same_but_expires(*a, *b)) continue;
      if (place(b->where) < place(a->where)) std::swap(a, b);
      out.push_back({b->where, fmt::format("{} on port {} and {} on port {} at {} can match the same request "
                                           "and are equally specific, but differ in {}: {}",
                                           shown(*b), b->ports.to_string(), shown(*a), a->ports.to_string(),
                                           quoted_place(a->where), differing_attributes(*a, *b),
                                           a->bundle.empty() ? "make them one rule"
                                                             : "write the host out beside the bundles, and "
                                                               "that rule governs")});
      break;  // the next of several stands against the one after it
    }
  }
}

// An included file that allows what the base has refused or closed for good would lose it without a word.
void check_final(const policy::compiled& compiled, conflicts& out) {
  const auto& source = compiled.source;
  for (const auto& phase : source.phases) {
    for (const auto& rule : phase.allow) {
      if (!rule.included) continue;
      if (phase.final) {
        out.push_back(
            {rule.where, fmt::format("phase `{}` is `final` at {}: no included file can add {} to it",
                                     phase.name, quoted_place(phase.where), shown(rule))});
        continue;
      }
      if (const auto* deny = final_deny_of(compiled, rule)) {
        out.push_back({rule.where, fmt::format("{} is within the deny {} at {}, which is `final`: it would "
                                               "never match",
                                               shown(rule), shown(*deny), quoted_place(deny->where))});
      }
    }
  }
}

void check_rules(const policy::compiled& compiled, conflicts& out) {
  std::vector<const rule*> group;
  compiled.hosts.each_bucket([&](std::span<const host_index::entry> entries) {
    for (std::size_t i = 0; i < entries.size(); ++i) {
      group.push_back(entries[i].rule);
      if (i + 1 < entries.size() && entries[i + 1].reach == entries[i].reach) continue;
      if (group.size() > 1) check_equals(group, out);
      group.clear();
    }
  });
  compiled.prefixes.each_bucket([&](std::span<const rule* const> rules) { check_equals(rules, out); });
}

// Its own phase would trip over it; and a rule that allows it would lose it without a word.
void check_canaries(const policy::compiled& compiled, conflicts& out) {
  const auto& phases = compiled.source.phases;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    for (const auto& canary : phases[i].canaries) {
      compiled.hosts.visit(static_cast<scope>(i), name_suffixes(canary.name.view()), [&](const rule& rule) {
        out.push_back({canary.where, fmt::format("`{}` is a canary of phase `{}`, but the rule {} at {} "
                                                 "allows it there: a name cannot be both",
                                                 canary.name.view(), phases[i].name, shown(rule),
                                                 quoted_place(rule.where))});
        return true;
      });
    }
  }
}

void check_exceptions(const policy_source& source, conflicts& out) {
  for (const auto& exception : source.addresses) {
    if (exception.prefix.is_single()) continue;
    for (const auto& range : special_ranges()) {
      if (!range.metadata) continue;
      const auto inside = spellings_of(range.prefix.base);
      const auto hit = std::ranges::find_if(
          inside, [&](const core::ip_address& a) { return exception.prefix.contains(a); });
      if (hit == inside.end()) continue;
      out.push_back({exception.where,
                     fmt::format("the exception {} covers {} ({}): a cloud metadata address can be excepted "
                                 "only by its own prefix of one address; split the prefix around it",
                                 exception.prefix.to_string(), hit->to_string(), range.name)});
      break;
    }
  }
}

}  // namespace

policy::policy(std::unique_ptr<compiled> c) noexcept : compiled_(std::move(c)) {}
policy::~policy() = default;
policy::policy(policy&&) noexcept = default;
policy& policy::operator=(policy&&) noexcept = default;

std::expected<policy, std::vector<conflict>> compile(policy_source source) {
  conflicts found;
  check_phases(source, found);
  check_exceptions(source, found);
  source.repeated.clear();
  for (auto& phase : source.phases) fold_repetitions(phase.allow, source.repeated);
  fold_repetitions(source.deny, source.repeated);
  assign_ids(source);

  auto out = std::make_unique<policy::compiled>();
  out->source = std::move(source);
  std::vector<std::pair<scope, const rule*>> rules;
  for (std::size_t i = 0; i < out->source.phases.size(); ++i) {
    const auto& phase = out->source.phases[i];
    out->phases.emplace(phase.name, static_cast<phase_id>(i));
    for (const auto& rule : phase.allow) rules.emplace_back(static_cast<scope>(i), &rule);
    for (const auto& canary : phase.canaries) {
      const auto name = canary.name.view();
      out->canaries.insert({name, hash_of(name), static_cast<scope>(i)});
    }
  }
  for (const auto& rule : out->source.deny) rules.emplace_back(out->deny_scope(), &rule);
  out->hosts.build(rules);
  build_prefixes(out->prefixes, rules, out->source.phases.size() + 1);
  build_exceptions(out->exceptions, out->source.addresses);

  check_rules(*out, found);
  check_final(*out, found);
  check_canaries(*out, found);
  if (!found.empty()) {
    std::ranges::sort(found, [](const conflict& a, const conflict& b) {
      return std::tuple(place(a.where), a.text) < std::tuple(place(b.where), b.text);
    });
    const auto repeated = std::ranges::unique(
        found, [](const conflict& a, const conflict& b) { return a.where == b.where && a.text == b.text; });
    found.erase(repeated.begin(), repeated.end());
    return std::unexpected(std::move(found));
  }
  return policy(std::move(out));
}

const policy_source& policy::source() const noexcept {
  return compiled_->source;
}

std::optional<phase_id> policy::find_phase(std::string_view name) const noexcept {
  const auto found = compiled_->phases.find(name);
  if (found == compiled_->phases.end()) return std::nullopt;
  return found->second;
}

const phase& policy::phase_of(phase_id id) const noexcept {
  return compiled_->source.phases[static_cast<std::size_t>(id)];
}

std::size_t policy::rule_count() const noexcept {
  std::size_t count = compiled_->source.deny.size();
  for (const auto& phase : compiled_->source.phases) count += phase.allow.size();
  return count;
}

}  // namespace exeat::allowlist
