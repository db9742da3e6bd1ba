// Durations and sizes as people write them in the files and on the command line.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace exeat::core {

/// "250ms", "5s", "10m", "2h", "7d"; a unit is required except for "0". No sign, no fraction, no overflow.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept;
/// The shortest exact spelling that parse_duration reads back.
std::string to_string(std::chrono::milliseconds duration);

/// Octets: "1234", "16KiB", "20MiB", "1GiB", or decimal "20kB", "20MB", "1GB". No sign, no fraction, no
/// overflow.
std::optional<std::uint64_t> parse_size(std::string_view text) noexcept;
/// The largest binary unit that is exact, or plain octets.
std::string size_to_string(std::uint64_t octets);

}  // namespace exeat::core
