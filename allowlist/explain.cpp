#include "allowlist/explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "allowlist/address_forms.hpp"
#include "allowlist/address_guard.hpp"
#include "allowlist/explain_likeness.hpp"
#include "allowlist/matcher.hpp"
#include "allowlist/name_entropy.hpp"

namespace exeat::allowlist {
namespace {

constexpr std::size_t most_others = 50;

std::string date(const std::chrono::year_month_day& day) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

std::string shown(std::string_view name) {
  const auto parsed = core::host_name::parse(name);
  const auto unicode = parsed ? u_labels_of(*parsed) : std::string();
  return unicode.empty() ? std::string(name) : fmt::format("{} ({})", name, unicode);
}

// Collects the rules of one scope.
class collector {
 public:
  collector(const policy& policy, scope scope, const core::destination& to, core::scheme scheme,
            std::chrono::sys_seconds now, const decision& decided)
      : policy_(policy.matcher()),
        scope_(scope),
        denying_(scope == policy_.deny_scope()),
        to_(to),
        scheme_(scheme),
        now_(now),
        decided_(decided) {}

  related_rules collect() {
    if (const auto* literal = std::get_if<core::ip_address>(&to_.host)) {
      look_up(*literal);
      if (denying_) {
        for (const auto& inner : embedded_ipv4(*literal)) look_up(inner);
      }
    } else {
      const auto name = std::get<core::host_name>(to_.host).view();
      walk(name_suffixes(name));
      if (!matched_) search_lookalikes(name);
    }
    return std::move(out_);
  }

 private:
  // The rule that decide names, the others that match, near misses.
  static int rank(const related_rule& r) {
    switch (r.relation) {
      case relation::governs:
      case relation::denies:
        return 0;
      case relation::outranked:
      case relation::overruled:
        return 1;
      case relation::lookalike:
        return 3;
      default:
        return 2;
    }
  }

  void add(const rule& rule, relation relation, std::string text) {
    // A wildcard with its apex stands in the index twice; an embedded address may be met twice.
    if (std::ranges::find(out_.rules, &rule, &related_rule::rule) != out_.rules.end()) return;
    if (out_.rules.size() >= most_others && relation > relation::denies) {
      ++out_.left_out;
      return;
    }
    const related_rule found{&rule, relation, std::move(text)};
    out_.rules.insert(std::ranges::upper_bound(out_.rules, rank(found), {}, rank), found);
  }

  void add_match(const rule& rule) {
    if (!rule.ports.contains(to_.port)) {
      return add(rule, relation::other_port,
                 fmt::format("{} port {}, not {}", denying_ ? "denies" : "covers", rule.ports.to_string(),
                             to_.port));
    }
    if (!denying_ && scheme_ == core::scheme::http && !rule.ports_written) {
      return add(rule, relation::other_scheme,
                 "stands for TLS on 443, the default; plain HTTP needs its port written down");
    }
    if (is_expired(rule, now_)) {
      return add(rule, relation::expired,
                 fmt::format("would match, but has expired: it was valid to the end of {} (UTC)",
                             date(*rule.expires)));
    }
    matched_ = true;
    if (denying_) return add(rule, relation::denies, "denies it, in every phase");
    if (&rule == decided_.governing) {
      std::string_view text = "governs, but its `methods` do not hold it";
      if (decided_.reason == core::reason::allowed) text = "allows it";
      if (decided_.reason == core::reason::http_only) text = "governs, but opens no tunnel";
      if (decided_.reason == core::reason::path_not_allowed) text = "governs, but its `paths` do not hold it";
      if (decided_.reason == core::reason::name_entropy) text = "governs, but the name carries too much";
      return add(rule, relation::governs, std::string(text) + entropy_text(rule));
    }
    if (decided_.reason == core::reason::deny_rule && decided_.governing != nullptr) {
      return add(
          rule, relation::overruled,
          fmt::format("would allow it, but {} denies it and deny beats allow", decided_.governing->id));
    }
    add(rule, relation::outranked,
        fmt::format("matches too, but {} is more specific and governs",
                    decided_.governing == nullptr ? std::string("another rule") : decided_.governing->id));
  }

  // What a rule with `max_name_entropy` makes of the name, so that its limit can be chosen.
  std::string entropy_text(const rule& rule) const {
    const auto* pattern = std::get_if<host_pattern>(&rule.what);
    const auto* name = std::get_if<core::host_name>(&to_.host);
    if (pattern == nullptr || name == nullptr || !rule.terms || !rule.terms->max_name_entropy) return {};
    return fmt::format(": its wildcard stands for {} of at most {} bits",
                       entropy_of(wildcard_part(*pattern, name->view())), *rule.terms->max_name_entropy);
  }

