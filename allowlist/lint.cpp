#include "allowlist/lint.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "allowlist/lint_cover.hpp"
#include "allowlist/lint_idle.hpp"
#include "allowlist/lint_sinks.hpp"
#include "allowlist/lint_table.hpp"
#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

std::string date(const std::chrono::year_month_day& day) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

std::string cited(const rule& rule) {
  return rule.at.empty() ? rule.id : fmt::format("{} ({})", rule.id, rule.at);
}

bool is_wide(const rule& rule) {
  if (const auto* pattern = std::get_if<host_pattern>(&rule.what)) return pattern->depth != depth::exact;
  return !std::get<core::cidr>(rule.what).is_single();
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
    for (const auto& one : source_.repeated) {
      add(check_id::duplicate, one.where,
          fmt::format("`{}` stands at {} already, the same in everything", one.what, one.first.to_string()));
    }
    for (const auto& exception : source_.addresses) check_exception(exception);
    std::ranges::sort(found_, [](const finding& a, const finding& b) {
      const auto key = [](const finding& f) {
        return std::tuple(std::string_view(f.where.file), f.where.line, f.where.column, f.check,
                          std::string_view(f.text));
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
    for (const auto& rule : phase.allow) {
      check_rule(scope, rule);
      if (phase.untrusted) check_untrusted(scope, rule);
    }
    if (!phase.untrusted) return;
    for (const auto& hit : sinks_reached(policy_, scope, options_.now)) {
      add(hit.tenants ? check_id::shared_suffix : check_id::upload_sink, hit.rule->where,
          fmt::format("{} reaches {}: {}", hit.rule->id, hit.sink, hit.why));
    }
    for (std::size_t i = 0; i < source_.phases.size(); ++i) {
      if (!source_.phases[i].untrusted) compare(scope, static_cast<allowlist::scope>(i));
    }
  }

  void check_rule(scope scope, const rule& rule) {
    if (rule.reason.empty()) add(check_id::no_reason, rule.where, fmt::format("{} says no reason", rule.id));
    if (options_.require_owner && rule.owner.empty())
      add(check_id::no_owner, rule.where, fmt::format("{} names no owner", rule.id));
    if (rule.ports == port_set::any())
      add(check_id::any_port, rule.where, fmt::format("{} opens every port", rule.id));
    if (is_expired(rule, options_.now)) {
      // What comes below is about rules that let something through.
      return add(check_id::expired, rule.where,
                 fmt::format("{} expired on {}", rule.id, date(*rule.expires)));
    }
    if (rule.expires && is_expired(rule, options_.now + options_.expires_within)) {
      add(check_id::expires_soon, rule.where,
          fmt::format("{} is valid to the end of {} (UTC)", rule.id, date(*rule.expires)));
    }
    if (const auto* deny = shadowing_deny(policy_, rule)) {
      return add(check_id::never_matches, rule.where,
                 fmt::format("{} is denied by {}", rule.id, cited(*deny)));
    }
    if (const auto* wider = covering_rule(policy_, scope, rule, options_.now)) {
      const auto* mine = std::get_if<host_pattern>(&rule.what);
      const auto* other = std::get_if<host_pattern>(&wider->what);
      const bool same = mine != nullptr && other != nullptr && mine->name == other->name &&
                        mine->depth == depth::exact && rule.ports == wider->ports;
      add(same ? check_id::duplicate : check_id::redundant, rule.where,
          fmt::format("{} is covered by {}{}", rule.id, cited(*wider), same ? " with `apex: true`" : ""));
    }
  }

  void check_untrusted(scope scope, const rule& rule) {
    if (is_expired(rule, options_.now)) return;
    if (rule.tls == tls_mode::any)
      add(check_id::tls_any, rule.where, fmt::format("{} says `tls: any`", rule.id));
    if (!rule.ports_written || !rule.ports.contains(80) || rule.ports == port_set::any()) return;
    static const auto https = port_set::of({{443, 443}});
    if (rule.ports.contains(443) || reaches(policy_, scope, rule, https, options_.now))
      add(check_id::plain_http, rule.where, fmt::format("{} opens port 80 beside 443", rule.id));
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
    if (exception.reason.empty())
      add(check_id::no_reason, exception.where, fmt::format("the exception {} says no reason", what));
    const unsigned narrowest = exception.prefix.base.is_v4() ? 24 : 64;
    if (exception.prefix.length < narrowest)
      add(check_id::wide_exception, exception.where, fmt::format("the exception {}", what));
  }

  const policy::compiled& policy_;
  const policy_source& source_;
  const lint_options& options_;
  std::vector<finding> found_;
};

}  // namespace

std::vector<finding> lint(const policy& policy, const lint_options& options) {
  return linter(policy, options).run();
}

}  // namespace exeat::allowlist
