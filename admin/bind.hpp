// Listening sockets of the admin endpoints.
#pragma once
#include <expected>
#include <string>

#include "config/settings.hpp"
#include "config/unix_listen.hpp"

namespace exeat::admin {

/// One listening, non-blocking descriptor; closes it, and removes its socket file if that is still the one
/// that it made.
class bound_socket {
 public:
  bound_socket() = default;
  bound_socket(int fd, config::endpoint endpoint, config::socket_file file = {}) noexcept;
  bound_socket(bound_socket&& other) noexcept;
  bound_socket& operator=(bound_socket&& other) noexcept;
  ~bound_socket();

  int fd() const noexcept { return fd_; }
  const config::endpoint& endpoint() const noexcept { return endpoint_; }

 private:
  int fd_ = -1;
  config::endpoint endpoint_;
  config::socket_file file_;
};

/// Binds and listens. A unix path gets its mode before anybody can connect; a socket file that nobody listens
/// on is replaced, anything else that stands there is an error. The error is a sentence that names `key`, the
/// key of exeat.yaml to change.
std::expected<bound_socket, std::string> open_socket(const config::endpoint& endpoint,
                                                     const std::string& key);

}  // namespace exeat::admin
