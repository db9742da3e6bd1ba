#include "allowlist/diff_reach.hpp"

#include <algorithm>
#include <array>

#include "allowlist/address_forms.hpp"
#include "allowlist/address_guard.hpp"
#include "allowlist/diff_classes.hpp"
#include "allowlist/diff_lines.hpp"
#include "allowlist/diff_terms.hpp"
#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

using std::chrono::sys_seconds;

// What a policy answers to everybody of a class on one port at one time.
struct outcome {
  bool allowed = false;
  const rule* governing = nullptr;
};

// What happens at one time: nothing where `kind` is empty.
struct step {
  std::optional<change_kind> kind;
  std::vector<term_change> terms;
  friend bool operator==(const step&, const step&) = default;
};

class comparison {
 public:
  comparison(const diff_side& before, const diff_side& after, diff_about about, sys_seconds now)
      : sides_{before, after}, about_(about), now_(now) {}

  std::vector<destination_class> classes(std::size_t& work) const {
    if (about_ != diff_about::names) return classes_of_addresses(prefixes());
    std::vector<const std::vector<rule>*> lists;
    for (const auto& side : sides_) {
      if (side.phase) lists.push_back(&side.policy->phase_of(*side.phase).allow);
      lists.push_back(&side.policy->source().deny);
    }
    return classes_of_names(lists, most_diff_work, work);
  }

  // Everything that changes for a class of which `host` is one.
  std::vector<class_change> compare(const core::host& host, std::size_t& work) {
    std::vector<class_change> out;
    collect(host);
    if (opening_.empty()) return out;
    bounds_.clear();
    for (const auto* rules : {&opening_, &closing_}) {
      for (const auto* rule : *rules) {
        for (const auto& range : rule->ports.ranges()) {
          bounds_.push_back(range.first);
          bounds_.push_back(range.last + 1U);
        }
      }
    }
    std::ranges::sort(bounds_);
    bounds_.erase(std::ranges::unique(bounds_).begin(), bounds_.end());
    core::destination to{host, 0};
    for (std::size_t i = 0; i + 1 < bounds_.size() && work <= most_diff_work; ++i) {
      to.port = static_cast<std::uint16_t>(bounds_[i]);
      work += opening_.size();
      if (std::ranges::none_of(opening_, [&](const rule* r) { return r->ports.contains(to.port); })) continue;
      const port_range ports{to.port, static_cast<std::uint16_t>(bounds_[i + 1] - 1)};
      choose_times(to.port);
      work += (opening_.size() + closing_.size()) * times_.size();
      compare_ports(to, core::scheme::https, ports, out);
      if (about_ != diff_about::resolved) compare_ports(to, core::scheme::http, ports, out);
    }
    return out;
  }

 private:
  // The prefixes by which addresses are told apart.
  std::vector<core::cidr> prefixes() const {
    std::vector<core::cidr> out;
    bool any_v6 = false;
    const auto add = [&](const std::vector<rule>& rules) {
      for (const auto& rule : rules) {
        if (const auto* prefix = std::get_if<core::cidr>(&rule.what)) {
          out.push_back(*prefix);
          any_v6 |= prefix->base.is_v6();
        }
      }
    };
    for (const auto& side : sides_) {
      if (about_ == diff_about::resolved) {
        add(side.policy->source().deny);
      } else if (side.phase) {
        add(side.policy->phase_of(*side.phase).allow);
      }
    }
    if (out.empty()) return out;
    for (const auto& side : sides_) {
      const auto& source = side.policy->source();
      for (const auto& exception : source.addresses) out.push_back(exception.prefix);
      if (about_ == diff_about::literals) add(source.deny);
    }
    for (const auto& range : special_ranges()) out.push_back(range.prefix);
    // What refuses an IPv4 address refuses the IPv6 addresses that spell it.
    if (!any_v6) return out;
    for (std::size_t i = 0, end = out.size(); i < end; ++i) {
      const auto prefix = out[i];
      if (prefix.base.is_v6()) continue;
      for (const auto& form : spellings_of(prefix.base)) {
        if (form.is_v6()) out.push_back({form, static_cast<std::uint8_t>(96 + prefix.length)});
      }
    }
    return out;
  }

