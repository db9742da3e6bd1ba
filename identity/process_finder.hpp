// Who stands behind a refused local request: asked of a helper process of its own, so that the one who serves
// needs no right to look at other people's processes.
#pragma once
#include <sys/types.h>

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "identity/lookup_allowance.hpp"
#include "identity/process_lookup.hpp"

namespace exeat::identity {

/// One question after the other, answered in the order of asking within a worker. The answer is for the log
/// alone: between request and look-up everything may have changed, and a descriptor may have been handed on.
/// The calls for one worker come from one thread, those for several workers from any.
class process_finder {
 public:
  /// Questions of one worker that may wait for an answer.
  static constexpr unsigned max_waiting = 16;

  /// Forks the helper and waits until it is confined. Before the process has a second thread, from the thread
  /// that lives as long as the process (the helper ends with it), and before the process gives up what the
  /// helper is to keep: CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH. Without these it finds processes of its own
  /// uid alone. With `filter_calls` the helper may make no system calls but those for reading /proc; not for
  /// sanitizer builds. The error is a clause.
  static std::expected<std::unique_ptr<process_finder>, std::string> start(unsigned workers,
                                                                           lookup_bounds bounds = {},
                                                                           bool filter_calls = false);
  process_finder(const process_finder&) = delete;
  process_finder& operator=(const process_finder&) = delete;
  /// The helper ends with it; waits for that for a second at most.
  ~process_finder();

  /// True where it may look at the processes of every user (of its user namespace).
  bool sees_all() const noexcept { return sees_all_; }
  /// The helper's.
  ::pid_t pid() const noexcept { return pid_; }

  /// Readable when there is something to receive(), or when the helper is gone. Non-blocking, and not to be
  /// closed by the caller.
  int descriptor(unsigned worker) const noexcept { return seats_[worker].socket; }
  /// False where the look-ups have had their share of processor time for now (lookup_allowance: one hundredth
  /// of a core in the long run, ours for a question included): whatever causes them must not cost more. A
  /// load and a comparison. Any thread.
  bool may_ask() const noexcept { return allowance_.has(lookup_allowance::clock::now()); }
  /// False where too many questions wait already, or not may_ask(), and for good once the helper is gone.
  /// Never blocks.
  bool ask(unsigned worker, const process_question& question) noexcept;
  /// The next answer, if there is one. Never blocks; call it until it returns nothing.
  std::optional<process_answer> receive(unsigned worker) noexcept;
  /// What ask() and receive() of this worker have found out: once true, the descriptor stays readable and
  /// nothing comes any more.
  bool is_gone(unsigned worker) const noexcept { return seats_[worker].gone; }

 private:
  struct alignas(64) seat {
    int socket = -1;
    unsigned waiting = 0;
    bool gone = false;
  };

  explicit process_finder(std::chrono::nanoseconds burst) : allowance_(burst) {}

  lookup_allowance allowance_;
  std::vector<seat> seats_;
  ::pid_t pid_ = 0;
  int process_ = -1;  // pidfd
  bool sees_all_ = false;
};

}  // namespace exeat::identity
