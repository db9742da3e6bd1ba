#include "load/route.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace exeat::bench {

namespace {

std::uint32_t next_source(std::uint32_t sources) {
  static std::uint32_t last = 0;
  return INADDR_LOOPBACK + 0x100 + (last++ % sources);
}

int blocking_tunnel(int descriptor, const std::string& head, std::string& why) {
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (send(descriptor, head.data(), head.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(head.size())) {
    why = "could not send the CONNECT";
    return -1;
  }
  // Octet by octet: what comes after the head belongs to the tunnel.
  std::string answer;
  char octet = 0;
  while (!answer.ends_with("\r\n\r\n")) {
    if (answer.size() > 8192 || recv(descriptor, &octet, 1, 0) != 1) {
      why = "no answer to CONNECT";
      return -1;
    }
    answer += octet;
  }
  if (answer.size() < 12 || answer.compare(8, 4, " 200") != 0) {
    why = "CONNECT: " + answer.substr(0, answer.find('\r'));
    return -1;
  }
  return descriptor;
}

}  // namespace

std::optional<sockaddr_in> address_of(const std::string& text) {
  const auto colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  std::uint16_t port = 0;
  if (colon == std::string::npos ||
      inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return std::nullopt;
  }
  const auto* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (parsed.ec != std::errc{} || parsed.ptr != end) {
    return std::nullopt;
  }
  address.sin_port = htons(port);
  return address;
}

int route::dial(std::uint16_t port) const {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    return -1;
  }
  const int yes = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
  sockaddr_in source{};
  source.sin_family = AF_INET;
  source.sin_addr.s_addr = htonl(next_source(sources));
  sockaddr_in to{};
  if (proxy) {
    to = *proxy;
  } else {
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
  }
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0 ||
      (connect(descriptor, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)) {
    const int why = errno;
    close(descriptor);
    errno = why;
    return -1;
  }
  return descriptor;
}

int route::tunnel(std::uint16_t port, std::string& why) const {
  const int descriptor = dial(port);
  if (descriptor < 0) {
    why = std::string{"connect: "} + std::strerror(errno);
    return -1;
  }
  const int flags = fcntl(descriptor, F_GETFL);
  fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK);
  if (proxy && blocking_tunnel(descriptor, connect_head(port), why) < 0) {
    close(descriptor);
    return -1;
  }
  fcntl(descriptor, F_SETFL, flags);
  return descriptor;
}

std::string route::connect_head(std::uint16_t port) const {
  return fmt::format("CONNECT {0}:{1} HTTP/1.1\r\nHost: {0}:{1}\r\nUser-Agent: bench\r\n\r\n", host, port);
}

std::string route::get_head(std::uint16_t port, std::size_t size, bool close) const {
  const auto authority = fmt::format("{}:{}", host, port);
  return fmt::format("GET {}/{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: bench\r\nAccept: */*\r\n{}\r\n",
                     proxy ? "http://" + authority : "", size, authority,
                     close ? "Connection: close\r\n" : "");
}

}  // namespace exeat::bench
