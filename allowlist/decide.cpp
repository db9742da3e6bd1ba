#include <algorithm>

#include "allowlist/address_forms.hpp"
#include "allowlist/matcher.hpp"
#include "allowlist/name_entropy.hpp"
#include "allowlist/path_pattern.hpp"
#include "allowlist/policy.hpp"

namespace exeat::allowlist {
namespace {

// How close a rule whose host matches comes to letting the request through, worst first.
enum class fit : std::uint8_t { no_host, other_port, implied_port, expired, full };

fit fit_of(const rule& rule, const request& request) noexcept {
  if (!rule.ports.contains(request.to->port)) return fit::other_port;
  // A port that nobody wrote down was meant for TLS.
  if (request.scheme == core::scheme::http && !rule.ports_written) return fit::implied_port;
  if (is_expired(rule, request.now)) return fit::expired;
  return fit::full;
}

// Of the rule that governs: `methods` and `paths` can be seen in plain HTTP only.
core::reason judged_by_http(const rule_terms& terms, const request& request) noexcept {
  if (!terms.is_http_only()) return core::reason::allowed;
  if (request.scheme != core::scheme::http) return core::reason::http_only;
  if (!terms.methods.empty() && std::ranges::find(terms.methods, request.method) == terms.methods.end())
    return core::reason::method_not_allowed;
  const auto holds = [&](const std::string& pattern) { return path_matches(pattern, request.path); };
  if (!terms.paths.empty() && std::ranges::none_of(terms.paths, holds)) return core::reason::path_not_allowed;
  return core::reason::allowed;
}

// Last of all, so that `name-entropy` says that every other name would pass as this one was asked for.
core::reason judged_by_terms(const rule& rule, const request& request) noexcept {
  const auto& terms = *rule.terms;
  if (const auto reason = judged_by_http(terms, request); reason != core::reason::allowed) return reason;
  if (!terms.max_name_entropy) return core::reason::allowed;
  const auto* pattern = std::get_if<host_pattern>(&rule.what);
  const auto* name = std::get_if<core::host_name>(&request.to->host);
  if (pattern == nullptr || name == nullptr) return core::reason::allowed;
  return entropy_of(wildcard_part(*pattern, name->view())) > *terms.max_name_entropy
             ? core::reason::name_entropy
             : core::reason::allowed;
}

core::reason reason_of(fit best, bool is_literal) noexcept {
  switch (best) {
    case fit::full:
      return core::reason::allowed;
    case fit::expired:
      return core::reason::rule_expired;
    case fit::implied_port:
      return core::reason::scheme_not_allowed;
    case fit::other_port:
      return core::reason::port_not_allowed;
    case fit::no_host:
      break;
  }
  return is_literal ? core::reason::ip_literal : core::reason::no_rule;
}

const rule* denied_host(const policy::compiled& policy, const name_suffixes& name, std::uint16_t port,
                        std::chrono::sys_seconds now) noexcept {
  const rule* found = nullptr;
  policy.hosts.visit(policy.deny_scope(), name, [&](const rule& rule) {
    if (!rule.ports.contains(port) || is_expired(rule, now)) return false;
    found = &rule;
    return true;
  });
  return found;
}

}  // namespace

std::string_view to_string(verdict verdict) noexcept {
  switch (verdict) {
    case verdict::allow:
      return "allow";
    case verdict::deny:
      return "deny";
    case verdict::would_deny:
      return "would_deny";
  }
  return "deny";
}

bool is_expired(const rule& rule, std::chrono::sys_seconds now) noexcept {
  if (!rule.expires) return false;
  if (!rule.expires->ok()) return true;
  return now >= std::chrono::sys_days(*rule.expires) + std::chrono::days(1);
}

const rule* denied_prefix(const policy::compiled& policy, const core::ip_address& address, std::uint16_t port,
                          std::chrono::sys_seconds now) noexcept {
  const rule* found = nullptr;
  const auto look = [&](const core::ip_address& form) {
    policy.prefixes.visit(policy.deny_scope(), form, [&](const rule& rule) {
      if (!rule.ports.contains(port) || is_expired(rule, now)) return false;
      found = &rule;
      return true;
    });
    return found != nullptr;
  };
  if (look(address)) return found;
  for (const auto& inner : embedded_ipv4(address)) {
    if (look(inner)) return found;
  }
  return nullptr;
}

decision decide(const policy& policy, const request& request) noexcept {
  const auto& compiled = policy.matcher();
  const auto phase = static_cast<scope>(request.phase);
  if (request.to == nullptr || phase >= compiled.source.phases.size())
    return {verdict::deny, core::reason::no_rule, nullptr};
  const auto refused =
      compiled.source.phases[phase].mode == phase_mode::audit ? verdict::would_deny : verdict::deny;

  auto best = fit::no_host;
  const rule* governing = nullptr;
  const auto weigh = [&](const rule& rule) {
    // Visited from the most specific on: the first of equal fit stays.
    if (const auto f = fit_of(rule, request); f > best) {
      best = f;
      governing = &rule;
    }
    return best == fit::full;
  };

  const auto* literal = std::get_if<core::ip_address>(&request.to->host);
  if (literal != nullptr) {
    if (const auto* rule = denied_prefix(compiled, *literal, request.to->port, request.now); rule != nullptr)
      return {refused, core::reason::deny_rule, rule};
    compiled.prefixes.visit(phase, *literal, weigh);
  } else {
    const name_suffixes name(std::get<core::host_name>(request.to->host).view());
    // Even in `audit`: the client gets nothing that it could tell apart from the refusals of other names.
    if (!compiled.source.phases[phase].canaries.empty() &&
        compiled.canaries.contains({name.text(0), name.hash(0), phase})) {
      return {verdict::deny, core::reason::canary,
              denied_host(compiled, name, request.to->port, request.now)};
    }
    if (const auto* rule = denied_host(compiled, name, request.to->port, request.now); rule != nullptr)
      return {refused, core::reason::deny_rule, rule};
    compiled.hosts.visit(phase, name, weigh);
  }
  auto reason = reason_of(best, literal != nullptr);
  if (best == fit::full && governing->terms) reason = judged_by_terms(*governing, request);
  return {reason == core::reason::allowed ? verdict::allow : refused, reason, governing};
}

core::reason shown_to_client(core::reason reason, const rule* governing) noexcept {
  if (reason != core::reason::canary) return reason;
  return governing == nullptr ? core::reason::no_rule : core::reason::deny_rule;
}

hint_level hints_of(const phase& phase) noexcept {
  return phase.hints.value_or(phase.untrusted ? hint_level::code : hint_level::full);
}

ech_mode ech_of(const phase& phase, const rule* rule) noexcept {
  if (rule != nullptr && rule->ech) return *rule->ech;
  return phase.ech.value_or(phase.untrusted ? ech_mode::refuse : ech_mode::allow);
}

}  // namespace exeat::allowlist
