// What is refused, tried from inside: each attempt in a child process that has confined itself.
#include "sandbox/confine.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "sandbox/landlock.hpp"
#include "sandbox/privileges.hpp"
#include "sandbox/syscall_filter.hpp"

using namespace exeat;
using namespace exeat::sandbox;

namespace {

// How a child ended: its exit status, or the negative number of the signal.
int outcome_of(const std::function<int()>& work) {
  const ::pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::_exit(work());
  }
  REQUIRE(child > 0);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// 0, or errno: what a call says.
int error_of(long result) {
  return result >= 0 ? 0 : errno;
}

constexpr int not_confined = 200;

int filtered(const std::function<int()>& attempt, const filter_options& options = {}) {
  return outcome_of([&] {
    if (!drop_capabilities() || !filter_system_calls(options)) return not_confined;
    return attempt();
  });
}

struct folder {
  folder() {
    std::string text = (std::filesystem::temp_directory_path() / "exeat-sandbox-XXXXXX").string();
    REQUIRE(::mkdtemp(text.data()) != nullptr);
    path = text;
    for (const auto* const name : {"read", "log", "other"}) std::filesystem::create_directory(path / name);
    std::ofstream(path / "read/file") << "text";
    std::ofstream(path / "other/file") << "text";
    std::ofstream(path / "log/file") << "text";
  }
  ~folder() { std::filesystem::remove_all(path); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  std::string at(const char* name) const { return (path / name).string(); }
  std::filesystem::path path;
};

int restricted(const folder& files, const std::function<int()>& attempt) {
  const auto version = landlock_version();
  REQUIRE(version);
  const auto log = file_right::read | file_right::write | file_right::make | file_right::remove;
  const std::vector<grant> grants{
      {files.at("read"), file_right::read}, {files.at("log"), log}, {"/not/there", log}};
  return outcome_of([&] {
    if (!drop_capabilities() || !restrict_files(*version, grants, {})) return not_confined;
    return attempt();
  });
}

int opened(const std::string& path, int flags) {
  return error_of(::open(path.c_str(), flags | O_CLOEXEC, 0600));
}

int tcp_socket() {
  return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

int bound(int socket, std::uint16_t port) {
  const sockaddr_in at{
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  return error_of(::bind(socket, reinterpret_cast<const sockaddr*>(&at), sizeof at));
}

bool has_seccomp() {
  return filtered([] { return 0; }) == 0;
}

}  // namespace

TEST_CASE("files: what is granted, and nothing else") {
  if (!landlock_version()) {
    MESSAGE("no Landlock here: " << landlock_version().error());
    return;
  }
  const folder files;
  const auto tries = [&](const char* name, int flags) {
    return restricted(files, [&] { return opened(files.at(name), flags); });
  };
  CHECK(tries("read/file", O_RDONLY) == 0);
  CHECK(tries("read/file", O_WRONLY) == EACCES);
  CHECK(tries("read/new", O_WRONLY | O_CREAT) == EACCES);
  CHECK(tries("other/file", O_RDONLY) == EACCES);
  CHECK(tries("read/../other/file", O_RDONLY) == EACCES);
  CHECK(tries("log/file", O_RDWR | O_TRUNC) == 0);
  CHECK(tries("log/new", O_WRONLY | O_CREAT) == 0);
  CHECK(tries("log", O_RDONLY | O_DIRECTORY) == 0);
  CHECK(tries("other", O_RDONLY | O_DIRECTORY) == EACCES);
  CHECK(restricted(files, [] { return opened("/etc/shadow", O_RDONLY); }) == EACCES);
  CHECK(restricted(files, [] { return opened("/proc/1/environ", O_RDONLY); }) == EACCES);

  const auto call = [&](const std::function<long()>& attempt) {
    return restricted(files, [&] { return error_of(attempt()); });
  };
  const auto a = files.at("log/file");
  const auto b = files.at("log/file.1");
  const auto outside = files.at("other/file");
  CHECK(call([&] { return ::rename(a.c_str(), b.c_str()); }) == 0);
  CHECK(call([&] { return ::unlink(b.c_str()); }) == 0);
  CHECK(call([&] { return ::unlink(outside.c_str()); }) == EACCES);
  CHECK(call([&] { return ::rename(outside.c_str(), a.c_str()); }) != 0);
  CHECK(call([&] { return ::symlink("/etc", files.at("log/link").c_str()); }) == EACCES);
  CHECK(call([&] { return ::mkdir(files.at("log/deeper").c_str(), 0700); }) == EACCES);
  if (*landlock_version() >= 3) CHECK(call([&] { return ::truncate(outside.c_str(), 0); }) == EACCES);
}

TEST_CASE("no TCP port is bound, no other process signalled, once files are restricted") {
  const auto version = landlock_version().value_or(0);
  const folder files;
  if (version >= 4) CHECK(restricted(files, [] { return bound(tcp_socket(), 0); }) == EACCES);
  if (version >= 6) {
    CHECK(restricted(files, [] { return error_of(::kill(::getppid(), 0)); }) == EPERM);
    CHECK(restricted(files, [] { return error_of(::kill(::getpid(), 0)); }) == 0);
  }
}

TEST_CASE("the filter lets a proxy work") {
  if (!has_seccomp()) {
    MESSAGE("no seccomp here");
    return;
  }
  CHECK(filtered([] {
          std::array<int, 2> ends{};
          if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) return 1;
          if (::write(ends[0], "x", 1) != 1) return 2;
          char octet = 0;
          if (::read(ends[1], &octet, 1) != 1 || octet != 'x') return 3;
          if (tcp_socket() < 0) return 4;
          if (::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP) < 0 && errno != EAFNOSUPPORT)
            return 5;
          if (::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP) < 0) return 6;
          if (::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) < 0) return 7;
          if (::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG) < 0) return 8;
          rlimit limit{};
          if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 9;
          void* const page =
              ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          if (page == MAP_FAILED || ::mprotect(page, 4096, PROT_READ) != 0) return 10;
          return 0;
        }) == 0);
  CHECK(filtered([] {
          std::atomic<int> seen = 0;
          std::thread([&] { seen = 7; }).join();
          return seen.load();
        }) == 7);
}

