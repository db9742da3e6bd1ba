#include "core/units.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace exeat::core {
namespace {

struct unit {
  std::string_view suffix;
  std::uint64_t factor;
};

constexpr std::array<unit, 5> durations{
    {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};
constexpr std::array<unit, 7> sizes{{{"", 1},
                                     {"kB", 1'000},
                                     {"MB", 1'000'000},
                                     {"GB", 1'000'000'000},
                                     {"KiB", 1ULL << 10},
                                     {"MiB", 1ULL << 20},
                                     {"GiB", 1ULL << 30}}};

template <std::size_t N>
std::optional<std::uint64_t> parse(std::string_view text, const std::array<unit, N>& units,
                                   std::uint64_t limit) noexcept {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  const auto suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  if (number == 0 && suffix.empty()) return 0;
  for (const auto& u : units) {
    if (u.suffix != suffix) continue;
    if (number > limit / u.factor) return std::nullopt;
    return number * u.factor;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept {
  constexpr auto limit = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / 1'000'000;
  const auto value = parse(text, durations, limit);
  if (!value) return std::nullopt;
  return std::chrono::milliseconds(static_cast<std::int64_t>(*value));
}

std::string to_string(std::chrono::milliseconds duration) {
  const auto value = static_cast<std::uint64_t>(duration.count());
  if (value == 0) return "0";
  for (auto u = durations.rbegin(); u != durations.rend(); ++u) {
    if (value % u->factor == 0) return std::to_string(value / u->factor) + std::string(u->suffix);
  }
  std::unreachable();
}

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
  return parse(text, sizes, std::numeric_limits<std::uint64_t>::max());
}

std::string size_to_string(std::uint64_t octets) {
  if (octets == 0) return "0";
  for (auto u = sizes.rbegin(); u != sizes.rend() - 4; ++u) {
    if (octets % u->factor == 0) return std::to_string(octets / u->factor) + std::string(u->suffix);
  }
  return std::to_string(octets);
}

}  // namespace exeat::core
