// What the tests of this floor share: a blocking client and a directory.
#pragma once
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>

#include "config/settings.hpp"

namespace exeat::admin {

/// A directory of the test's own, gone at its end.
class temporary_directory {
 public:
  temporary_directory() {
    std::string name = std::filesystem::temp_directory_path() / "exeat-test-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~temporary_directory() { std::filesystem::remove_all(path_); }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// One connection; a read that gets nothing within 10 s fails the test.
class test_client {
 public:
  explicit test_client(const config::endpoint& at) {
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (const auto* tcp = std::get_if<config::tcp_endpoint>(&at)) {
      auto& in = reinterpret_cast<sockaddr_in&>(storage);
      in.sin_family = AF_INET;
      in.sin_port = htons(tcp->port);
      in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      size = sizeof in;
    } else {
      const std::string& path = std::get<config::unix_endpoint>(at).path;
      auto& un = reinterpret_cast<sockaddr_un&>(storage);
      un.sun_family = AF_UNIX;
      std::memcpy(un.sun_path, path.data(), path.size());
      size = sizeof un;
    }
    fd_ = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{10, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&storage), size) == 0);
  }
  ~test_client() { ::close(fd_); }
  test_client(const test_client&) = delete;
  test_client& operator=(const test_client&) = delete;

  bool send(std::string_view text) {
    return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<::ssize_t>(text.size());
  }
  void finish_sending() { ::shutdown(fd_, SHUT_WR); }

  /// The next response, by its Content-Length; empty where the server closed instead.
  std::string response(bool of_head = false) {
    std::size_t end = std::string::npos;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return {};
    }
    std::size_t body = 0;
    if (const auto at = buffer_.find("Content-Length: "); at < end && !of_head)
      body = std::stoul(buffer_.substr(at + 16));
    while (buffer_.size() < end + 4 + body) {
      if (!more()) return {};
    }
    std::string out = buffer_.substr(0, end + 4 + body);
    buffer_.erase(0, out.size());
    return out;
  }

  /// Until the server closes.
  std::string rest() {
    while (more()) continue;
    return std::move(buffer_);
  }

 private:
  bool more() {
    char octets[4096];
    const auto size = ::recv(fd_, octets, sizeof octets, 0);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) FAIL("no answer");
    if (size <= 0) return false;
    buffer_.append(octets, static_cast<std::size_t>(size));
    return true;
  }

  int fd_ = -1;
  std::string buffer_;
};

}  // namespace exeat::admin
