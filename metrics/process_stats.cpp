#include "metrics/process_stats.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace exeat::metrics {
namespace {

std::string slurp(const char* path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

double boot_time() {
  std::istringstream in(slurp("/proc/stat"));
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  }
  return 0;
}

std::uint64_t count_fds() {
  std::error_code failed;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", failed), end; !failed && at != end;
       at.increment(failed)) {
    ++count;
  }
  return count > 0 ? count - 1 : 0;  // the iterator's own
}

}  // namespace

std::optional<process_stats> read_process_stats() {
  // proc(5): the command in field 2 may hold anything, so count from its last parenthesis; field 3 follows.
  const std::string text = slurp("/proc/self/stat");
  const auto close = text.rfind(')');
  if (close == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(close + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  fields >> user >> system;  // 14 and 15
  for (int field = 16; field < 22; ++field) fields >> skipped;
  std::uint64_t start = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t resident_pages = 0;
  fields >> start >> virtual_bytes >> resident_pages;  // 22, 23, 24
  if (!fields) return std::nullopt;

  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  process_stats stats;
  stats.cpu_seconds = static_cast<double>(user + system) / ticks;
  stats.start_time = boot_time() + static_cast<double>(start) / ticks;
  stats.virtual_bytes = virtual_bytes;
  stats.resident_bytes = resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  stats.open_fds = count_fds();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    stats.max_fds = limit.rlim_cur;
  return stats;
}

}  // namespace exeat::metrics
