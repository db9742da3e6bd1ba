#include "allowlist/lint.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <tuple>

#include "allowlist/lint_cover.hpp"
#include "allowlist/lint_idle.hpp"
#include "allowlist/lint_risk.hpp"
#include "allowlist/lint_table.hpp"
#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

std::string date(const std::chrono::year_month_day& day) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

std::string cited(const rule& rule) {
  if (!rule.bundle.empty()) return fmt::format("`use: {}` ({})", rule.bundle, rule.at);
  return rule.at.empty() ? rule.id : fmt::format("{} ({})", rule.id, rule.at);
}

bool is_wide(const rule& rule) {
  if (const auto* pattern = std::get_if<host_pattern>(&rule.what)) return pattern->depth != depth::exact;
  return !std::get<core::cidr>(rule.what).is_single();
}

bool is_wide_range(const core::cidr& prefix) {
  return prefix.length < (prefix.base.is_v4() ? 24 : 64);
}

bool is_risky(risk risks) {
  return has(risks, risk::multi_tenant) || has(risks, risk::upload);
}

check_id check_of(const known_risk& known) {
  if (known.tenants) return check_id::shared_suffix;
  return has(known.risks, risk::upload) ? check_id::upload_sink : check_id::multi_tenant;
}

auto key_of(const mark& where) {
  return std::tuple(std::string_view(where.file), where.line, where.column);
}

// The rules that one `use` brought, or one that was written out: all under `allow` of one phase.
using entry = std::span<const rule>;

std::string shown(entry rules, const phase& phase) {
  const auto& first = rules.front();
  return first.bundle.empty() ? first.id : fmt::format("`use: {}` in phase {}", first.bundle, phase.name);
}

class linter {
 public:
  linter(const policy& policy, const lint_options& options)
      : policy_(policy.matcher()), source_(policy.source()), options_(options) {}

  std::vector<finding> run() {
    if (source_.tests.empty())
      add(check_id::no_tests, {source_.file, 1, 1}, fmt::format("{} has no `tests`", source_.file));
    for (std::size_t i = 0; i < source_.phases.size(); ++i) check_phase(static_cast<scope>(i));
    for (const auto* deny : idle_denies(source_))
      add(check_id::idle_deny, deny->where, fmt::format("{} meets no allow rule", deny->id));
    check_repetitions();
    for (const auto& exception : source_.addresses) check_exception(exception);
    std::ranges::sort(found_, [](const finding& a, const finding& b) {
      const auto key = [](const finding& f) {
        return std::tuple(key_of(f.where), f.check, std::string_view(f.text));
      };
      return key(a) < key(b);
    });
    return std::move(found_);
  }

 private:
  void add(check_id id, const mark& where, std::string text) {
    found_.push_back({&row_of(id), where, std::move(text)});
  }

  void check_phase(scope scope) {
    const auto& phase = source_.phases[scope];
    if (phase.mode == phase_mode::audit)
      add(check_id::audit_mode, phase.where, fmt::format("phase {} is in audit", phase.name));
    risks_ = risks_of(policy_, scope);
    const entry all = phase.allow;
    for (std::size_t i = 0, end = 0; i < all.size(); i = end) {
      // What one `use` brings stands together.
      end = i + 1;
      while (end < all.size() && !all[i].bundle.empty() && all[end].bundle == all[i].bundle &&
             all[end].where == all[i].where)
        ++end;
      check_entry(scope, all.subspan(i, end - i));
    }
    if (!phase.untrusted) return;
    for (std::size_t i = 0; i < source_.phases.size(); ++i) {
      if (!source_.phases[i].untrusted) compare(scope, static_cast<allowlist::scope>(i));
    }
  }

