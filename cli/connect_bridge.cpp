#include "cli/connect_bridge.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <thread>

namespace exeat::cli {
namespace {

bool write_all(int to, const char* data, std::size_t size) {
  while (size > 0) {
    const auto sent = ::send(to, data, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    data += sent;
    size -= static_cast<std::size_t>(sent);
  }
  return true;
}

// Makes the coming close of both a reset, so that a cut transfer does not look complete.
void abort_both(int a, int b) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  for (const int fd : {a, b}) {
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::shutdown(fd, SHUT_RD);
  }
}

void copy(int from, int to) noexcept {
  std::array<char, 64UL << 10> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv fills it
  for (;;) {
    const auto got = ::recv(from, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return abort_both(from, to);
    if (got == 0) {
      ::shutdown(to, SHUT_WR);
      return;
    }
    if (!write_all(to, buffer.data(), static_cast<std::size_t>(got))) {
      // The reader is gone, perhaps behind an answer that is still on its way in the other direction.
      ::shutdown(from, SHUT_RD);
      return;
    }
  }
}

// "0100007F:0C38" in /proc/net/tcp: the address as the machine's own integer.
std::string proc_name(const sockaddr_in& address) {
  return fmt::format("{:08X}:{:04X}", address.sin_addr.s_addr, ntohs(address.sin_port));
}

struct socket_row {
  ::uid_t uid = 0;
  std::uint64_t inode = 0;
};

std::optional<socket_row> find_row(const std::string& local, const std::string& remote) {
  std::ifstream table("/proc/self/net/tcp");
  std::string line;
  while (std::getline(table, line)) {
    std::istringstream words(line);
    std::string slot, row_local, row_remote, state, queues, timer, retransmits, timeout;
    socket_row row;
    if (!(words >> slot >> row_local >> row_remote)) continue;
    if (row_local != local || row_remote != remote) continue;
    if (words >> state >> queues >> timer >> retransmits >> row.uid >> timeout >> row.inode) return row;
  }
  return std::nullopt;
}

}  // namespace

owned_fd connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return owned_fd(-1);
  }
  path.copy(address.sun_path, path.size());
  owned_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return fd;
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    const int code = errno;
    fd = owned_fd(-1);
    errno = code;
    break;
  }
  return fd;
}

bool peer_is_ours(int client) {
  sockaddr_in here{};
  sockaddr_in there{};
  socklen_t size = sizeof here;
  if (::getsockname(client, reinterpret_cast<sockaddr*>(&here), &size) != 0) return false;
  size = sizeof there;
  if (::getpeername(client, reinterpret_cast<sockaddr*>(&there), &size) != 0) return false;
  // The peer's own row has our address as its remote one. The table is read in pieces while it changes, so a
  // row may be skipped: look again before saying that there is none.
  constexpr int most_looks = 5;
  for (int look = 0; look < most_looks; ++look) {
    if (const auto row = find_row(proc_name(there), proc_name(here))) {
      // A socket that its process has closed already shows inode 0 and uid 0, whoever it belonged to.
      return row->inode != 0 && (row->uid == ::geteuid() || row->uid == 0);
    }
  }
  return false;
}

void bridge(owned_fd client, const std::string& socket) noexcept {
  try {
    if (!peer_is_ours(client.get())) {
      fmt::print(stderr, "exeat connect: a process of another user was turned away\n");
      return;
    }
    const auto server = connect_unix(socket);
    if (server.get() < 0) {
      fmt::print(stderr, "exeat connect: {}: {}\n", socket, std::generic_category().message(errno));
      return;
    }
    std::thread up(copy, client.get(), server.get());
    copy(server.get(), client.get());
    up.join();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "exeat connect: %s\n", e.what());
  }
}

}  // namespace exeat::cli
