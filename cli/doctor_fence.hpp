// One tool, run where it can reach nothing but a recorder, and what it tried meanwhile.
#pragma once
#include <chrono>
#include <csignal>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "core/ip_address.hpp"

namespace exeat::cli {

/// An address and port of TCP.
struct tcp_place {
  core::ip_address address = core::ip_address::v4(0x7f000001);
  std::uint16_t port = 0;
};

struct fenced_command {
  std::vector<std::string> words;        ///< the first is looked up in $PATH
  std::vector<std::string> environment;  ///< "NAME=value", the whole of it
  std::chrono::milliseconds at_most{20'000};
  const volatile std::sig_atomic_t* stop = nullptr;  ///< not 0: end it now
};

struct fenced_result {
  int status = -1;         ///< as shells say it; -1: it was ended by us
  bool timed_out = false;  ///< or stopped
  std::string output;      ///< the end of both its streams, 4 KiB at most
  std::vector<std::string>
      attempts;          ///< what it tried besides the proxy: "a name server at 10.0.0.2:53", each once
  unsigned proxied = 0;  ///< connections to the proxy
  bool led = true;       ///< all of them ended at the recorder
};

/// Runs a command to its end, or to the end of its time; then ends what it left behind. Its connections to
/// `proxy` end at `recorder`, a loopback port, instead (where the kernel does not let us do that, at the
/// proxy itself); every other one over IP, look-ups of names included, is refused by the kernel (seccomp user
/// notification, Linux 5.5) and noted. Unix sockets are open to it, except those of name services. The
/// process must have no other children. Error: a sentence; nothing was run then.
std::expected<fenced_result, std::string> run_fenced(const fenced_command& command, const tcp_place& proxy,
                                                     std::uint16_t recorder);

}  // namespace exeat::cli
