// TCP keep-alive, the same for every connection.
#pragma once
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace exeat::proxy {

/// A peer that vanished without a FIN is noticed about two minutes after it fell silent (tcp(7)); live
/// streams may be silent for hours. What a listening socket has, the connections that it accepts inherit.
inline void keep_alive(int fd) noexcept {
  const auto set = [fd](int level, int option, int value) {
    // These options cannot fail on a TCP socket of Linux; should one, the connection is none the worse for
    // it.
    (void)::setsockopt(fd, level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

}  // namespace exeat::proxy