  void walk(const name_suffixes& name) {
    for (std::size_t i = 0; i < name.count(); ++i) {
      for (const auto& entry : policy_.hosts.find(scope_, name.text(i), name.hash(i))) {
        const auto& pattern = std::get<host_pattern>(entry.rule->what);
        if (i == 0 && entry.reach == depth::exact) {
          add_match(*entry.rule);
        } else if (i == 0 && !pattern.apex) {
          add(*entry.rule, relation::needs_apex,
              fmt::format("covers names under {}, not that name itself; `apex: true` beside it would",
                          name.text(0)));
        } else if (i > 0 && pattern.depth == depth::exact) {
          add(*entry.rule, relation::only_apex,
              fmt::format("covers {} alone, not the names under it; `*.{}` would cover one label in front",
                          name.text(i), name.text(i)));
        } else if (i > 1 && entry.reach == depth::one_label) {
          add(*entry.rule, relation::too_deep,
              fmt::format("covers exactly one label in front of {}, and {} stand there; `**.{}` would cover "
                          "them",
                          name.text(i), i, name.text(i)));
        } else if (i > 0 && entry.reach != depth::exact) {
          add_match(*entry.rule);
        }
      }
    }
  }

  void look_up(const core::ip_address& address) {
    policy_.prefixes.visit(scope_, address, [&](const rule& rule) {
      add_match(rule);
      return false;
    });
  }

  void search_lookalikes(std::string_view asked) {
    const name_suffixes suffixes(asked);
    std::vector<name_shape> shapes;
    shapes.reserve(suffixes.count());
    for (std::size_t i = 0; i < suffixes.count(); ++i) shapes.push_back(shape_of(suffixes.text(i)));
    const auto& source = policy_.source;
    for (const auto& rule : denying_ ? source.deny : source.phases[scope_].allow) {
      const auto* pattern = std::get_if<host_pattern>(&rule.what);
      if (pattern == nullptr) continue;
      // A wildcard is held against what stands behind the labels that it would take.
      const std::size_t first = pattern->depth == depth::exact || pattern->apex ? 0 : 1;
      const std::size_t last = pattern->depth == depth::exact       ? 1
                               : pattern->depth == depth::one_label ? 2
                                                                    : shapes.size();
      const auto mine = shape_of(pattern->name);
      for (std::size_t i = first; i < std::min(last, shapes.size()); ++i) {
        const auto like = likeness_of(mine, shapes[i]);
        if (like == likeness::none) continue;
        add(rule, relation::lookalike,
            fmt::format("spells {}, which {} {}: a typo, or a name made to be taken for it",
                        shown(pattern->name.view()),
                        like == likeness::reads_alike ? "reads like" : "is one character away from",
                        shown(suffixes.text(i))));
        break;
      }
    }
  }

  const policy::compiled& policy_;
  allowlist::scope scope_;
  bool denying_;
  const core::destination& to_;
  core::scheme scheme_;
  std::chrono::sys_seconds now_;
  const decision& decided_;
  bool matched_ = false;
  related_rules out_;
};

bool concerns(const address_exception& exception, const core::host& host) {
  if (const auto* literal = std::get_if<core::ip_address>(&host))
    return exception.literal && exception.prefix.contains(*literal);
  const auto& name = std::get<core::host_name>(host);
  return std::ranges::any_of(exception.hosts, [&](const host_pattern& p) { return p.matches(name); });
}

}  // namespace

std::string_view code_of(relation relation) noexcept {
  switch (relation) {
    case relation::governs:
      return "governs";
    case relation::denies:
      return "denies";
    case relation::outranked:
      return "outranked";
    case relation::overruled:
      return "overruled";
    case relation::expired:
      return "expired";
    case relation::other_port:
      return "other-port";
    case relation::other_scheme:
      return "other-scheme";
    case relation::needs_apex:
      return "needs-apex";
    case relation::only_apex:
      return "only-apex";
    case relation::too_deep:
      return "too-deep";
    case relation::lookalike:
      return "lookalike";
  }
  return "governs";
}

explained explain(const policy& policy, const request& asked) {
  explained out;
  const auto& to = *asked.to;
  const auto& source = policy.source();
  for (std::size_t i = 0; i < source.phases.size(); ++i) {
    const auto phase = static_cast<phase_id>(i);
    auto request = asked;
    request.phase = phase;
    const auto decided = decide(policy, request);
    out.phases.push_back(
        collector(policy, static_cast<scope>(i), to, asked.scheme, asked.now, decided).collect());
  }
  out.deny = collector(policy, policy.matcher().deny_scope(), to, asked.scheme, asked.now, {}).collect();
  for (const auto& exception : source.addresses) {
    if (concerns(exception, to.host)) out.exceptions.push_back(&exception);
  }
  return out;
}

}  // namespace exeat::allowlist
