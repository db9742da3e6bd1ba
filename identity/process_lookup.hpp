// The process behind a local socket, read from /proc: for the people who read a refusal in the log, never for
// a decision.
#pragma once
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace exeat::identity {

/// Text cut at `Limit` octets, as it was found: whoever writes it somewhere escapes it.
template <std::size_t Limit>
struct bounded_text {
  std::uint16_t size = 0;
  std::array<char, Limit> octets{};

  std::string_view view() const noexcept { return {octets.data(), std::min<std::size_t>(size, Limit)}; }
  void set(std::string_view text) noexcept {
    size = static_cast<std::uint16_t>(std::min(text.size(), Limit));
    std::copy_n(text.data(), size, octets.data());
  }
};

struct process_question {
  enum class by : std::uint8_t {
    socket_inode,  ///< the processes that hold this socket (local_peer::inode)
    pid,           ///< the process that a unix socket's peer was (local_peer::pid)
  };
  std::uint64_t id = 0;  ///< the asker's own; stands in the answer
  process_question::by kind = by::socket_inode;
  std::uint64_t value = 0;
  /// Of a question by pid: when the connection was accepted, in nanoseconds of CLOCK_BOOTTIME. A process that
  /// began later has the number only. 0: unknown.
  std::uint64_t connected = 0;
};

enum class lookup_outcome : std::uint8_t {
  found,
  none,         ///< no process holds the socket, or has the pid, any more
  unavailable,  ///< nobody knows: not all could be looked at, for lack of rights or of time
};

struct process_answer {
  std::uint64_t id = 0;
  lookup_outcome outcome = lookup_outcome::unavailable;
  ::pid_t pid = 0;            ///< of several that hold the socket the lowest, or one of those found lately
  std::uint32_t holders = 0;  ///< processes that hold it, as far as they were looked at
  std::uint32_t cpu_microseconds = 0;  ///< what the helper has spent on it
  bounded_text<256> exe;               ///< empty: not readable
  bounded_text<512> cmdline;  ///< its arguments, with spaces between; a process writes there what it likes
  bounded_text<256> cgroup;   ///< its path in the cgroup v2 hierarchy; empty: in none
};

/// How much work one question may be, and all of them together.
struct lookup_bounds {
  std::chrono::milliseconds time{200};
  std::uint32_t descriptors = 20'000;  ///< file descriptors of others, and processes, that are looked at
  std::chrono::nanoseconds burst = std::chrono::milliseconds(20);  ///< lookup_allowance
};

/// The processes that were the answer lately. Who was refused once is refused again: to look at its
/// descriptors first saves to look at everybody's.
class recent_holders {
 public:
  std::span<const ::pid_t> all() const noexcept { return {pids_.data(), size_}; }
  /// The latest first.
  void note(::pid_t pid) noexcept {
    const auto end = pids_.begin() + static_cast<std::ptrdiff_t>(size_);
    auto at = std::find(pids_.begin(), end, pid);
    if (at == end) at = size_ < pids_.size() ? pids_.begin() + static_cast<std::ptrdiff_t>(size_++) : end - 1;
    *at = pid;
    std::rotate(pids_.begin(), at, at + 1);
  }

 private:
  std::array<::pid_t, 4> pids_{};
  std::size_t size_ = 0;
};

/// `proc` is a descriptor of /proc. Processes in `skipped` are never the answer; those in `recent`, which is
/// kept up to date, are looked at before all others, a few hundred descriptors of each. A process cannot turn
/// into another with the same pid under way: all is read below one descriptor of its directory. Blocks while
/// the kernel reads another process's memory, for its arguments: one that keeps that from being read (behind
/// FUSE, say) can hold it up.
process_answer look_up(int proc, const process_question& question, const lookup_bounds& bounds,
                       std::span<const ::pid_t> skipped, recent_holders& recent) noexcept;

}  // namespace exeat::identity
