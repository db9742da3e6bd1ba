#include "tests/fuzz/session/kernel.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

namespace exeat::fuzz {
namespace {

std::chrono::milliseconds now{1'000'000};
kernel_watch* watching = nullptr;

}  // namespace

void set_time(std::chrono::milliseconds since_boot) noexcept {
  now = since_boot;
}
void pass_time(std::chrono::milliseconds duration) noexcept {
  now += duration;
}
std::chrono::milliseconds time_now() noexcept {
  return now;
}
void watch(kernel_watch* by) noexcept {
  watching = by;
}

}  // namespace exeat::fuzz

using namespace exeat::fuzz;

extern "C" {

// The whole process asks here: libstdc++ for its steady_clock, and c-ares.
int clock_gettime(clockid_t which, timespec* out) noexcept {
  if (which != CLOCK_MONOTONIC) return static_cast<int>(::syscall(SYS_clock_gettime, which, out));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time_now());
  out->tv_sec = static_cast<time_t>(seconds.count());
  out->tv_nsec = static_cast<long>(std::chrono::nanoseconds(time_now() - seconds).count());
  return 0;
}

// Without a timerfd Asio looks at its clock whenever it is polled; the kernel's timers know only the real
// time.
int __wrap_timerfd_create(int, int) {
  errno = ENOSYS;
  return -1;
}

int __real_connect(int, const sockaddr*, socklen_t);
int __wrap_connect(int fd, const sockaddr* to, socklen_t size) {
  if (watching != nullptr) watching->connecting(fd, *to);
  return __real_connect(fd, to, size);
}

ssize_t __real_send(int, const void*, std::size_t, int);
ssize_t __wrap_send(int fd, const void* data, std::size_t size, int flags) {
  if (watching != nullptr) watching->sending(fd);
  const auto n = __real_send(fd, data, size, flags);
  if (n > 0 && watching != nullptr)
    watching->sent(static_cast<const char*>(data), static_cast<std::size_t>(n));
  return n;
}

ssize_t __real_sendmsg(int, const msghdr*, int);
ssize_t __wrap_sendmsg(int fd, const msghdr* message, int flags) {
  if (watching != nullptr) watching->sending(fd);
  const auto n = __real_sendmsg(fd, message, flags);
  auto left = n > 0 ? static_cast<std::size_t>(n) : 0;
  for (std::size_t i = 0; left != 0 && watching != nullptr; ++i) {
    const auto& part = message->msg_iov[i];
    const auto size = part.iov_len < left ? part.iov_len : left;
    if (size != 0) watching->sent(static_cast<const char*>(part.iov_base), size);
    left -= size;
  }
  return n;
}

ssize_t __real_recv(int, void*, std::size_t, int);
ssize_t __wrap_recv(int fd, void* into, std::size_t size, int flags) {
  if (watching != nullptr) watching->receiving(fd);
  return __real_recv(fd, into, size, flags);
}

int __real_socketpair(int, int, int, int*);
int __wrap_socketpair(int domain, int type, int protocol, int* pair) {
  const int result = __real_socketpair(domain, type, protocol, pair);
  if (result == 0 && watching != nullptr) watching->paired(pair[1]);
  return result;
}

int __real_bind(int, const sockaddr*, socklen_t);
int __wrap_bind(int fd, const sockaddr* to, socklen_t size) {
  if (watching != nullptr && size == sizeof(sa_family_t)) watching->marking();
  return __real_bind(fd, to, size);
}

ssize_t __real_splice(int, off64_t*, int, off64_t*, std::size_t, unsigned);
ssize_t __wrap_splice(int from, off64_t* at, int to, off64_t* where, std::size_t size, unsigned flags) {
  if (watching != nullptr) watching->sending(to);
  const auto n = __real_splice(from, at, to, where, size, flags);
  if (n > 0 && watching != nullptr) watching->sent(nullptr, static_cast<std::size_t>(n));
  return n;
}

}  // extern "C"
