// A deadline for whatever waits on one socket.
#pragma once
#include <chrono>

#include "proxy/asio.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

/// Closes the socket when it is due, which ends every operation on it. The socket stays where it is until
/// then; the worker's thread only.
template <class Socket>
class closing_deadline {
 public:
  closing_deadline(timer_wheel& wheel, Socket& socket) noexcept
      : socket_(socket), limit_(wheel, &closing_deadline::close, this) {}

  /// As deadline::arm: zero means no limit.
  void arm(std::chrono::milliseconds after) noexcept { limit_.arm(after); }
  void disarm() noexcept { limit_.disarm(); }
  bool expired() const noexcept { return expired_; }

 private:
  static void close(void* self) noexcept {
    auto& me = *static_cast<closing_deadline*>(self);
    me.expired_ = true;
    error_code ignored;
    me.socket_.close(ignored);
  }

  Socket& socket_;
  deadline limit_;
  bool expired_ = false;
};

}  // namespace exeat::proxy
