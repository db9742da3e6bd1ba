// Listening sockets: one per worker and TCP address, one in all for a unix path.
#pragma once
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "config/unix_listen.hpp"
#include "proxy/tls_source.hpp"

namespace exeat::proxy {

/// The descriptors of one configured listener, non-blocking and listening.
struct bound_listener {
  config::listener configured;
  config::endpoint bound;  ///< with the port that the kernel chose
  /// One per worker, each the worker's own.
  std::vector<int> descriptors;
  config::socket_file file;         ///< of a unix path
  std::shared_ptr<tls_source> tls;  ///< null: plain
};

/// Binds for `workers` workers. The first socket of a TCP address binds without SO_REUSEPORT, so that a
/// second process of ours fails with EADDRINUSE instead of silently sharing traffic under another policy; the
/// others join it. A unix path as config::listen_on has it. The error is a sentence with the fix.
std::expected<bound_listener, std::string> bind_listener(const config::listener& listener, unsigned workers);

/// Closes the descriptors that nobody took and removes the socket file where it is still ours.
void close_listener(bound_listener& listener) noexcept;

}  // namespace exeat::proxy
