#include "cli/doctor_recorder.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace exeat::cli {
namespace {

constexpr std::string_view refused =
    "HTTP/1.1 403 egress-denied no-rule\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
constexpr std::string_view challenged =
    "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"exeat\"\r\n"
    "Content-Length: 0\r\nConnection: close\r\n\r\n";
constexpr std::size_t max_head = 16384;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

std::string host_of_request_line(std::string_view line) {
  const auto first = line.find(' ');
  if (first == std::string_view::npos) return {};
  auto target = line.substr(first + 1);
  target = target.substr(0, target.find(' '));
  if (!line.starts_with("CONNECT ")) {
    const auto slashes = target.find("://");
    if (slashes == std::string_view::npos) return {};
    target.remove_prefix(slashes + 3);
    target = target.substr(0, target.find_first_of("/?#"));
  }
  return lower(target.substr(0, target.rfind(':')));
}

std::expected<void, std::string> recorder::start() {
  listener_ = owned_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  stop_ = owned_fd(::eventfd(0, EFD_CLOEXEC));
  if (listener_.get() < 0 || stop_.get() < 0 || ::bind(listener_.get(), generic, size) != 0 ||
      ::listen(listener_.get(), 128) != 0 || ::getsockname(listener_.get(), generic, &size) != 0)
    return std::unexpected(std::string("no loopback port: ") + std::strerror(errno));
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
  return {};
}

recorder::~recorder() {
  if (!thread_.joinable()) return;
  const std::uint64_t one = 1;
  static_cast<void>(::write(stop_.get(), &one, sizeof one));
  thread_.join();
}

std::map<std::string, recorded> recorder::take() {
  const std::lock_guard held(lock_);
  return std::exchange(seen_, {});
}

// One after the other: a tool sends its head at once, and one that does not waits here for a second.
void recorder::serve() {
  for (;;) {
    std::array<pollfd, 2> wait{{{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return;
    if (wait[1].revents != 0) return;
    if (wait[0].revents == 0) continue;
    const owned_fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client.get() >= 0) answer(client.get());
  }
}

void recorder::answer(int client) {
  const timeval second{.tv_sec = 1, .tv_usec = 0};
  ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  std::string head;
  std::array<char, 4096> buffer{};
  while (!head.contains("\r\n\r\n") && head.size() < max_head) {
    const auto got = ::recv(client, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    head.append(buffer.data(), static_cast<std::size_t>(got));
  }
  const auto host = host_of_request_line(head.substr(0, head.find("\r\n")));
  const bool token = lower(head).contains("\r\nproxy-authorization:");
  if (!host.empty()) {
    const std::lock_guard held(lock_);
    auto& entry = seen_[host];
    entry.with_token = entry.with_token || token;
    ++entry.requests;
  }
  const auto text = challenge_ && !token ? challenged : refused;
  static_cast<void>(::send(client, text.data(), text.size(), MSG_NOSIGNAL));
  ::shutdown(client, SHUT_WR);
  // What is not read makes a reset of the close, to which the answer could be lost.
  for (int i = 0; i < 16 && ::recv(client, buffer.data(), buffer.size(), 0) > 0; ++i) {
  }
}

}  // namespace exeat::cli
