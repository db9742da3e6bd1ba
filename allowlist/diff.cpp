#include "allowlist/diff.hpp"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <map>

#include "allowlist/address_guard.hpp"
#include "allowlist/diff_lines.hpp"
#include "allowlist/diff_reach.hpp"
#include "allowlist/diff_terms.hpp"
#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

bool opens(direction direction) {
  return direction == direction::wider || direction == direction::both;
}
bool closes(direction direction) {
  return direction == direction::narrower || direction == direction::both;
}

// True where every name of `inner` is one of `outer`.
bool takes_in(const host_pattern& outer, const host_pattern& inner) {
  if ((inner.apex || inner.depth == depth::exact) && !outer.matches(inner.name)) return false;
  if (inner.depth == depth::exact) return true;
  if (inner.name == outer.name) return outer.depth == depth::any_labels || outer.depth == inner.depth;
  return outer.depth == depth::any_labels && outer.matches(inner.name);
}

bool has_metadata(const core::cidr& prefix) {
  const auto* range = special_range_of(prefix.base);
  return range != nullptr && range->metadata;
}

// What `from` excepts and no single entry of `other` does.
void compare_exceptions(const policy& from, const policy& other, bool added, std::size_t& work,
                        std::vector<exception_change>& out) {
  for (const auto& entry : from.source().addresses) {
    const auto held = [&](auto&& matches) {
      bool found = false;
      other.matcher().exceptions.visit(0, entry.prefix.base, [&](const address_exception& wider) {
        // A metadata address is excepted by a prefix of one address alone.
        found = wider.prefix.contains(entry.prefix) &&
                (wider.prefix.is_single() || !entry.prefix.is_single() || !has_metadata(entry.prefix)) &&
                matches(wider);
        return found;
      });
      return found;
    };
    exception_change change{.added = added, .prefix = entry.prefix, .entry = &entry};
    for (const auto& host : entry.hosts) {
      if (work > most_diff_work) return;
      const auto same = [&](const address_exception& wider) {
        work += wider.hosts.size();
        return std::ranges::any_of(wider.hosts, [&](const host_pattern& p) { return takes_in(p, host); });
      };
      if (!held(same)) change.hosts.push_back(host);
    }
    change.literal = entry.literal && !held([](const address_exception& wider) { return wider.literal; });
    if (!change.hosts.empty() || change.literal) out.push_back(std::move(change));
  }
}

bool same_but_for_words(const rule& a, const rule& b) {
  static const rule_terms none;
  return a.ports_written == b.ports_written && a.tls == b.tls && a.ech == b.ech && a.expires == b.expires &&
         (a.terms ? *a.terms : none) == (b.terms ? *b.terms : none);
}

// Rules have the same id where they name the same hosts and ports in the same phase.
std::size_t count_reworded(const policy& before, const policy& after) {
  boost::unordered_flat_map<std::string_view, const rule*> old_rules;
  const auto each = [](const policy& policy, auto&& visit) {
    for (const auto& rule : policy.source().deny) visit(rule);
    for (const auto& phase : policy.source().phases) std::ranges::for_each(phase.allow, visit);
  };
  old_rules.reserve(before.rule_count());
  each(before, [&](const rule& rule) { old_rules.emplace(rule.id, &rule); });
  std::size_t count = 0;
  each(after, [&](const rule& now) {
    const auto found = old_rules.find(now.id);
    if (found == old_rules.end()) return;
    const auto& then = *found->second;
    const bool reworded = then.reason != now.reason || then.owner != now.owner || then.ticket != now.ticket ||
                          then.accept_risk != now.accept_risk;
    if (reworded && same_but_for_words(then, now)) ++count;
  });
  return count;
}

class whole_comparison {
 public:
  whole_comparison(const policy& before, const policy& after, std::chrono::sys_seconds now)
      : before_(before), after_(after), now_(now) {}

