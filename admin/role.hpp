// What people may do at the dashboard and its API. Each role may do what those before it may.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace exeat::admin {

enum class role : std::uint8_t {
  none,       ///< nothing
  viewer,     ///< counts, rules, jobs, try it
  developer,  ///< also single requests as they happen: hosts, processes, command lines
  reviewer,   ///< also what is weak in the policy
  admin,      ///< also reload, and whatever an operator may
};

inline constexpr std::array<std::string_view, 5> role_words{"none", "viewer", "developer", "reviewer",
                                                            "admin"};

constexpr std::string_view word_of(role role) noexcept {
  return role_words[static_cast<std::size_t>(role)];
}
/// Not of "none".
constexpr std::optional<role> role_of(std::string_view word) noexcept {
  for (std::size_t i = 1; i < role_words.size(); ++i) {
    if (role_words[i] == word) return static_cast<role>(i);
  }
  return std::nullopt;
}

}  // namespace exeat::admin
