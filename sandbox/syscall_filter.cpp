#include "sandbox/syscall_filter.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <type_traits>

#include "sandbox/syscalls.hpp"

namespace exeat::sandbox {
namespace {

constexpr std::uint32_t refuse(int error) noexcept {
  return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(error));
}

using comparison = scmp_arg_cmp;

comparison equals(unsigned argument, long value) noexcept {
  return {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = static_cast<std::uint64_t>(value), .datum_b = 0};
}
/// The bits of `mask` are `value`.
comparison masked(unsigned argument, std::uint64_t mask, std::uint64_t value) noexcept {
  return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

// The filter while it is put together; remembers the first failure.
class filter {
 public:
  filter() : context_(::seccomp_init(refuse(ENOSYS))) {
    if (!context_) {
      fail(-ENOMEM);
      return;
    }
    // x32 and i386 as well: their numbers mean something else.
    fail(::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    fail(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_NNP, 0));
    fail(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1));
    // Where the kernel or the library is too old for these, it goes without.
    static_cast<void>(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_LOG, 1));
    static_cast<void>(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
    // No code of others runs here that could speculate; before Linux 5.16 the mitigation would come unasked.
    static_cast<void>(::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_SSB, 1));
  }

  void allow(std::span<const int> calls) {
    for (const int call : calls) add(SCMP_ACT_ALLOW, call, {});
  }
  void allow(int call, std::initializer_list<comparison> where) { add(SCMP_ACT_ALLOW, call, where); }
  void kill(std::span<const int> calls) {
    for (const int call : calls) add(SCMP_ACT_KILL_PROCESS, call, {});
  }
  void refuse_with(int error, int call, std::initializer_list<comparison> where = {}) {
    add(refuse(error), call, where);
  }

  std::expected<void, std::string> load() {
    if (failure_ == 0) fail(::seccomp_load(context_.get()));
    if (failure_ == 0) return {};
    return std::unexpected(
        fmt::format("the system call filter cannot be loaded: {}", std::strerror(-failure_)));
  }

 private:
  void add(std::uint32_t action, int call, std::initializer_list<comparison> where) {
    if (failure_ != 0) return;
    const int result = ::seccomp_rule_add_array(context_.get(), action, call,
                                                static_cast<unsigned>(where.size()), where.begin());
    // A call that this architecture does not have.
    if (result != -EDOM) fail(result);
  }
  void fail(int result) noexcept {
    if (failure_ == 0 && result < 0) failure_ = result;
  }

  struct release {
    void operator()(void* context) const noexcept { ::seccomp_release(context); }
  };
  std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, release> context_;
  int failure_ = 0;
};

constexpr auto memory_calls = std::to_array<int>({SCMP_SYS(mmap), SCMP_SYS(mmap2), SCMP_SYS(mprotect)});

void add_memory(filter& into, bool load_code) {
  for (const int call : memory_calls) {
    into.allow(call, {masked(2, PROT_EXEC, 0)});
    if (!load_code) into.refuse_with(EPERM, call, {masked(2, PROT_EXEC, PROT_EXEC)});
  }
  if (!load_code) return;
  for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mmap2)})
    into.allow(call, {masked(2, PROT_WRITE | PROT_EXEC, PROT_EXEC)});
}