TEST_CASE("what no proxy does ends it") {
  if (!has_seccomp()) return;
  const auto call = [](long number, long a = 0, long b = 0, long c = 0) {
    return filtered([=] { return error_of(::syscall(number, a, b, c)); });
  };
  CHECK(filtered([] { return error_of(::execl("/bin/true", "true", nullptr)); }) == -SIGSYS);
  CHECK(filtered([] { return error_of(::ptrace(PTRACE_TRACEME, 0, 0, 0)); }) == -SIGSYS);
  CHECK(call(SYS_bpf) == -SIGSYS);
  CHECK(call(SYS_mount) == -SIGSYS);
  CHECK(call(SYS_unshare) == -SIGSYS);
  CHECK(call(SYS_setns) == -SIGSYS);
  CHECK(call(SYS_keyctl) == -SIGSYS);
  CHECK(call(SYS_io_uring_setup) == -SIGSYS);
  CHECK(call(SYS_userfaultfd) == -SIGSYS);
  CHECK(call(SYS_init_module) == -SIGSYS);
  CHECK(call(SYS_process_vm_readv) == -SIGSYS);
  CHECK(call(SYS_setresuid) == -SIGSYS);
#ifdef __x86_64__
  // The same numbers in another dialect: x32, and i386 by the old gate (without which it is a fault).
  CHECK(call(0x40000000 | SYS_getpid) == -SIGSYS);
  CHECK(filtered([] {
          long result = 20;  // getpid
          asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
          return 0;
        }) < 0);
#endif
}

