#include "proxy/pipe_pool.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace exeat::proxy {
namespace {

void close_pipe(const pipe_pair& pipe) noexcept {
  ::close(pipe.read_end);
  ::close(pipe.write_end);
}

}  // namespace

pipe_pool::~pipe_pool() {
  for (const auto& pipe : free_) close_pipe(pipe);
}

pipe_pair pipe_pool::borrow() noexcept {
  if (!free_.empty()) {
    const auto pipe = free_.back();
    free_.pop_back();
    return pipe;
  }
  if (open_ >= most_) return {};
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return {};
  pipe_pair pipe{ends[0], ends[1], 0, 0};
  // Past the soft limit the kernel refuses to grow a pipe; a small one would only slow the direction down.
  const int size = ::fcntl(pipe.write_end, F_SETPIPE_SZ, static_cast<int>(pipe_size));
  if (size < static_cast<int>(pipe_size)) {
    close_pipe(pipe);
    return {};
  }
  pipe.capacity = static_cast<std::uint32_t>(size);
  ++open_;
  return pipe;
}

void pipe_pool::give_back(pipe_pair pipe) noexcept {
  if (!pipe.valid()) return;
  if (pipe.filled == 0 && free_.size() < kept) {
    free_.push_back(pipe);
    return;
  }
  close_pipe(pipe);
  --open_;
}

}  // namespace exeat::proxy
