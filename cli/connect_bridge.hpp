// One connection of `exeat connect`: loopback TCP on one side, the listener's unix socket on the other.
#pragma once
#include <unistd.h>

#include <string>
#include <utility>

namespace exeat::cli {

class owned_fd {
 public:
  explicit owned_fd(int fd) noexcept : fd_(fd) {}
  owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  owned_fd& operator=(owned_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~owned_fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

/// A blocking stream connection to a unix socket; -1 inside, with errno set, where there is none.
owned_fd connect_unix(const std::string& path);

/// True where the other end of this loopback TCP connection belongs to our own effective uid (or to root), as
/// /proc/net/tcp says. A port on loopback is open to every process of the machine, while the unix socket may
/// not be: without this the bridge would lend its right to others.
bool peer_is_ours(int client);

/// Copies both ways until both directions have ended; the end of one direction is passed on as such, an abort
/// as an abort. Blocks; throws nothing.
void bridge(owned_fd client, const std::string& socket) noexcept;

}  // namespace exeat::cli
