// Hosts to which anybody with a cheap account can send data. For lint's own sources only.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/matcher.hpp"
#include "allowlist/policy.hpp"

namespace exeat::allowlist {

/// A rule of a scope that reaches a known sink.
struct sink_hit {
  const allowlist::rule* rule = nullptr;
  std::string_view sink;  ///< as the table names it
  std::string_view why;
  bool tenants = false;  ///< a wildcard over names of unrelated owners; else a single service
};

/// At most one hit for each rule, the graver one. Expired rules are left out.
std::vector<sink_hit> sinks_reached(const policy::compiled& policy, scope phase,
                                    std::chrono::sys_seconds now);

}  // namespace exeat::allowlist
