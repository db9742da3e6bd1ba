#include "admin/bind.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace exeat::admin {
namespace {

constexpr int backlog = 64;

std::string way_out(const std::string& key) {
  return fmt::format(": stop it, or set `{}:` to another address", key);
}

std::string failure(const config::tcp_endpoint& endpoint, const std::string& key, int error) {
  std::string text = fmt::format("cannot listen on {} (`{}:`): {}", config::to_string(endpoint), key,
                                 std::generic_category().message(error));
  if (error == EADDRINUSE) {
    text += "; another process, perhaps another exeat, listens there" + way_out(key);
  } else if (error == EADDRNOTAVAIL) {
    text += "; this machine has no such address";
  } else if (error == EACCES) {
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

std::expected<bound_socket, std::string> bind_unix(const config::unix_endpoint& at, const std::string& key) {
  auto listening = config::listen_on(at, backlog);
  if (listening) return bound_socket(listening->fd, at, std::move(listening->file));
  auto text =
      fmt::format("cannot listen on {} (`{}:`): {}", config::to_string(at), key, listening.error().text);
  if (listening.error().error == EADDRINUSE) text += way_out(key);
  return std::unexpected(std::move(text));
}

}  // namespace

bound_socket::bound_socket(int fd, config::endpoint endpoint, config::socket_file file) noexcept
    : fd_(fd), endpoint_(std::move(endpoint)), file_(std::move(file)) {}

bound_socket::bound_socket(bound_socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      endpoint_(std::move(other.endpoint_)),
      file_(std::exchange(other.file_, {})) {}

bound_socket& bound_socket::operator=(bound_socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(endpoint_, other.endpoint_);
  std::swap(file_, other.file_);
  return *this;
}

bound_socket::~bound_socket() {
  if (fd_ < 0) return;
  ::close(fd_);
  file_.remove();
}

std::expected<bound_socket, std::string> open_socket(const config::endpoint& endpoint,
                                                     const std::string& key) {
  if (const auto* tcp = std::get_if<config::tcp_endpoint>(&endpoint)) return bind_tcp(*tcp, key);
  return bind_unix(std::get<config::unix_endpoint>(endpoint), key);
}

}  // namespace exeat::admin