  void check_entry(scope scope, entry rules) {
    const auto& rule = rules.front();  // its notes and dates are those of all
    const auto& phase = source_.phases[scope];
    const auto name = shown(rules, phase);
    if (options_.require_reason && rule.reason.empty())
      add(check_id::no_reason, rule.where, fmt::format("{} says no reason", name));
    if (options_.require_owner && rule.owner.empty())
      add(check_id::no_owner, rule.where, fmt::format("{} names no owner", name));
    if (rule.ports == port_set::any())
      add(check_id::any_port, rule.where, fmt::format("{} opens every port", name));
    if (is_expired(rule, options_.now)) {
      // What comes below is about rules that let something through.
      return add(check_id::expired, rule.where, fmt::format("{} expired on {}", name, date(*rule.expires)));
    }
    if (rule.expires && is_expired(rule, options_.now + options_.expires_within)) {
      add(check_id::expires_soon, rule.where,
          fmt::format("{} is valid to the end of {} (UTC)", name, date(*rule.expires)));
    }
    if (is_dead(rules, name)) return;
    if (rule.bundle.empty()) check_cover(scope, rule);
    check_risk(phase, rules, name);
    if (phase.untrusted && rule.bundle.empty()) check_untrusted(scope, rule);
  }

  // A deny that takes a part out of a bundle is meant so.
  bool is_dead(entry rules, std::string_view name) {
    const allowlist::rule* deny = nullptr;
    for (const auto& rule : rules) {
      deny = shadowing_deny(policy_, rule);
      if (deny == nullptr) return false;
    }
    add(check_id::never_matches, rules.front().where, fmt::format("{} is denied by {}", name, cited(*deny)));
    return true;
  }

  void check_cover(scope scope, const rule& rule) {
    const auto* wider = covering_rule(policy_, scope, rule, options_.now);
    if (wider == nullptr) return;
    const auto* mine = std::get_if<host_pattern>(&rule.what);
    const auto* other = std::get_if<host_pattern>(&wider->what);
    const bool same = mine != nullptr && other != nullptr && mine->name == other->name &&
                      mine->depth == depth::exact && rule.ports == wider->ports;
    const bool by_apex = same && other->depth != depth::exact;
    add(same ? check_id::duplicate : check_id::redundant, rule.where,
        fmt::format("{} is covered by {}{}", rule.id, cited(*wider), by_apex ? " with `apex: true`" : ""));
  }

  // One finding for a rule, and one for all that a `use` brings.
  void check_risk(const phase& phase, entry rules, std::string_view name) {
    const auto& first = rules.front();
    const known_risk* gravest = nullptr;
    std::vector<std::string> reached;
    for (const auto& rule : rules) {
      const auto hit = risks_.find(&rule);
      if (hit == risks_.end() || !is_risky(hit->second->risks)) continue;
      if (rules.size() > 1 && shadowing_deny(policy_, rule) != nullptr) continue;
      const auto& known = *hit->second;
      if (gravest == nullptr || graver(known, *gravest)) gravest = &known;
      if (!rule.bundle.empty())
        reached.push_back(fmt::format("{} ({})", what_text(rule), to_string(known.risks)));
    }
    const auto* pattern = std::get_if<host_pattern>(&first.what);
    const bool written = first.bundle.empty() && pattern != nullptr;
    const bool unbounded = !first.terms || !first.terms->max_names;
    if (written && gravest != nullptr && gravest->tenants && is_wide(first) && unbounded)
      add(check_id::no_max_names, first.where, fmt::format("{} has no `max_names`", name));
    if (written && phase.untrusted && !unbounded && !first.terms->max_name_entropy)
      add(check_id::no_name_entropy, first.where, fmt::format("{} has no `max_name_entropy`", name));
    const auto* prefix = std::get_if<core::cidr>(&first.what);
    const bool range = prefix != nullptr && is_wide_range(*prefix);
    const bool suffix = written && gravest == nullptr && names_a_public_suffix(*pattern);
    const bool whole = written && gravest == nullptr && covers_a_whole_domain(*pattern);
    if (!first.accept_risk.empty()) {
      if (gravest == nullptr && !suffix && !whole && !range)
        add(check_id::needless_acceptance, first.where, fmt::format("{} says `accept_risk`", name));
      return;
    }
    if (!phase.untrusted) return;
    if (range) add(check_id::wide_prefix, first.where, fmt::format("{} allows a whole range", name));
    if (suffix) add(check_id::public_suffix, first.where, fmt::format("{} names a public suffix", name));
    if (whole && unbounded)
      add(check_id::wide_wildcard, first.where,
          fmt::format("{} takes in all of {}", name, pattern->name.view()));
    if (gravest == nullptr) return;
    if (written) {
      add(check_of(*gravest), first.where,
          fmt::format("{} reaches {} ({}): {}", name, gravest->pattern.to_string(), to_string(gravest->risks),
                      gravest->why));
      return;
    }
    constexpr std::size_t most = 4;
    const auto more = reached.size() > most ? reached.size() - most : 0;
    reached.resize(reached.size() - more);
    add(check_of(*gravest), first.where,
        fmt::format("{} reaches {}{}", name, fmt::join(reached, ", "),
                    more == 0 ? std::string() : fmt::format(" and {} more", more)));
  }

