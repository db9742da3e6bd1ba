// The socket at the other end of a local connection, by what the kernel says of it.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <expected>
#include <string_view>

#include "identity/identity.hpp"

namespace exeat::identity {

/// Looks up TCP peers by sock_diag(7). One per thread; keeps one netlink socket open.
///
/// What it proves: the uid and the cgroup (v2) of whoever made the socket, which keeps them when its
/// descriptor is handed on or its process changes its uid. There is no pid and no gid. The uid is as our user
/// namespace shows it: a user that has no place in it is 65534. Processes of another network namespace have
/// no loopback in common with us, and are not found.
class tcp_peer_lookup {
 public:
  tcp_peer_lookup() = default;
  ~tcp_peer_lookup();
  tcp_peer_lookup(tcp_peer_lookup&& other) noexcept;
  tcp_peer_lookup& operator=(tcp_peer_lookup&& other) noexcept;

  /// The socket at the other end of `accepted`, a local TCP connection (both addresses loopback, IPv4-mapped
  /// or not, or the same). To be called right after accept(), before any octet is read: once the client has
  /// closed, the kernel knows only an orphan, whose uid it calls 0, and that is an error here. So is a
  /// connection that is dead when the answer is in: its client's port may have gone to somebody else. Errors
  /// are clauses for the operator, static texts. Waits for the kernel at most for some 100 ms.
  std::expected<local_peer, std::string_view> find(int accepted) noexcept;

  /// As above by the addresses that the client (its local one) and we have. Who asks only this must know by
  /// himself that the connection that he means still lived when the answer came.
  std::expected<local_peer, std::string_view> find(const ::sockaddr_storage& client,
                                                   const ::sockaddr_storage& own) noexcept;

 private:
  bool open() noexcept;
  void close() noexcept;

  int fd_ = -1;
  std::uint32_t sequence_ = 0;
};

/// The peer of a connected unix socket: uid and pid of whoever called connect(), by SO_PEERCRED, and the
/// cgroup (v2) that this process is in now, if it still lives. That takes SO_PEERPIDFD (Linux 6.5): without
/// it nobody knows whether the pid has gone to another process, and the cgroup is 0, unknown. The error is a
/// clause, a static text. Reads files below /proc.
std::expected<local_peer, std::string_view> unix_peer(int fd) noexcept;

}  // namespace exeat::identity