  // The rules that bear on a host: those that can let it through (of `resolved`, that can refuse it) and the
  // rest. Without one of the former nothing can differ.
  void collect(const core::host& host) {
    opening_.clear();
    closing_.clear();
    const auto into = [](std::vector<const rule*>& list) {
      return [&list](const rule& rule) {
        list.push_back(&rule);
        return false;
      };
    };
    if (const auto* name = std::get_if<core::host_name>(&host)) {
      const name_suffixes suffixes(name->view());
      for (const auto& side : sides_) {
        if (side.phase)
          side.policy->matcher().hosts.visit(static_cast<scope>(*side.phase), suffixes, into(opening_));
      }
      if (opening_.empty()) return;
      for (const auto& side : sides_) {
        const auto& compiled = side.policy->matcher();
        compiled.hosts.visit(compiled.deny_scope(), suffixes, into(closing_));
      }
      return;
    }
    const auto& address = std::get<core::ip_address>(host);
    if (about_ == diff_about::resolved && is_refused_anyway(address)) return;
    for (const auto& side : sides_) {
      if (side.phase)
        side.policy->matcher().prefixes.visit(static_cast<scope>(*side.phase), address, into(opening_));
    }
    if (about_ == diff_about::literals && opening_.empty()) return;
    for (const auto& side : sides_) {
      const auto& compiled = side.policy->matcher();
      auto& list = about_ == diff_about::resolved ? opening_ : closing_;
      compiled.prefixes.visit(compiled.deny_scope(), address, into(list));
      for (const auto& inner : embedded_ipv4(address))
        compiled.prefixes.visit(compiled.deny_scope(), inner, into(list));
    }
  }

  // A special-purpose address that neither policy excepts for any name.
  bool is_refused_anyway(const core::ip_address& address) const {
    const auto* range = special_range_of(address);
    if (range == nullptr) return false;
    bool excepted = false;
    for (const auto& side : sides_) {
      side.policy->matcher().exceptions.visit(0, address, [&](const address_exception& exception) {
        excepted |= !range->metadata || exception.prefix.is_single();
        return excepted;
      });
    }
    return !excepted;
  }

  // Now, and the first second of every day from which on a rule for this port counts no more.
  void choose_times(std::uint16_t port) {
    times_.assign(1, now_);
    for (const auto* rules : {&opening_, &closing_}) {
      for (const auto* rule : *rules) {
        if (!rule->expires || !rule->expires->ok() || !rule->ports.contains(port)) continue;
        const auto end = std::chrono::sys_days(*rule->expires) + std::chrono::days(1);
        if (end > now_) times_.push_back(end);
      }
    }
    std::ranges::sort(times_);
    times_.erase(std::ranges::unique(times_).begin(), times_.end());
  }

  outcome judge(const diff_side& side, const core::destination& to, core::scheme scheme,
                sys_seconds at) const {
    if (about_ == diff_about::resolved) {
      const auto* refused =
          denied_prefix(side.policy->matcher(), std::get<core::ip_address>(to.host), to.port, at);
      return {refused == nullptr, refused};
    }
    if (!side.phase) return {};
    const auto decision =
        decide(*side.policy, {.phase = *side.phase, .scheme = scheme, .to = &to, .now = at});
    switch (decision.reason) {
      case core::reason::allowed:
      // Some method, path or name passes: which ones is a matter of the terms.
      case core::reason::method_not_allowed:
      case core::reason::path_not_allowed:
      case core::reason::name_entropy:
        break;
      default:
        return {false, decision.governing};
    }
    if (about_ == diff_about::literals) {
      const auto& address = std::get<core::ip_address>(to.host);
      if (const auto refusal = guard(*side.policy, to, {&address, 1}, at, decision.governing))
        return {false, refusal->denied_by};
    }
    return {true, decision.governing};
  }

