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
  /// Unix sockets that may be made; Landlock does not govern to whose file they connect. Streams: for a look
  /// through our own unix listeners, and for what nsswitch.conf names. Datagrams: for syslog and the service
  /// manager.
  bool unix_streams = false;
  bool unix_datagrams = false;
};

/// Confines all threads of the process. From then on
/// - what a proxy has no use for and an intruder has (another program, another process, tracing, mounts,
///   kernel modules, bpf, io_uring, keys, namespaces) ends the process with SIGSYS, as do system calls of
///   another architecture;
/// - what is not known to be needed fails with ENOSYS, which libraries take as an old kernel's answer; the
///   kernel log (audit) says which it was;
/// - sockets are TCP, UDP, netlink for routes and sock_diag, and such unix ones as the options say; none may
///   listen any more, and of their options those are left that serving takes.
/// Needs no_new_privs. The error is a clause, and nothing has changed then.
std::expected<void, std::string> filter_system_calls(const filter_options& options);

/// For the process that looks into /proc: it reads files, answers on its sockets, and ends.
std::expected<void, std::string> filter_finder_calls();

}  // namespace exeat::sandbox
