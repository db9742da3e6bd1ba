#include "proxy/probe.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace exeat::proxy {
namespace {

using clock = std::chrono::steady_clock;

bool ready(int fd, short what, clock::time_point until) noexcept {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now()).count();
  pollfd wait{fd, what, 0};
  return left > 0 && ::poll(&wait, 1, static_cast<int>(left)) == 1;
}

int start_connect(const config::endpoint& endpoint) noexcept {
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (const auto* tcp = std::get_if<config::tcp_endpoint>(&endpoint)) {
    const auto bytes = tcp->address.bytes();
    const bool wildcard = std::ranges::all_of(bytes, [](std::uint8_t b) { return b == 0; });
    if (tcp->address.is_v4()) {
      sockaddr_in in{};
      in.sin_family = AF_INET;
      in.sin_port = htons(tcp->port);
      std::memcpy(&in.sin_addr, bytes.data(), bytes.size());
      if (wildcard) in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      std::memcpy(&storage, &in, size = sizeof in);
    } else {
      sockaddr_in6 in{};
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(tcp->port);
      std::memcpy(&in.sin6_addr, bytes.data(), bytes.size());
      if (wildcard) in.sin6_addr = in6addr_loopback;
      std::memcpy(&storage, &in, size = sizeof in);
    }
  } else {
    const auto& path = std::get<config::unix_endpoint>(endpoint).path;
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path.data(), std::min(path.size(), sizeof un.sun_path - 1));
    std::memcpy(&storage, &un, size = sizeof un);
  }
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&storage), size) != 0 && errno != EINPROGRESS) {
    ::close(fd);
    return -1;
  }
  return fd;
}

bool is_connected(int fd, clock::time_point until) noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  return ready(fd, POLLOUT, until) && ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
         error == 0;
}

bool ask(int fd, const std::string& path, clock::time_point until) noexcept {
  std::array<char, 256> text{};
  constexpr std::string_view before = "GET ";
  constexpr std::string_view behind = " HTTP/1.1\r\nHost: exeat\r\n\r\n";
  if (before.size() + path.size() + behind.size() > text.size()) return false;
  auto* end = std::ranges::copy(before, text.begin()).out;
  end = std::ranges::copy(path, end).out;
  end = std::ranges::copy(behind, end).out;
  const auto size = static_cast<std::size_t>(end - text.begin());
  if (!ready(fd, POLLOUT, until) ||
      ::send(fd, text.data(), size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) {
    return false;
  }
  constexpr std::string_view wanted = "HTTP/1.1 204 ";
  std::size_t got = 0;
  while (got < wanted.size()) {
    if (!ready(fd, POLLIN, until)) return false;
    const auto n = ::recv(fd, text.data() + got, text.size() - got, 0);
    if (n <= 0) return false;
    got += static_cast<std::size_t>(n);
  }
  return std::string_view(text.data(), wanted.size()) == wanted;
}

}  // namespace

bool probe_listener(const config::endpoint& endpoint, const std::string& path,
                    clock::time_point until) noexcept {
  const int fd = start_connect(endpoint);
  if (fd < 0) return false;
  const bool answered = path.empty() ? is_connected(fd, until) : ask(fd, path, until);
  ::close(fd);
  return answered;
}

}  // namespace exeat::proxy
