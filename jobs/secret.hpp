// Secrets of jobs: made once, shown once, kept as SHA-256.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace exeat::jobs {

/// SHA-256.
using digest = std::array<std::uint8_t, 32>;

inline constexpr std::string_view token_prefix = "exeat_t_";  ///< proves a phase of a job
inline constexpr std::string_view secret_prefix =
    "exeat_a_";  ///< advances a job, and is good for nothing else

/// Empty only where OpenSSL fails.
std::optional<digest> sha256_of(std::string_view octets) noexcept;
/// In constant time.
bool same_digest(const digest& a, const digest& b) noexcept;
/// 64 lower-case digits, and back (nothing else is read).
std::string hex_of(const digest& value);
std::optional<digest> digest_of_hex(std::string_view hex) noexcept;

/// The prefix and 32 random octets in base64url without padding (RFC 4648 5): 43 characters. Empty: the
/// kernel gives no random numbers.
std::optional<std::string> new_secret(std::string_view prefix);
/// `length` random characters of a-z and 2-7 (five bits each). Empty: as above.
std::optional<std::string> random_name(std::size_t length);

}  // namespace exeat::jobs
