#include "identity/process_helper.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <optional>

#include "sandbox/syscall_filter.hpp"

namespace exeat::identity {
namespace {

constexpr ::uid_t nobody = 65534;

constexpr std::uint64_t bit(unsigned capability) {
  return 1ULL << capability;
}
constexpr std::uint64_t wanted_capabilities = bit(CAP_SYS_PTRACE) | bit(CAP_DAC_READ_SEARCH);

std::optional<std::uint64_t> permitted() noexcept {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return std::nullopt;
  return data[0].permitted | (static_cast<std::uint64_t>(data[1].permitted) << 32);
}

bool keep_only(std::uint64_t capabilities) noexcept {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (unsigned half = 0; half < 2; ++half)
    data[half].effective = data[half].permitted = static_cast<std::uint32_t>(capabilities >> (32 * half));
  return ::syscall(SYS_capset, &header, data.data()) == 0;
}

}  // namespace

void give_up_finder_rights() noexcept {
  if (::geteuid() == 0) return;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return;
  for (unsigned half = 0; half < 2; ++half) {
    const auto kept = ~static_cast<std::uint32_t>(wanted_capabilities >> (32 * half));
    data[half].effective &= kept;
    data[half].permitted &= kept;
    data[half].inheritable &= kept;
  }
  ::syscall(SYS_capset, &header, data.data());
}

namespace {

// A handler of the parent's would run on the parent's memory of before. What a terminal or a service manager
// sends to the whole group is meant for the parent: the helper stays until that ends.
void reset_signals() noexcept {
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2})
    ::signal(number, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

/// /dev/null at 0 to 2, `kept` where they are, above that, and nothing else.
bool close_all_but(std::vector<int>& kept) noexcept {
  for (auto& one : kept) {
    if (one <= 2) one = ::fcntl(one, F_DUPFD_CLOEXEC, 3);
    if (one < 0) return false;
  }
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return false;
  for (int standard = 0; standard <= 2; ++standard) {
    if (null != standard && ::dup2(null, standard) < 0) return false;
  }
  auto ordered = kept;
  std::ranges::sort(ordered);
  unsigned from = 3;
  for (const int one : ordered) {
    const auto value = static_cast<unsigned>(one);
    if (value > from && ::close_range(from, value - 1, 0) != 0) return false;
    from = value + 1;
  }
  return ::close_range(from, ~0U, 0) == 0;
}

void lower_limits(std::size_t sockets) noexcept {
  const auto limit = [](__rlimit_resource_t what, rlim_t value) {
    const rlimit both{value, value};
    ::setrlimit(what, &both);
  };
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NPROC, 0);
  limit(RLIMIT_NOFILE, sockets + 32);
}

/// The capabilities that are left, or nothing where too much is.
std::optional<std::uint64_t> drop_privileges() noexcept {
  const auto held = permitted();
  if (!held) return std::nullopt;
  const auto kept = *held & wanted_capabilities;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return std::nullopt;
  // Only exec() looks at these, and no_new_privs has settled that: as far as it goes.
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (unsigned long one = 0; one < 64; ++one) ::prctl(PR_CAPBSET_DROP, one, 0, 0, 0);
  if (::geteuid() == 0 || ::getuid() == 0) {
    // Root without capabilities still owns root's files. (A user namespace may have no other uid.)
    ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    static_cast<void>(::setgroups(0, nullptr));
    static_cast<void>(::setresgid(nobody, nobody, nobody));
    static_cast<void>(::setresuid(nobody, nobody, nobody));
  }
  if (!keep_only(kept) || permitted() != kept) return std::nullopt;
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);  // nobody of the same uid looks into the helper
  return kept;
}

/// Processor time that this process has spent, in nanoseconds.
std::uint64_t own_time() noexcept {
  timespec spent{};
  if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent) != 0) return 0;
  return static_cast<std::uint64_t>(spent.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(spent.tv_nsec);
}

/// One question of one socket; false: nobody is at its other end any more.
bool answer_one(int socket, int proc, const lookup_bounds& bounds, const std::array<::pid_t, 2>& skipped,
                recent_holders& recent) noexcept {
  const auto before = own_time();
  process_question question;
  const auto size = ::recv(socket, &question, sizeof question, MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (static_cast<std::size_t>(size) != sizeof question) return false;
  auto answer = look_up(proc, question, bounds, skipped, recent);
  answer.cpu_microseconds = static_cast<std::uint32_t>((own_time() - before) / 1'000);
  return ::send(socket, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno == EAGAIN;
}

void serve(const std::vector<int>& sockets, int proc, const lookup_bounds& bounds, ::pid_t parent) noexcept {
  std::vector<pollfd> waiting;
  waiting.reserve(sockets.size());
  for (const int one : sockets) waiting.push_back({.fd = one, .events = POLLIN, .revents = 0});
  const std::array skipped{::getpid(), parent};
  recent_holders recent;
  auto open = waiting.size();
  while (open != 0) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) return;
    for (auto& one : waiting) {
      if (one.fd < 0 || one.revents == 0) continue;
      if (answer_one(one.fd, proc, bounds, skipped, recent)) continue;
      ::close(one.fd);
      one.fd = -1;
      --open;
    }
  }
}

}  // namespace

void run_process_helper(std::vector<int> sockets, const lookup_bounds& bounds, bool filter_calls,
                        ::pid_t parent) noexcept {
  reset_signals();
  const int proc = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (proc < 0) ::_exit(1);
  auto kept = sockets;
  kept.push_back(proc);
  if (!close_all_but(kept) || ::chdir("/") != 0) ::_exit(1);
  ::prctl(PR_SET_NAME, "exeat-finder", 0, 0, 0);
  const auto capabilities = drop_privileges();
  lower_limits(sockets.size());
  // After the uid has changed, for that takes the signal back; and the parent may be gone already.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (!capabilities || ::getppid() != parent) ::_exit(1);
  // Where the kernel has none, what has been given up so far must do.
  if (filter_calls) static_cast<void>(sandbox::filter_finder_calls());

  sockets.assign(kept.begin(), kept.end() - 1);
  const helper_greeting greeting{.confined = 1, .sees_all = *capabilities == wanted_capabilities ? 1U : 0U};
  if (::send(sockets.front(), &greeting, sizeof greeting, MSG_NOSIGNAL) != sizeof greeting) ::_exit(1);
  serve(sockets, kept.back(), bounds, parent);
  ::_exit(0);
}

}  // namespace exeat::identity
