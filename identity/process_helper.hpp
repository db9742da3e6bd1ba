// The other half of process_finder: the process that looks.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "identity/process_lookup.hpp"

namespace exeat::identity {

/// The first message of the helper, on its first socket.
struct helper_greeting {
  std::uint32_t confined = 0;  ///< 1: it holds no privilege that it should not
  std::uint32_t sees_all = 0;  ///< 1: it may look at the processes of every user
};

/// What only the helper needs (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH) this thread, and those it makes, have no
/// more. Of root's it takes nothing: root has them back with the next exec.
void give_up_finder_rights() noexcept;

/// The life of the helper, right after fork(): gives up all but what reading /proc of other users takes
/// (CAP_SYS_PTRACE for the links, CAP_DAC_READ_SEARCH for the directories, where it has them; uid 65534 where
/// it was root), every descriptor but `sockets`, with `filter_calls` all system calls that reading does not
/// take (where the kernel has seccomp), then answers the questions that come through these. Ends
/// when all of them have been closed at the other end, or with the thread of `parent` that forked it.
[[noreturn]] void run_process_helper(std::vector<int> sockets, const lookup_bounds& bounds, bool filter_calls,
                                     ::pid_t parent) noexcept;

}  // namespace exeat::identity
