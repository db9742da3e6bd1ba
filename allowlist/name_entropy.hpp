// How much a name can carry in front of what a wildcard rule names: `max_name_entropy`.
#pragma once
#include <cstdint>
#include <string_view>

#include "allowlist/pattern.hpp"

namespace exeat::allowlist {

/// More than any host name can carry: 253 characters of the largest alphabet.
inline constexpr std::uint32_t most_name_entropy = 1338;

/// What stands in a name for the wildcard of a pattern that matches it, without the dot behind it: "a.b" of
/// a.b.x.com by `**.x.com`. Empty for an exact pattern and for the apex.
std::string_view wildcard_part(const host_pattern& pattern, std::string_view name) noexcept;

/// Bits that a text drawn at random from its alphabet carries, rounded up: its length times the binary
/// logarithm of the smallest of these alphabets that holds all its characters: 10 digits, 16 of hexadecimal,
/// 26 letters, 36 letters and digits, 39 with hyphen, underscore and dot. No encoding gets more into a name
/// (but the choice among five alphabets, which is less than 3 bits). Integer arithmetic, no allocation.
std::uint32_t entropy_of(std::string_view text) noexcept;

}  // namespace exeat::allowlist
