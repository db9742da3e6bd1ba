// The peer of a unix socket.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>

#include "identity/cgroup.hpp"
#include "identity/local_peer.hpp"

// Linux 6.5; older headers do not know it.
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

namespace exeat::identity {
namespace {

// True where the process of the pidfd has not ended.
bool is_alive(int pidfd) noexcept {
  ::pollfd ended{.fd = pidfd, .events = POLLIN, .revents = 0};
  return ::poll(&ended, 1, 0) == 0;
}

}  // namespace

std::expected<local_peer, std::string_view> unix_peer(int fd) noexcept {
  ::ucred who{};
  ::socklen_t size = sizeof who;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || size != sizeof who) {
    return std::unexpected("SO_PEERCRED failed");
  }
  if (who.uid == static_cast<::uid_t>(-1)) return std::unexpected("the unix socket has no peer");
  local_peer out{.uid = who.uid, .pid = who.pid > 0 ? who.pid : 0};
  if (out.pid == 0) return out;  // a process outside our pid namespace

  int pidfd = -1;
  size = sizeof pidfd;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) != 0 || size != sizeof pidfd) return out;
  try {
    const auto cgroup = cgroup_id_of_process(out.pid);
    // A pid is not given away while its process lives, so what has been read was that process's.
    if (is_alive(pidfd)) out.cgroup = cgroup;
  } catch (const std::bad_alloc&) {
    // It stays unknown.
  }
  ::close(pidfd);
  return out;
}

}  // namespace exeat::identity
