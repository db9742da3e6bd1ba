// Decision ids: what joins a refusal that a developer sees to its log line.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace exeat::core {

/// 13 characters of Crockford base32 for 64 bits.
class decision_id {
 public:
  constexpr decision_id() = default;
  explicit decision_id(std::uint64_t value) noexcept;
  std::string_view view() const noexcept { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 13> text_{'0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0'};
};

/// Hands out ids that are unique within the process and not to be guessed from one another's order alone.
/// One per worker; not thread-safe. `seed` is the same for all workers of a process, `worker` below 256.
class decision_id_source {
 public:
  decision_id_source(std::uint64_t seed, std::uint8_t worker) noexcept;
  decision_id next() noexcept;

 private:
  std::uint64_t seed_;
  std::uint64_t counter_;
};

}  // namespace exeat::core
