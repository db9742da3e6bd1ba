// Policies written in C++, for the tests of this floor.
#pragma once
#include <string_view>
#include <utility>
#include <vector>

#include "allowlist/policy.hpp"

namespace exeat::allowlist::testing {

inline const std::chrono::sys_seconds now = std::chrono::sys_days(std::chrono::year(2026) / 6 / 15);

inline core::ip_address ip(std::string_view text) {
  return core::ip_address::parse(text).value();
}
inline core::host_name name(std::string_view text) {
  return core::host_name::parse(text).value();
}
inline core::destination to(std::string_view host, std::uint16_t port = 443) {
  if (const auto address = core::ip_address::parse(host)) return {*address, port};
  return {name(host), port};
}

/// A rule as the loader would make it: no ports means 443.
inline rule allow(std::string_view what, std::vector<port_range> ports = {}) {
  const auto prefix = core::cidr::parse(what);
  rule out{.what = core::cidr{}};
  if (prefix) {
    out.what = *prefix;
  } else {
    out.what = host_pattern::parse(what, true).value();
  }
  out.ports_written = !ports.empty();
  out.ports = ports.empty() ? port_set::of({{443, 443}}) : port_set::of(std::move(ports));
  return out;
}
inline rule deny(std::string_view what, std::vector<port_range> ports = {{1, 65535}}) {
  return allow(what, std::move(ports));
}
inline rule with_apex(rule r) {
  std::get<host_pattern>(r.what).apex = true;
  return r;
}
inline rule until(rule r, int year, unsigned month, unsigned day) {
  r.expires = std::chrono::year(year) / static_cast<int>(month) / static_cast<int>(day);
  return r;
}
inline rule at(rule r, int line) {
  r.where = {"policy.yaml", line, 5};
  return r;
}

inline phase phase_with(std::string_view name, std::vector<rule> rules) {
  phase out;
  out.name = name;
  out.allow = std::move(rules);
  return out;
}

/// One phase `agent` with these rules.
inline policy_source source_with(std::vector<rule> rules, std::vector<rule> denied = {}) {
  policy_source out;
  out.phases.push_back(phase_with("agent", std::move(rules)));
  out.deny = std::move(denied);
  return out;
}
inline policy policy_with(std::vector<rule> rules, std::vector<rule> denied = {}) {
  return compile(source_with(std::move(rules), std::move(denied))).value();
}

inline decision ask(const policy& p, const core::destination& destination,
                    core::scheme scheme = core::scheme::https, std::chrono::sys_seconds when = now) {
  return decide(p, {.phase = phase_id{0}, .scheme = scheme, .to = &destination, .now = when});
}
/// The id of the governing rule, or "".
inline std::string_view governing(const decision& d) {
  return d.governing == nullptr ? std::string_view() : d.governing->id;
}

}  // namespace exeat::allowlist::testing
