// What /proc says about this process.
#pragma once
#include <cstdint>
#include <optional>

namespace exeat::metrics {

struct process_stats {
  double cpu_seconds = 0;
  double start_time = 0;  ///< seconds since the epoch
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t open_fds = 0;
  std::optional<std::uint64_t> max_fds;  ///< absent: unlimited
};

/// Absent where /proc is not mounted. Any thread.
std::optional<process_stats> read_process_stats();

}  // namespace exeat::metrics
