// An end that nobody is to mistake for an orderly one. TCP has RST for it; a unix socket has nothing: its
// reader sees EOF. So one that ends abruptly takes an abstract name first (unix(7), "Autobind feature"),
// which its peer still sees when it is gone.
#pragma once
#include <sys/socket.h>

namespace exeat::proxy {

/// Makes the next close() of the socket an abrupt end: RST of TCP, a mark for ended_abruptly() of one end of
/// a unix socketpair.
inline void end_abruptly_on_close(int fd) noexcept {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  int domain = 0;
  socklen_t size = sizeof domain;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) return;
  const sa_family_t unnamed = AF_UNIX;
  (void)::bind(fd, reinterpret_cast<const sockaddr*>(&unnamed), sizeof unnamed);
}

/// Whether the other end of this unix socketpair was closed abruptly. Only for a socketpair: the peer of an
/// accepted connection may have a name for other reasons.
inline bool ended_abruptly(int fd) noexcept {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return false;
  return name.ss_family == AF_UNIX && size > sizeof(sa_family_t);
}

}  // namespace exeat::proxy
