// What the log's events tell of rules and jobs, counted since the start. What the log's rings drop is
// missing.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/event.hpp"

namespace exeat::admin {

struct rule_use {
  std::uint64_t count = 0;
  std::chrono::system_clock::time_point last;
};

struct phase_use {
  std::string job;  ///< empty: the one of exeat.yaml
  std::string phase;
  std::chrono::system_clock::time_point first, last;
  std::uint64_t allowed = 0, denied = 0, would_deny = 0, failed = 0, canaries = 0;
};

class activity {
 public:
  static constexpr std::size_t most_rules = 20'000;
  static constexpr std::size_t most_phases = 2'000;

  /// One thread.
  void see(const proxy::event& event);

  /// Any thread. Of a rule that nobody has used: zero.
  rule_use of_rule(std::string_view id) const;
  std::vector<phase_use> phases() const;
  std::chrono::system_clock::time_point since() const noexcept { return since_; }

 private:
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  const std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
  mutable std::mutex mutex_;
  std::unordered_map<std::string, rule_use, hash, std::equal_to<>> rules_;
  std::map<std::string, phase_use, std::less<>> phases_;  ///< by job and phase
};

}  // namespace exeat::admin