  void check_untrusted(scope scope, const rule& rule) {
    if (rule.tls == tls_mode::any)
      add(check_id::tls_any, rule.where, fmt::format("{} says `tls: any`", rule.id));
    if (!rule.ports_written || !rule.ports.contains(80) || rule.ports == port_set::any()) return;
    static const auto https = port_set::of({{443, 443}});
    const bool http_only = rule.terms && rule.terms->is_http_only();
    if ((!http_only && rule.ports.contains(443)) || tunnels(scope, rule, https))
      add(check_id::plain_http, rule.where, fmt::format("{} opens port 80 beside 443", rule.id));
  }

  // True where the same hosts are open for https, which a rule with methods or paths does not do.
  bool tunnels(scope scope, const rule& rule, const port_set& https) {
    auto plain = rule;
    plain.terms = nullptr;
    return reaches(policy_, scope, plain, https, options_.now);
  }

  // What a second `use` of a bundle repeats is one finding, and none where it brings something besides.
  void check_repetitions() {
    std::map<std::tuple<std::string_view, int, int>, std::string_view> uses;  // those that brought something
    for (const auto& phase : source_.phases) {
      for (const auto& rule : phase.allow) {
        if (!rule.bundle.empty()) uses.emplace(key_of(rule.where), rule.bundle);
      }
    }
    std::set<std::tuple<std::string_view, int, int>> said;
    for (const auto& one : source_.repeated) {
      const auto kept = uses.find(key_of(one.first));
      if (kept == uses.end()) {
        add(check_id::duplicate, one.where,
            fmt::format("`{}` stands at {} already, the same in everything", one.what,
                        one.first.to_string()));
      } else if (!uses.contains(key_of(one.where)) && said.insert(key_of(one.where)).second) {
        add(check_id::duplicate, one.where,
            fmt::format("`use: {}` at {} brings all of it already", kept->second, one.first.to_string()));
      }
    }
  }

  void compare(scope untrusted, scope trusted) {
    const auto live = [this](const rule& r) { return !is_expired(r, options_.now); };
    const auto& theirs = source_.phases[trusted].allow;
    const auto& mine = source_.phases[untrusted].allow;
    const auto in = [this](scope s) {
      return [this, s](const rule& r) { return reaches(policy_, s, r, r.ports, options_.now); };
    };
    if (std::ranges::none_of(theirs, live)) return;
    if (!std::ranges::all_of(theirs, [&](const rule& r) { return !live(r) || in(untrusted)(r); })) return;
    const auto more =
        std::ranges::find_if(mine, [&](const rule& r) { return live(r) && is_wide(r) && !in(trusted)(r); });
    if (more == mine.end()) return;
    add(check_id::wider_than_trusted, source_.phases[untrusted].where,
        fmt::format("phase {} reaches all that phase {} reaches, and {} besides",
                    source_.phases[untrusted].name, source_.phases[trusted].name, cited(*more)));
  }

  void check_exception(const address_exception& exception) {
    const auto what = exception.prefix.to_string();
    if (options_.require_reason && exception.reason.empty())
      add(check_id::no_reason, exception.where, fmt::format("the exception {} says no reason", what));
    if (is_wide_range(exception.prefix))
      add(check_id::wide_exception, exception.where, fmt::format("the exception {}", what));
  }

  const policy::compiled& policy_;
  const policy_source& source_;
  const lint_options& options_;
  risk_table risks_;  // of the phase at hand
  std::vector<finding> found_;
};

}  // namespace

std::vector<finding> lint(const policy& policy, const lint_options& options) {
  return linter(policy, options).run();
}

}  // namespace exeat::allowlist