void add_sockets(filter& into, const filter_options& options) {
  constexpr std::uint64_t type_bits = 0xf;  // without SOCK_NONBLOCK and SOCK_CLOEXEC
  const int call = SCMP_SYS(socket);
  if (options.unix_streams) into.allow(call, {equals(0, AF_UNIX), masked(1, type_bits, SOCK_STREAM)});
  if (options.unix_datagrams) into.allow(call, {equals(0, AF_UNIX), masked(1, type_bits, SOCK_DGRAM)});
  for (const int family : {AF_INET, AF_INET6}) {
    for (const int protocol : {0, static_cast<int>(IPPROTO_TCP)})
      into.allow(call, {equals(0, family), masked(1, type_bits, SOCK_STREAM), equals(2, protocol)});
    for (const int protocol : {0, static_cast<int>(IPPROTO_UDP)})
      into.allow(call, {equals(0, family), masked(1, type_bits, SOCK_DGRAM), equals(2, protocol)});
  }
  for (const int protocol : {NETLINK_ROUTE, NETLINK_SOCK_DIAG})
    into.allow(call, {equals(0, AF_NETLINK), equals(2, protocol)});
  into.allow(SCMP_SYS(socketpair), {equals(0, AF_UNIX)});
  into.refuse_with(EPERM, SCMP_SYS(listen));
}

// Ours, Asio's, c-ares's and glibc's resolver's. Not among them: filters (SO_ATTACH_*), kernel TLS and other
// protocols on top (TCP_ULP), TCP_REPAIR, netfilter's tables.
void add_socket_options(filter& into) {
  const int call = SCMP_SYS(setsockopt);
  for (const int option : {SO_BROADCAST, SO_KEEPALIVE, SO_LINGER, SO_PASSCRED, SO_RCVBUF, SO_RCVTIMEO,
                           SO_REUSEADDR, SO_SNDBUF, SO_SNDTIMEO})
    into.allow(call, {equals(1, SOL_SOCKET), equals(2, option)});
  for (const int option : {TCP_FASTOPEN_CONNECT, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY,
                           TCP_QUICKACK, TCP_USER_TIMEOUT})
    into.allow(call, {equals(1, IPPROTO_TCP), equals(2, option)});
  for (const int option : {IP_MTU_DISCOVER, IP_RECVERR, IP_TOS})
    into.allow(call, {equals(1, IPPROTO_IP), equals(2, option)});
  for (const int option : {IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_V6ONLY})
    into.allow(call, {equals(1, IPPROTO_IPV6), equals(2, option)});
}

void add_threads(filter& into) {
  // The flags are the first argument where we run; of clone3 they are out of
  // sight, so that fails with ENOSYS like all that is not named, and glibc falls back.
  into.allow(SCMP_SYS(clone), {masked(0, CLONE_THREAD, CLONE_THREAD)});
  into.refuse_with(EPERM, SCMP_SYS(clone), {masked(0, CLONE_THREAD, 0)});
  for (const int call : {SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(kill), SCMP_SYS(tkill)})
    into.refuse_with(EPERM, call);
  into.allow(SCMP_SYS(tgkill), {equals(0, ::getpid())});  // abort()
  // Downwards only: there is no way back from it without CAP_SYS_NICE.
  into.allow(SCMP_SYS(sched_setscheduler), {equals(0, 0), equals(1, SCHED_IDLE)});
}

}  // namespace

std::expected<void, std::string> filter_system_calls(const filter_options& options) {
  filter out;
  out.allow(served_calls());
  out.kill(hostile_calls());
  add_memory(out, options.load_code);
  add_sockets(out, options);
  add_socket_options(out);
  add_threads(out);
  // Limits are read only.
  out.allow(SCMP_SYS(prlimit64), {equals(2, 0)});
  for (const int request :
       {FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ, SIOCGIFNAME, SIOCGIFINDEX, TIOCOUTQ})
    out.allow(SCMP_SYS(ioctl), {equals(1, request)});
  for (const int option : {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_CAPBSET_READ, PR_SET_VMA})
    out.allow(SCMP_SYS(prctl), {equals(0, option)});
  return out.load();
}

std::expected<void, std::string> filter_finder_calls() {
  constexpr std::uint64_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
  filter out;
  out.allow(finder_calls());
  out.kill(hostile_calls());
  add_memory(out, false);
  out.allow(SCMP_SYS(open), {masked(1, writing, 0)});
  out.allow(SCMP_SYS(openat), {masked(2, writing, 0)});
  return out.load();
}

}  // namespace exeat::sandbox