  std::expected<policy_diff, std::string> run() {
    std::map<std::string_view, std::pair<const phase*, const phase*>> phases;
    for (const auto& phase : before_.source().phases) phases[phase.name].first = &phase;
    for (const auto& phase : after_.source().phases) phases[phase.name].second = &phase;

    policy_diff out;
    compare_limits(before_.source().limits, after_.source().limits, out.facts);
    if (!add(before_, {}, after_, {}, diff_about::resolved, out.addresses)) return std::unexpected(error_);
    sort_lines(out.addresses);
    compare_exceptions(after_, before_, true, work_, out.exceptions);
    compare_exceptions(before_, after_, false, work_, out.exceptions);
    if (work_ > most_diff_work) return std::unexpected(std::string(too_entangled));
    for (const auto& [name, pair] : phases) {
      phase_diff one{
          .name = std::string(name), .before = pair.first, .after = pair.second, .facts = {}, .changes = {}};
      if (one.before != nullptr && one.after != nullptr) {
        one.facts = compare_phases(*one.before, *one.after);
      } else if (one.after != nullptr && one.after->mode == phase_mode::audit) {
        one.facts.push_back({"mode", "none", "audit", direction::wider});
      }
      const auto then = before_.find_phase(name);
      const auto now = after_.find_phase(name);
      if (!add(before_, then, after_, now, diff_about::names, one.changes) ||
          !add(before_, then, after_, now, diff_about::literals, one.changes))
        return std::unexpected(error_);
      sort_lines(one.changes);
      if (one.after != nullptr && one.is_untrusted() && (one.is_wider() || out.is_wider_for_all()))
        out.widened_untrusted.push_back(one.name);
      if (!one.is_empty()) out.phases.push_back(std::move(one));
    }
    out.reworded = count_reworded(before_, after_);
    return out;
  }

 private:
  bool add(const policy& before, std::optional<phase_id> then, const policy& after,
           std::optional<phase_id> now, diff_about about, std::vector<reach_change>& into) {
    auto found = compare_reach({&before, then}, {&after, now}, about, now_, work_);
    if (!found) {
      error_ = std::move(found.error());
      return false;
    }
    std::ranges::move(*found, std::back_inserter(into));
    return true;
  }

  const policy& before_;
  const policy& after_;
  std::chrono::sys_seconds now_;
  std::size_t work_ = 0;
  std::string error_;
};

}  // namespace

std::string_view to_string(direction direction) noexcept {
  switch (direction) {
    case direction::wider:
      return "wider";
    case direction::narrower:
      return "narrower";
    case direction::both:
      return "wider and narrower";
    case direction::neutral:
      break;
  }
  return "neither wider nor narrower";
}

std::string to_string(const subject& subject) {
  if (const auto* pattern = std::get_if<host_pattern>(&subject)) return pattern->to_string();
  return std::get<core::cidr>(subject).to_string();
}

bool covers(const subject& subject, const core::host& host) noexcept {
  if (const auto* name = std::get_if<core::host_name>(&host)) {
    const auto* pattern = std::get_if<host_pattern>(&subject);
    return pattern != nullptr && pattern->matches(*name);
  }
  const auto* prefix = std::get_if<core::cidr>(&subject);
  return prefix != nullptr && prefix->contains(std::get<core::ip_address>(host));
}

bool reach_change::is_wider() const noexcept {
  return kind == change_kind::becomes_reachable ||
         std::ranges::any_of(terms, [](const term_change& t) { return opens(t.direction); });
}

bool reach_change::is_narrower() const noexcept {
  return kind == change_kind::stops_being_reachable ||
         std::ranges::any_of(terms, [](const term_change& t) { return closes(t.direction); });
}

bool reach_change::covers(const core::host& host) const noexcept {
  return allowlist::covers(what, host) &&
         std::ranges::none_of(except, [&](const subject& s) { return allowlist::covers(s, host); });
}

bool phase_diff::is_untrusted() const noexcept {
  return (before != nullptr && before->untrusted) || (after != nullptr && after->untrusted);
}

bool phase_diff::is_wider() const noexcept {
  return std::ranges::any_of(facts, [](const term_change& t) { return opens(t.direction); }) ||
         std::ranges::any_of(changes, &reach_change::is_wider);
}

bool phase_diff::is_narrower() const noexcept {
  return std::ranges::any_of(facts, [](const term_change& t) { return closes(t.direction); }) ||
         std::ranges::any_of(changes, &reach_change::is_narrower);
}

bool phase_diff::is_empty() const noexcept {
  return before != nullptr && after != nullptr && facts.empty() && changes.empty();
}

bool policy_diff::is_wider_for_all() const noexcept {
  return std::ranges::any_of(facts, [](const term_change& t) { return opens(t.direction); }) ||
         std::ranges::any_of(addresses, &reach_change::is_wider) ||
         std::ranges::any_of(exceptions, &exception_change::added);
}

bool policy_diff::is_empty() const noexcept {
  return phases.empty() && facts.empty() && addresses.empty() && exceptions.empty();
}

std::expected<policy_diff, std::string> diff(const policy& before, const policy& after,
                                             std::chrono::sys_seconds now) {
  return whole_comparison(before, after, now).run();
}

}  // namespace exeat::allowlist
