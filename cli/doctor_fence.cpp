#include "cli/doctor_fence.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string_view>

#include "cli/connect_bridge.hpp"

namespace exeat::cli {
namespace {

using std::chrono::steady_clock;

// The child hands its end of the notifications over on this descriptor; sendmsg on it is let through.
constexpr int hand_over = 900;
constexpr std::size_t output_kept = 4096;
constexpr std::string_view no_fence =
    "this kernel, or the profile of this container, fences no process (seccomp user notification)";

std::string failure(std::string_view what, int code) {
  return fmt::format("{}: {}", what, std::strerror(code));
}

// Put together before the fork: the child of a process with threads may not allocate.
std::expected<std::vector<sock_filter>, std::string> make_filter() {
  const std::unique_ptr<void, void (*)(scmp_filter_ctx)> context(::seccomp_init(SCMP_ACT_ALLOW),
                                                                 ::seccomp_release);
  if (context == nullptr) return std::unexpected("no memory for a system call filter");
  int result = 0;
  const auto add = [&](std::uint32_t action, int call, std::initializer_list<scmp_arg_cmp> where) {
    if (result == 0)
      result = ::seccomp_rule_add_array(context.get(), action, call, static_cast<unsigned>(where.size()),
                                        where.begin());
  };
  constexpr auto not_equal = [](unsigned argument, std::uint64_t value) {
    return scmp_arg_cmp{.arg = argument, .op = SCMP_CMP_NE, .datum_a = value, .datum_b = 0};
  };
  add(SCMP_ACT_NOTIFY, SCMP_SYS(connect), {});
  add(SCMP_ACT_NOTIFY, SCMP_SYS(sendto), {not_equal(4, 0)});  // with an address
  add(SCMP_ACT_NOTIFY, SCMP_SYS(sendmsg), {not_equal(0, hand_over)});
  add(SCMP_ACT_NOTIFY, SCMP_SYS(sendmmsg), {});
  add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), {});  // its connects pass no filter
  const owned_fd file(::memfd_create("filter", MFD_CLOEXEC));
  if (result == 0 && file.get() < 0) result = -errno;
  if (result == 0) result = ::seccomp_export_bpf(context.get(), file.get());
  const auto size = result == 0 ? ::lseek(file.get(), 0, SEEK_END) : -1;
  if (result == 0 && size <= 0) result = -EINVAL;
  std::vector<sock_filter> program(result == 0 ? static_cast<std::size_t>(size) / sizeof(sock_filter) : 0);
  if (result == 0 && ::pread(file.get(), program.data(), static_cast<std::size_t>(size), 0) != size)
    result = -EIO;
  if (result != 0) return std::unexpected(failure(no_fence, -result));
  return program;
}

// In the child, on async-signal-safe calls alone. Does not return.
[[noreturn]] void become(const sock_filter* filter, unsigned short filter_size, int socket, int output,
                         char* const* words, char* const* environment) {
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::signal(SIGPIPE, SIG_DFL);
  if (nothing < 0 || ::dup2(nothing, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(output, 2) < 0 ||
      ::dup3(socket, hand_over, O_CLOEXEC) < 0)
    ::_exit(125);
  const sock_fprog program{filter_size, const_cast<sock_filter*>(filter)};
  int listener = -1;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
    // Signals of the tool's own, which Go and the JVM send all the time, are not to begin a connect anew
    // (Linux 5.19).
    for (const auto more : {SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, 0UL})
      if (listener < 0)
        listener = static_cast<int>(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                              SECCOMP_FILTER_FLAG_NEW_LISTENER | more, &program));
  // One octet with the descriptor; or the errno, without.
  char octet = listener < 0 ? static_cast<char>(errno) : '\0';
  iovec part{&octet, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (listener >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    auto* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &listener, sizeof listener);
  }
  if (::sendmsg(hand_over, &message, MSG_NOSIGNAL) != 1 || listener < 0) ::_exit(125);
  ::execvpe(words[0], words, environment);
  ::_exit(errno == ENOENT ? 127 : 126);
}

std::expected<owned_fd, std::string> take_listener(int socket) {
  char octet = 0;
  iovec part{&octet, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1)
    return std::unexpected("the process to be fenced ended at its start");
  const auto* head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_type != SCM_RIGHTS) return std::unexpected(failure(no_fence, octet));
  int listener = -1;
  std::memcpy(&listener, CMSG_DATA(head), sizeof listener);
  return owned_fd(listener);
}

// Where somebody wants to connect or send to.
struct target {
  sockaddr_storage address{};
  std::size_t size = 0;
};