TEST_CASE("what is not needed fails") {
  if (!has_seccomp()) return;
  const auto socket = [](int family, int type, int protocol) {
    return filtered([=] { return error_of(::socket(family, type, protocol)); });
  };
  CHECK(socket(AF_PACKET, SOCK_RAW, 0) == ENOSYS);
  CHECK(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) == ENOSYS);
  CHECK(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP) == ENOSYS);
  CHECK(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP) == ENOSYS);
  CHECK(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) == ENOSYS);
  CHECK(socket(AF_VSOCK, SOCK_STREAM, 0) == ENOSYS);
  CHECK(socket(AF_ALG, SOCK_SEQPACKET, 0) == ENOSYS);
  CHECK(filtered([] { return error_of(::listen(tcp_socket(), 1)); }) == EPERM);
  // Landlock says nothing of whose unix socket one connects to: a container engine's would do.
  CHECK(socket(AF_UNIX, SOCK_STREAM, 0) == ENOSYS);
  CHECK(socket(AF_UNIX, SOCK_SEQPACKET, 0) == ENOSYS);
  CHECK(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) == ENOSYS);
  const auto unix_socket = [](int type, const filter_options& options) {
    return filtered([=] { return error_of(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0)); }, options);
  };
  CHECK(unix_socket(SOCK_STREAM, {.unix_streams = true}) == 0);
  CHECK(unix_socket(SOCK_DGRAM, {.unix_streams = true}) == ENOSYS);
  CHECK(unix_socket(SOCK_DGRAM, {.unix_datagrams = true}) == 0);
  CHECK(unix_socket(SOCK_STREAM, {.unix_datagrams = true}) == ENOSYS);

  const auto option = [](int level, int name) {
    return filtered([=] {
      const int value = 1;
      return error_of(::setsockopt(tcp_socket(), level, name, &value, sizeof value));
    });
  };
  CHECK(option(IPPROTO_TCP, TCP_NODELAY) == 0);
  CHECK(option(SOL_SOCKET, SO_KEEPALIVE) == 0);
  CHECK(option(IPPROTO_TCP, TCP_ULP) == ENOSYS);
  CHECK(option(IPPROTO_TCP, TCP_REPAIR) == ENOSYS);
  CHECK(option(SOL_SOCKET, SO_ATTACH_FILTER) == ENOSYS);
  CHECK(option(SOL_SOCKET, SO_ATTACH_BPF) == ENOSYS);
  CHECK(option(SOL_SOCKET, SO_REUSEPORT) == ENOSYS);
  CHECK(option(SOL_IP, 64 /* IPT_SO_SET_REPLACE */) == ENOSYS);
  CHECK(filtered([] {
          std::array<int, 2> ends{};
          return ::pipe(ends.data()) != 0 ? 1 : error_of(::vmsplice(ends[1], nullptr, 0, 0));
        }) == ENOSYS);
  CHECK(filtered([] { return error_of(::fork()); }) == EPERM);
  CHECK(filtered([] { return error_of(::syscall(SYS_clone3, nullptr, 0)); }) == ENOSYS);
  CHECK(filtered([] { return error_of(::kill(::getpid(), 0)); }) == EPERM);
  CHECK(filtered([] { return error_of(::chmod("/tmp", 0777)); }) == ENOSYS);
  CHECK(filtered([] { return error_of(::syscall(SYS_ioctl, 0, 0x5412 /* TIOCSTI */, "x")); }) == ENOSYS);
  CHECK(filtered([] {
          const rlimit limit{64, 64};
          return error_of(::setrlimit(RLIMIT_NOFILE, &limit));
        }) == ENOSYS);
  CHECK(filtered([] { return error_of(::syscall(4000)); }) == ENOSYS);
  CHECK(filtered([]() -> int {
          ::signal(SIGABRT, SIG_DFL);
          std::abort();
        }) == -SIGABRT);
}

TEST_CASE("no new code") {
  if (!has_seccomp()) return;
  const auto map = [](int protection, const filter_options& options) {
    return filtered(
        [=] {
          const auto* page = ::mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return page == MAP_FAILED ? errno : 0;
        },
        options);
  };
  CHECK(map(PROT_READ | PROT_EXEC, {}) == EPERM);
  CHECK(map(PROT_READ | PROT_WRITE | PROT_EXEC, {}) == EPERM);
  CHECK(map(PROT_READ | PROT_EXEC, {.load_code = true}) == 0);
  CHECK(map(PROT_READ | PROT_WRITE | PROT_EXEC, {.load_code = true}) == ENOSYS);
  CHECK(filtered([] {
          void* const page =
              ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return error_of(::mprotect(page, 4096, PROT_READ | PROT_EXEC));
        }) == EPERM);
}

