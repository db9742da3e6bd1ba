// seccomp(2): which system calls are left, and with what arguments.
#pragma once
#include <expected>
#include <string>

namespace exeat::sandbox {

/// For the process that serves.
struct filter_options {
  /// Shared libraries may still be loaded: nsswitch.conf names some (`resolver: system`). Without it no page
  /// of memory becomes executable any more.
  bool load_code = false;
};

/// Confines all threads of the process. From then on
/// - what a proxy has no use for and an intruder has (another program, another process, tracing, mounts,
///   kernel modules, bpf, io_uring, keys, namespaces) ends the process with SIGSYS, as do system calls of
///   another architecture;
/// - what is not known to be needed fails with ENOSYS, which libraries take as an old kernel's answer; the
///   kernel log (audit) says which it was;
/// - sockets are TCP, UDP and unix ones, and netlink for routes and sock_diag; none may listen any more.
/// Needs no_new_privs. The error is a clause, and nothing has changed then.
std::expected<void, std::string> filter_system_calls(const filter_options& options);

/// For the process that looks into /proc: it reads files, answers on its sockets, and ends.
std::expected<void, std::string> filter_finder_calls();

}  // namespace exeat::sandbox