std::optional<std::pair<core::ip_address, std::uint16_t>> ip_of(const target& to) {
  if (to.address.ss_family == AF_INET && to.size >= sizeof(sockaddr_in)) {
    sockaddr_in in{};
    std::memcpy(&in, &to.address, sizeof in);
    return {{core::ip_address::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)}};
  }
  if (to.address.ss_family == AF_INET6 && to.size >= offsetof(sockaddr_in6, sin6_scope_id)) {
    sockaddr_in6 in{};
    std::memcpy(&in, &to.address, std::min(sizeof in, to.size));
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr)) {
      std::uint32_t v4 = 0;
      std::memcpy(&v4, &in.sin6_addr.s6_addr[12], sizeof v4);
      return {{core::ip_address::v4(ntohl(v4)), ntohs(in.sin6_port)}};
    }
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return {{core::ip_address::v6(bytes), ntohs(in.sin6_port)}};
  }
  return std::nullopt;
}

bool read_memory(::pid_t from, std::uint64_t at, void* into, std::size_t size) {
  iovec local{into, size};
  iovec remote{reinterpret_cast<void*>(at), size};  // NOLINT(performance-no-int-to-ptr): of the other process
  return ::process_vm_readv(from, &local, 1, &remote, 1, 0) == static_cast<::ssize_t>(size);
}

// What the call's arguments point to; empty: it cannot be read. Size 0: it names no address.
std::optional<target> target_of(const seccomp_notif& call) {
  target to;
  const auto thread = static_cast<::pid_t>(call.pid);
  std::uint64_t at = 0;
  std::uint64_t size = 0;
  if (call.data.nr == SYS_connect) {
    at = call.data.args[1];
    size = call.data.args[2];
  } else if (call.data.nr == SYS_sendto) {
    at = call.data.args[4];
    size = call.data.args[5];
  } else {
    msghdr message{};  // of sendmmsg the first: resolvers send all to one address
    if (!read_memory(thread, call.data.args[1], &message, sizeof message)) return std::nullopt;
    at = reinterpret_cast<std::uint64_t>(message.msg_name);
    size = message.msg_namelen;
  }
  if (at == 0) return to;
  to.size = std::min<std::size_t>(size & 0xffffffffU, sizeof to.address);
  if (to.size == 0 || !read_memory(thread, at, &to.address, to.size)) return std::nullopt;
  return to;
}

// A duplicate of the descriptor that the call is about; may be none.
owned_fd socket_of(const seccomp_notif& call) {
  std::ifstream status(fmt::format("/proc/{}/status", call.pid));
  std::string word;
  ::pid_t process = 0;
  while (status >> word)
    if (word == "Tgid:") {
      status >> process;
      break;
    }
  if (process <= 0) return owned_fd(-1);
  const owned_fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  if (pidfd.get() < 0) return owned_fd(-1);
  return owned_fd(
      static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), static_cast<int>(call.data.args[0]), 0)));
}

bool is_name_service(const target& to) {
  sockaddr_un name{};
  std::memcpy(&name, &to.address, std::min(sizeof name, to.size));
  name.sun_path[sizeof name.sun_path - 1] = '\0';
  const std::string_view path(static_cast<const char*>(name.sun_path));
  return path.contains("nscd") || path.contains("io.systemd.Resolve") || path.contains("system_bus_socket") ||
         path.contains("avahi");
}

class watcher {
 public:
  watcher(int listener, const tcp_place& proxy, std::uint16_t recorder, fenced_result& result)
      : listener_(listener), proxy_(proxy), recorder_(recorder), result_(&result) {}

  void take_one() {
    seccomp_notif call{};
    if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return;
    seccomp_notif_resp answer{.id = call.id, .val = 0, .error = 0, .flags = 0};
    const auto to = target_of(call);
    if (::ioctl(listener_, SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id) != 0) return;  // it is gone
    if (!to) {
      answer.error = -EACCES;
    } else {
      judge(call, *to, answer);
    }
    ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);
  }

 private:
  static void let_through(seccomp_notif_resp& answer) { answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE; }

  void judge(const seccomp_notif& call, const target& to, seccomp_notif_resp& answer) {
    const auto family = to.address.ss_family;
    if (to.size == 0 || (family != AF_INET && family != AF_INET6)) {
      if (to.size != 0 && family == AF_UNIX && is_name_service(to)) {
        answer.error = -ENOENT;
        return;
      }
      return let_through(answer);
    }
    const auto place = ip_of(to);
    if (!place) {
      answer.error = -EINVAL;
      return;
    }
    const auto& [address, port] = *place;
    const auto socket = socket_of(call);
    int type = SOCK_STREAM;
    socklen_t size = sizeof type;
    if (socket.get() >= 0) ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size);
    const bool is_dns = port == 53 || port == 5353 || port == 853;
    if (!is_dns && type == SOCK_STREAM && call.data.nr == SYS_connect && port == proxy_.port &&
        address == proxy_.address) {
      ++result_->proxied;
      return lead_to_recorder(socket.get(), family, answer);
    }
    answer.error = -ENETUNREACH;
    // Resolvers connect a datagram socket to see the source address that the kernel would choose: no packet.
    if (!is_dns && type == SOCK_DGRAM && call.data.nr == SYS_connect) return;
    note(fmt::format("{} {}{}{}:{}", is_dns ? "the name server" : "a connection to",
                     address.is_v6() ? "[" : "", address.to_string(), address.is_v6() ? "]" : "", port));
  }

  void lead_to_recorder(int socket, int family, seccomp_notif_resp& answer) {
    if (socket < 0) {
      result_->led = false;
      return let_through(answer);
    }
    int done = 0;
    if (family == AF_INET) {
      const sockaddr_in to{.sin_family = AF_INET,
                           .sin_port = htons(recorder_),
                           .sin_addr = {htonl(INADDR_LOOPBACK)},
                           .sin_zero = {}};
      done = ::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    } else {
      sockaddr_in6 to{};
      to.sin6_family = AF_INET6;
      to.sin6_port = htons(recorder_);
      ::inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr);
      done = ::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    if (done != 0 && errno != EISCONN) answer.error = -errno;  // begun anew: it is connected already
  }

  void note(std::string text) {
    auto& all = result_->attempts;
    if (std::ranges::find(all, text) == all.end() && all.size() < 10) all.push_back(std::move(text));
  }

  int listener_;
  tcp_place proxy_;
  std::uint16_t recorder_;
  fenced_result* result_;
};

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const auto& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

