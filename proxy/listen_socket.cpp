#include "proxy/listen_socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "proxy/keep_alive.hpp"
#include "proxy/socket_address.hpp"

namespace exeat::proxy {
namespace {

constexpr int backlog = 4096;
constexpr std::string_view way_out =
    ": stop it, or choose another address (`listeners:` in exeat.yaml, or --listen PHASE=ADDRESS)";

struct raw_address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
};

raw_address to_raw(const config::tcp_endpoint& endpoint, std::uint16_t port) noexcept {
  raw_address out;
  const auto bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    std::memcpy(&in.sin_addr, bytes.data(), bytes.size());
    std::memcpy(&out.storage, &in, sizeof in);
    out.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    std::memcpy(&in.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&out.storage, &in, sizeof in);
    out.size = sizeof in;
  }
  return out;
}

std::uint16_t port_of(int fd) noexcept {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  return port_from(storage);
}

void set(int fd, int level, int option, int value) noexcept {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

std::string failure(const config::listener& listener, std::string_view what, int error) {
  auto text = fmt::format("cannot {} {} for phase {}: {}", what, config::to_string(listener.endpoint),
                          listener.phase, std::strerror(error));
  if (error == EADDRINUSE) {
    text += "; another process, perhaps another exeat, listens there already";
    text += way_out;
  } else if (error == EACCES) {
    text += "; ports below 1024 need CAP_NET_BIND_SERVICE";
  } else if (error == EADDRNOTAVAIL) {
    text += "; this machine has no such address";
  }
  return text;
}

std::expected<bound_listener, std::string> bind_tcp(const config::listener& listener,
                                                    const config::tcp_endpoint& at, unsigned workers) {
  bound_listener out{listener, at, {}, {}};
  auto port = at.port;
  const auto fail = [&](std::string_view what) {
    auto text = failure(listener, what, errno);
    close_listener(out);
    return std::unexpected(std::move(text));
  };
  for (unsigned i = 0; i < workers; ++i) {
    const int family = at.address.is_v4() ? AF_INET : AF_INET6;
    const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return fail("open a socket on");
    out.descriptors.push_back(fd);
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    // Inherited by what it accepts.
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    keep_alive(fd);
    if (family == AF_INET6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (i != 0) set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    const auto raw = to_raw(at, port);
    // The first one listens before it allows sharing: whoever comes second, however close, finds it in
    // LISTEN.
    if (::bind(fd, raw.get(), raw.size) != 0 || ::listen(fd, backlog) != 0) return fail("listen on");
    if (i == 0) {
      port = port_of(fd);
      set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
  }
  out.bound = config::tcp_endpoint{at.address, port};
  return out;
}

std::expected<bound_listener, std::string> bind_unix(const config::listener& listener,
                                                     const config::unix_endpoint& at, unsigned workers) {
  auto listening = config::listen_on(at, backlog);
  if (!listening) {
    auto text = fmt::format("cannot listen on {} for phase {}: {}", config::to_string(at), listener.phase,
                            listening.error().text);
    if (listening.error().error == EADDRINUSE) text += way_out;
    return std::unexpected(std::move(text));
  }
  bound_listener out{listener, at, {listening->fd}, std::move(listening->file)};
  for (unsigned i = 1; i < workers; ++i) {
    const int copy = ::fcntl(listening->fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
      auto text = failure(listener, "share", errno);
      close_listener(out);
      return std::unexpected(std::move(text));
    }
    out.descriptors.push_back(copy);
  }
  return out;
}

}  // namespace

std::expected<bound_listener, std::string> bind_listener(const config::listener& listener, unsigned workers) {
  if (const auto* tcp = std::get_if<config::tcp_endpoint>(&listener.endpoint))
    return bind_tcp(listener, *tcp, workers);
  return bind_unix(listener, std::get<config::unix_endpoint>(listener.endpoint), workers);
}

void close_listener(bound_listener& listener) noexcept {
  for (const int fd : listener.descriptors) ::close(fd);
  listener.descriptors.clear();
  listener.file.remove();
  listener.file = {};
}

}  // namespace exeat::proxy
