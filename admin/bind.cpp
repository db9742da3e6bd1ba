#include "admin/bind.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace exeat::admin {
namespace {

constexpr int backlog = 64;

std::string failure(const config::endpoint& endpoint, const std::string& key, int error) {
  std::string text = fmt::format("cannot listen on {} (`{}:`): {}", config::to_string(endpoint), key,
                                 std::generic_category().message(error));
  if (error == EADDRINUSE) {
    text += fmt::format(
        "; another process, perhaps another exeat, listens there: stop it, or set `{}:` to another address",
        key);
  } else if (error == EADDRNOTAVAIL) {
    text += "; this machine has no such address";
  } else if (error == ENOENT) {
    text += "; the directory does not exist";
  } else if (error == EACCES && std::holds_alternative<config::tcp_endpoint>(endpoint)) {
    text += "; ports below 1024 need CAP_NET_BIND_SERVICE";
  }
  return text;
}

struct address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

address address_of(const config::tcp_endpoint& endpoint) noexcept {
  address out;
  const auto octets = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(out.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, octets.data(), octets.size());
    out.size = sizeof in;
  } else {
    auto& in = reinterpret_cast<sockaddr_in6&>(out.storage);
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    std::memcpy(&in.sin6_addr, octets.data(), octets.size());
    out.size = sizeof in;
  }
  return out;
}

std::uint16_t port_of(int fd) noexcept {
  address local;
  local.size = sizeof local.storage;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&local.storage), &local.size);
  return ntohs(local.storage.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(local.storage).sin_port
                                                  : reinterpret_cast<sockaddr_in6&>(local.storage).sin6_port);
}

std::expected<bound_socket, std::string> bind_tcp(const config::tcp_endpoint& at, const std::string& key) {
  const int family = at.address.is_v4() ? AF_INET : AF_INET6;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::unexpected(failure(at, key, errno));
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (family == AF_INET6) ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  const address raw = address_of(at);
  if (::bind(fd, raw.get(), raw.size) != 0 || ::listen(fd, backlog) != 0) {
    const int error = errno;
    ::close(fd);
    return std::unexpected(failure(at, key, error));
  }
  return bound_socket(fd, config::tcp_endpoint{at.address, port_of(fd)});
}

/// Makes the path free where a process that died left its socket there.
std::expected<void, std::string> clear(const config::unix_endpoint& at, const address& raw,
                                       const std::string& key) {
  struct stat status{};
  if (::lstat(at.path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return std::unexpected(failure(at, key, errno));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return std::unexpected(
        fmt::format("cannot listen on {} (`{}:`): a file that is no socket stands there, and is left alone",
                    config::to_string(at), key));
  }
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return std::unexpected(failure(at, key, errno));
  const int answer = ::connect(probe, raw.get(), raw.size) == 0 ? 0 : errno;
  ::close(probe);
  if (answer == ENOENT) return {};
  // Only a refusal says that nobody listens; a full backlog or a lack of rights says nothing.
  if (answer != ECONNREFUSED)
    return std::unexpected(failure(at, key, answer == 0 || answer == EAGAIN ? EADDRINUSE : answer));
  if (::unlink(at.path.c_str()) != 0 && errno != ENOENT) return std::unexpected(failure(at, key, errno));
  return {};
}

std::expected<bound_socket, std::string> bind_unix(const config::unix_endpoint& at, const std::string& key) {
  address raw;
  auto& un = reinterpret_cast<sockaddr_un&>(raw.storage);
  un.sun_family = AF_UNIX;
  if (at.path.empty() || at.path.size() >= sizeof un.sun_path) {
    return std::unexpected(fmt::format("cannot listen on {} (`{}:`): a socket's path has 1 to {} octets",
                                       config::to_string(at), key, sizeof un.sun_path - 1));
  }
  std::memcpy(un.sun_path, at.path.data(), at.path.size());
  raw.size = sizeof un;
  if (auto cleared = clear(at, raw, key); !cleared) return std::unexpected(std::move(cleared.error()));

  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  // The file is made with the mode of the socket's inode (less the umask, which is the process's and stays as
  // it is): never wider than asked for, not even for a moment. Nobody can connect before listen() anyway.
  const bool bound = fd >= 0 && ::fchmod(fd, at.mode) == 0 && ::bind(fd, raw.get(), raw.size) == 0;
  const int error = errno;
  if (!bound) {
    if (fd >= 0) ::close(fd);
    return std::unexpected(failure(at, key, error));
  }
  bound_socket out(fd, at);
  if (::chmod(at.path.c_str(), at.mode) != 0 || ::listen(fd, backlog) != 0) {
    return std::unexpected(failure(at, key, errno));
  }
  return out;
}

}  // namespace

bound_socket::bound_socket(int fd, config::endpoint endpoint) noexcept
    : fd_(fd), endpoint_(std::move(endpoint)) {
  const auto* at = std::get_if<config::unix_endpoint>(&endpoint_);
  struct stat status{};
  if (at == nullptr || ::lstat(at->path.c_str(), &status) != 0) return;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

bound_socket::bound_socket(bound_socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      endpoint_(std::move(other.endpoint_)),
      device_(other.device_),
      inode_(other.inode_) {}

bound_socket& bound_socket::operator=(bound_socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(endpoint_, other.endpoint_);
  std::swap(device_, other.device_);
  std::swap(inode_, other.inode_);
  return *this;
}

bound_socket::~bound_socket() {
  if (fd_ < 0) return;
  ::close(fd_);
  const auto* at = std::get_if<config::unix_endpoint>(&endpoint_);
  struct stat status{};
  if (at == nullptr || ::lstat(at->path.c_str(), &status) != 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) ::unlink(at->path.c_str());
}

std::expected<bound_socket, std::string> open_socket(const config::endpoint& endpoint,
                                                     const std::string& key) {
  if (const auto* tcp = std::get_if<config::tcp_endpoint>(&endpoint)) return bind_tcp(*tcp, key);
  return bind_unix(std::get<config::unix_endpoint>(endpoint), key);
}

}  // namespace exeat::admin
