// Requests of one job in a second, in all and by phase, over all workers.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "metrics/phase_slots.hpp"
#include "proxy/request_rate.hpp"

namespace exeat::proxy {

/// Counted as soon as it is known who asks: until then a request counts against its client alone. Drawn in
/// slices, as requests of a client are. Each worker calls with its own number, on its own thread.
class job_rate {
 public:
  struct limits {
    std::uint32_t per_phase = 0;  ///< in a second; 0: no limit
    std::uint32_t per_job = 0;    ///< in a second; 0: no limit
  };
  job_rate(limits limits, unsigned workers);

  enum class answer : std::uint8_t { admitted, phase_reached, job_reached };
  answer admit(unsigned worker, metrics::phase_slot phase) noexcept;

 private:
  struct alignas(64) drawn {
    std::uint32_t job = 0;
    std::array<std::uint32_t, metrics::phase_slot_count> phases{};
  };
  bool draw(token_bucket& from, const token_pace& pace, std::uint32_t& mine) const noexcept;

  token_pace per_phase_;
  token_pace per_job_;
  request_rate::clock::time_point origin_;
  token_bucket job_;
  std::array<token_bucket, metrics::phase_slot_count> phases_;
  std::vector<drawn> workers_;
};

}  // namespace exeat::proxy