void keep_end(std::string& kept, std::string_view more) {
  kept += more;
  if (kept.size() > output_kept) kept.erase(0, kept.size() - output_kept);
}

// Orphans of the command have become ours (PR_SET_CHILD_SUBREAPER); they end with it.
void end_all(::pid_t group) {
  ::kill(-group, SIGKILL);
  for (int round = 0; round < 100; ++round) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::ifstream children(fmt::format("/proc/self/task/{}/children", ::getpid()));
    ::pid_t one = 0;
    bool any = false;
    while (children >> one) {
      any = true;
      ::kill(one, SIGKILL);
    }
    if (!any) return;
    ::usleep(10'000);
  }
}

int status_of(int waited) {
  return WIFEXITED(waited) ? WEXITSTATUS(waited) : 128 + WTERMSIG(waited);
}

}  // namespace

std::expected<fenced_result, std::string> run_fenced(const fenced_command& command, const tcp_place& proxy,
                                                     std::uint16_t recorder) {
  const auto filter = make_filter();
  if (!filter) return std::unexpected(filter.error());
  const auto words = pointers_to(command.words);
  const auto environment = pointers_to(command.environment);
  std::array<int, 2> sockets{-1, -1};
  std::array<int, 2> output{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0)
    return std::unexpected(failure("socketpair", errno));
  const owned_fd ours(sockets[0]);
  std::optional<owned_fd> theirs(std::in_place, sockets[1]);
  if (::pipe2(output.data(), O_CLOEXEC | O_NONBLOCK) != 0) return std::unexpected(failure("pipe", errno));
  const owned_fd reading(output[0]);
  std::optional<owned_fd> writing(std::in_place, output[1]);
  ::fcntl(output[1], F_SETFL, 0);  // the tool's own end blocks
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

  const ::pid_t child = ::fork();
  if (child < 0) return std::unexpected(failure("fork", errno));
  if (child == 0)
    become(filter->data(), static_cast<unsigned short>(filter->size()), sockets[1], output[1], words.data(),
           environment.data());
  ::setpgid(child, child);
  theirs.reset();
  writing.reset();
  auto listener = take_listener(ours.get());
  if (!listener) {
    end_all(child);
    return std::unexpected(listener.error());
  }

  fenced_result result;
  watcher watch(listener->get(), proxy, recorder, result);
  const auto deadline = steady_clock::now() + command.at_most;
  bool open = true;
  int waited = 0;
  for (;;) {
    if (::waitpid(child, &waited, WNOHANG) == child) {
      result.status = status_of(waited);
      break;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0 || (command.stop != nullptr && *command.stop != 0)) {
      result.timed_out = true;
      break;
    }
    // An end without output and without a call wakes nobody: look again soon.
    std::array<pollfd, 2> wait{{{listener->get(), POLLIN, 0}, {open ? reading.get() : -1, POLLIN, 0}}};
    ::poll(wait.data(), wait.size(), static_cast<int>(std::min<std::int64_t>(left.count(), 50)));
    if ((wait[0].revents & POLLIN) != 0) watch.take_one();
    if (wait[1].revents != 0) {
      std::array<char, 4096> buffer{};
      const auto got = ::read(reading.get(), buffer.data(), buffer.size());
      if (got > 0) keep_end(result.output, {buffer.data(), static_cast<std::size_t>(got)});
      if (got == 0) open = false;
    }
  }
  end_all(child);
  std::array<char, 4096> buffer{};
  for (::ssize_t got = 0; (got = ::read(reading.get(), buffer.data(), buffer.size())) > 0;)
    keep_end(result.output, {buffer.data(), static_cast<std::size_t>(got)});
  return result;
}

}  // namespace exeat::cli
