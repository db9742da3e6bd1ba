// Tokens: made from the kernel's randomness, kept and compared as their SHA-256 alone.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace exeat::identity {

using digest = std::array<std::uint8_t, 32>;

/// SHA-256 (FIPS 180-4) of the octets; nothing where the library cannot do it.
std::optional<digest> sha256_of(std::string_view octets) noexcept;
/// In a time that does not depend on the octets.
bool is_equal(const digest& one, const digest& other) noexcept;
/// 64 hexadecimal digits, lower case.
std::string hex_of(const digest& digest);

/// What a token that we make begins with, so that scanners of leaked secrets and people know it.
inline constexpr std::string_view token_prefix = "exeat_t_";
/// The prefix and 32 random octets in base64url (RFC 4648 5) without padding: fit for a URL, a header and
/// YAML as it is. Nothing where there is no randomness.
std::optional<std::string> fresh_token();

}  // namespace exeat::identity
