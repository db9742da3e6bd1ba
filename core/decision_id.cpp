#include "core/decision_id.hpp"

namespace exeat::core {

decision_id::decision_id(std::uint64_t value) noexcept {
  constexpr std::string_view alphabet = "0123456789abcdefghjkmnpqrstvwxyz";
  for (std::size_t i = text_.size(); i-- > 0;) {
    text_[i] = alphabet[value & 31U];
    value >>= 5;
  }
}

decision_id_source::decision_id_source(std::uint64_t seed, std::uint8_t worker) noexcept
    : seed_(seed), counter_(std::uint64_t{worker} << 56) {}

decision_id decision_id_source::next() noexcept {
  // SplitMix64's finaliser is a bijection, so distinct counters give distinct ids.
  std::uint64_t x = seed_ ^ counter_++;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return decision_id(x ^ (x >> 31));
}

}  // namespace exeat::core