  step compare(const outcome& before, const outcome& after, core::scheme scheme) const {
    if (before.allowed != after.allowed)
      return {after.allowed ? change_kind::becomes_reachable : change_kind::stops_being_reachable, {}};
    if (!before.allowed || before.governing == nullptr) return {};
    auto terms = compare_terms({&sides_[0].policy->phase_of(*sides_[0].phase), before.governing},
                               {&sides_[1].policy->phase_of(*sides_[1].phase), after.governing}, scheme);
    if (terms.empty()) return {};
    return {change_kind::terms, std::move(terms)};
  }

  std::chrono::sys_days last_day_before(std::size_t time) const {
    return std::chrono::floor<std::chrono::days>(times_[time]) - std::chrono::days(1);
  }

  // From `first` on the first time at which it is not allowed; the number of times where there is none.
  std::size_t end_of(const std::vector<outcome>& outcomes, std::size_t first) const {
    while (first < outcomes.size() && outcomes[first].allowed) ++first;
    return first;
  }

  void compare_ports(const core::destination& to, core::scheme scheme, port_range ports,
                     std::vector<class_change>& out) {
    for (std::size_t s = 0; s < 2; ++s) {
      outcomes_[s].clear();
      for (const auto at : times_) outcomes_[s].push_back(judge(sides_[s], to, scheme, at));
    }
    const auto& [before, after] = outcomes_;
    // Where both let it through now, but one for longer, that is a matter of terms.
    const auto end_before = end_of(before, 0);
    const auto end_after = end_of(after, 0);
    const auto [first_end, last_end] = std::minmax(end_before, end_after);
    step previous;
    for (std::size_t i = 0; i < times_.size(); ++i) {
      auto current = compare(before[i], after[i], scheme);
      auto told = current;
      if (first_end > 0 && i >= first_end && i < last_end) told = {};
      if (i == 0 && first_end > 0 && first_end != last_end) {
        const auto text = [&](std::size_t end) {
          return end == times_.size() ? "never" : day_text(last_day_before(end));
        };
        told.kind = change_kind::terms;
        told.terms.push_back({"expires", text(end_before), text(end_after),
                              end_after > end_before ? direction::wider : direction::narrower});
      }
      const bool repeated = i > 0 && current == previous;
      previous = std::move(current);
      if (!told.kind || repeated) continue;
      class_change change{.kind = *told.kind, .terms = std::move(told.terms)};
      if (i > 0) change.from = std::chrono::floor<std::chrono::days>(times_[i]);
      if (change.kind != change_kind::terms) {
        const auto end = end_of(change.kind == change_kind::becomes_reachable ? after : before, i);
        if (end < times_.size()) change.until = last_day_before(end);
      }
      change.before = before[i].governing;
      change.after = after[i].governing;
      note(std::move(change), scheme, ports, out);
    }
  }

  static void note(class_change change, core::scheme scheme, port_range ports,
                   std::vector<class_change>& out) {
    auto found = std::ranges::find_if(out, [&](const class_change& c) {
      return c.before == change.before && c.after == change.after && c.is_alike(change);
    });
    if (found == out.end()) {
      out.push_back(std::move(change));
      found = std::prev(out.end());
    }
    (scheme == core::scheme::https ? found->https : found->http).push_back(ports);
  }

  std::array<diff_side, 2> sides_;
  diff_about about_;
  sys_seconds now_;
  // Kept for their memory.
  std::vector<const rule*> opening_, closing_;
  std::vector<std::uint32_t> bounds_;
  std::vector<sys_seconds> times_;
  std::array<std::vector<outcome>, 2> outcomes_;
};

}  // namespace

std::expected<std::vector<reach_change>, std::string> compare_reach(const diff_side& before,
                                                                    const diff_side& after, diff_about about,
                                                                    sys_seconds now, std::size_t& work) {
  comparison both(before, after, about, now);
  const auto classes = both.classes(work);
  std::vector<std::vector<class_change>> changes(classes.size());
  for (std::size_t i = 0; i < classes.size() && work <= most_diff_work; ++i) {
    if (!classes[i].is_empty) changes[i] = both.compare(classes[i].witness(), work);
  }
  std::vector<reach_change> out;
  if (work <= most_diff_work) out = lines_of(classes, std::move(changes), work);
  if (work > most_diff_work) return std::unexpected(std::string(too_entangled));
  return out;
}

}  // namespace exeat::allowlist