TEST_CASE("a thread that was there before is filtered as well") {
  if (!has_seccomp()) return;
  CHECK(outcome_of([] {
          std::atomic<bool> go = false;
          std::atomic<int> error = -1;
          std::thread early([&] {
            go.wait(false);
            error = error_of(::socket(AF_PACKET, SOCK_RAW, 0));
          });
          if (!drop_capabilities() || !filter_system_calls({})) return not_confined;
          go = true;
          go.notify_all();
          early.join();
          return error.load();
        }) == ENOSYS);
}

TEST_CASE("the helper that looks into /proc reads, and does nothing else") {
  if (!has_seccomp()) return;
  if (config::default_sandbox == config::sandbox_mode::off) {
    MESSAGE("the sanitizers' library needs more than the helper may: tested in a plain build");
    return;
  }
  const auto helper = [](const std::function<int()>& attempt) {
    return outcome_of([&] {
      if (!drop_capabilities() || !filter_finder_calls()) return not_confined;
      return attempt();
    });
  };
  CHECK(helper([] { return opened("/proc/self/status", O_RDONLY); }) == 0);
  CHECK(helper([] { return opened("/dev/null", O_WRONLY); }) == ENOSYS);
  CHECK(helper([] { return opened("/tmp/exeat-never", O_RDONLY | O_CREAT); }) == ENOSYS);
  CHECK(helper([] { return error_of(tcp_socket()); }) == ENOSYS);
  CHECK(helper([] { return error_of(::fork()); }) == ENOSYS);
  CHECK(helper([] { return error_of(::execl("/bin/true", "true", nullptr)); }) == -SIGSYS);
  CHECK(helper([] { return error_of(::kill(::getppid(), 0)); }) == ENOSYS);
}

TEST_CASE("another user, for good") {
  if (::geteuid() != 0) {
    CHECK_FALSE(become({.name = "root", .uid = 0, .gid = 0}));
    MESSAGE("not root: only refusals can be tested");
    return;
  }
  const auto nobody = find_account("nobody");
  REQUIRE(nobody);
  CHECK(find_account(std::to_string(nobody->uid))->name == "nobody");
  CHECK(find_account("no-such-user").error() == "`user: no-such-user`: there is no such user");
  CHECK(outcome_of([&] {
          if (!become(*nobody)) return 1;
          if (::getuid() != nobody->uid || ::getegid() != nobody->gid || ::getgroups(0, nullptr) != 0)
            return 2;
          if (permitted_capabilities() != 1ULL << CAP_NET_BIND_SERVICE) return 3;
          if (::setuid(0) == 0) return 4;
          if (!become(*nobody)) return 5;  // is that user already
          // Any port below 1024; the test needs none of them to be free.
          if (bound(tcp_socket(), 1) == EACCES) return 6;
          if (!drop_capabilities() || permitted_capabilities() != 0) return 7;
          if (bound(tcp_socket(), 1) != EACCES) return 8;
          return 0;
        }) == 0);
  CHECK(outcome_of([&] {
          if (!drop_capabilities()) return 1;
          const auto refused = become(*nobody);
          return !refused && refused.error().ends_with("start it as root, or as that user") ? 0 : 2;
        }) == 0);
}

TEST_CASE("confine: off does nothing, and what is lacking is said or refused") {
  config::settings settings;
  settings.sandbox = config::sandbox_mode::off;
  const auto off = confine(settings, {});
  REQUIRE(off);
  CHECK(off->summary == "off");
  CHECK(outcome_of([&] {
          settings.sandbox = config::sandbox_mode::required;
          const auto done = confine(settings, {});
          if (!done) return landlock_version() ? 1 : 0;
          if (!done->summary.contains("seccomp") || !done->summary.contains("Landlock")) return 2;
          return opened("/usr/bin/env", O_RDONLY) == EACCES ? 0 : 3;
        }) == 0);
}
