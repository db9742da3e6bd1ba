// What one phase, or the deny of addresses, lets through before and after. For this floor's own sources only.
#pragma once
#include <chrono>
#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/diff.hpp"
#include "allowlist/policy.hpp"

namespace exeat::allowlist {

struct diff_side {
  const allowlist::policy* policy = nullptr;
  std::optional<phase_id> phase;  ///< empty: this policy has no such phase
};

inline constexpr std::string_view too_entangled =
    "the policies are too entangled to compare: too many rules of different ports or dates cover the same "
    "names";

enum class diff_about : std::uint8_t {
  names,
  literals,  ///< addresses that are asked for as such
  resolved,  ///< addresses that names resolve to: `deny` alone, whatever the phase
};

/// The lines of the difference, in no order. `work` counts the steps taken and is shared by the calls of one
/// comparison; the error (a sentence) says that they became too many.
std::expected<std::vector<reach_change>, std::string> compare_reach(const diff_side& before,
                                                                    const diff_side& after, diff_about about,
                                                                    std::chrono::sys_seconds now,
                                                                    std::size_t& work);

}  // namespace exeat::allowlist
