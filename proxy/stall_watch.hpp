// Tells whether one side of a connection still takes what waits for it.
#pragma once
#include <sys/ioctl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace exeat::proxy {

/// Asked every quarter of the limit. A peer that announces a zero window for ever answers every probe of the
/// kernel's, so neither keep-alive nor retransmission ends it; that it takes nothing shows in the socket's
/// queue (tcp(7), unix(7): SIOCOUTQ), and costs nothing while octets flow.
class stall_watch {
 public:
  static constexpr unsigned parts = 4;
  static std::chrono::milliseconds interval(std::chrono::milliseconds limit) noexcept {
    return limit / parts;
  }

  /// `written` octets went into the socket so far, `kept` more wait in front of it. True: it has taken none
  /// of them for `strikes` intervals or longer.
  bool is_stalled(int fd, std::uint64_t written, std::size_t kept, unsigned strikes = parts) noexcept {
    int queued = 0;
    if (::ioctl(fd, TIOCOUTQ, &queued) != 0 || queued < 0) queued = 0;
    const bool waits = queued != 0 || kept != 0;
    const auto taken = written - static_cast<std::uint64_t>(queued);
    if (!waits || !waited_ || taken != taken_) {
      waited_ = waits;
      taken_ = taken;
      seen_ = 0;
      return false;
    }
    return ++seen_ >= strikes;
  }

 private:
  std::uint64_t taken_ = 0;
  std::uint8_t seen_ = 0;
  bool waited_ = false;
};

}  // namespace exeat::proxy
