// Policies of a size, for the benchmarks.
#pragma once
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <string>

#include "config/load.hpp"

namespace exeat::bench {

/// A third exact names, a third `*.`, a third `**.`, as large policies have them. `variant` changes every
/// thousandth rule.
inline std::string policy_text(std::int64_t rules, int variant = 0) {
  std::string text = "version: 1\nphases:\n  agent:\n    allow:\n";
  for (std::int64_t i = 0; i < rules; ++i) {
    constexpr std::array<std::string_view, 3> wildcards{"", "*.", "**."};
    text += fmt::format("      - {{host: \"{}h{}{}.team{}.corp.example\", reason: bench}}\n",
                        wildcards[static_cast<std::size_t>(i % 3)], i,
                        variant != 0 && i % 1000 == 0 ? "x" : "", i % 97);
  }
  return text;
}

inline config::shared_policy policy_of(std::int64_t rules, int variant = 0) {
  return *config::parse_policy(policy_text(rules, variant), "bench.yaml");
}

}  // namespace exeat::bench
