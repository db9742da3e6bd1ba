// What the session target puts between the proxy and the kernel: a clock that stands still until it is told
// to go on, and eyes on every connect and every octet that leaves. session_fuzz links with --wrap for these.
#pragma once
#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace exeat::fuzz {

/// When each input begins.
inline constexpr std::chrono::milliseconds beginning{1'000'000};
/// Of CLOCK_MONOTONIC as the proxy sees it (and c-ares, where its library asks through the same symbol).
void set_time(std::chrono::milliseconds since_boot) noexcept;
void pass_time(std::chrono::milliseconds duration) noexcept;
std::chrono::milliseconds time_now() noexcept;

/// Told of what the proxy does between `watch(&...)` and `watch(nullptr)`.
class kernel_watch {
 public:
  virtual void connecting(int fd, const sockaddr& to) = 0;
  /// Before and after each try to send; the peer may be gone after it. `octets` lie at `data`, or nowhere
  /// that can be seen (null: spliced).
  virtual void sending(int fd) = 0;
  virtual void sent(const char* data, std::size_t octets) = 0;
  virtual void receiving(int fd) = 0;
  /// A new pair of sockets: TLS has been made with whom it received from last, and `session` is where its
  /// octets in the clear go to and come from.
  virtual void paired(int session) = 0;
  /// A name is given to an end of such a pair: it is about to end abruptly.
  virtual void marking() = 0;

 protected:
  ~kernel_watch() = default;
};
void watch(kernel_watch* by) noexcept;

}  // namespace exeat::fuzz
