#include "allowlist/name_entropy.hpp"

#include <algorithm>

namespace exeat::allowlist {
namespace {

// Bits of one character in 1/1024, rounded up: log2 of 10, 16, 26, 36, 39.
constexpr std::uint32_t digit = 3402;
constexpr std::uint32_t hexadecimal = 4096;
constexpr std::uint32_t letter = 4814;
constexpr std::uint32_t letter_or_digit = 5295;
constexpr std::uint32_t any = 5413;

}  // namespace

std::string_view wildcard_part(const host_pattern& pattern, std::string_view name) noexcept {
  const auto known = pattern.name.view().size();
  if (pattern.depth == depth::exact || name.size() <= known) return {};
  return name.substr(0, name.size() - known - 1);
}

std::uint32_t entropy_of(std::string_view text) noexcept {
  bool digits = false, low_letters = false, high_letters = false, others = false;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      digits = true;
    } else if (c >= 'a' && c <= 'f') {
      low_letters = true;
    } else if (c > 'f' && c <= 'z') {
      high_letters = true;
    } else {
      others = true;
    }
  }
  const auto each = others                   ? any
                    : high_letters && digits ? letter_or_digit
                    : high_letters           ? letter
                    : low_letters            ? hexadecimal
                                             : digit;
  constexpr std::uint64_t unit = 1024;
  const auto bits = (std::uint64_t{text.size()} * each + unit - 1) / unit;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(bits, UINT32_MAX));
}

}  // namespace exeat::allowlist
