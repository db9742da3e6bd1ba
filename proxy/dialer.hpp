// From checked addresses to one connected socket: Happy Eyeballs (RFC 8305) over exactly these addresses.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "core/ip_address.hpp"
#include "core/reason.hpp"
#include "proxy/asio.hpp"
#include "proxy/dialer_order.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

struct dial_options {
  /// Of all attempts together; zero = no limit but the kernel's.
  std::chrono::milliseconds timeout{10000};
  /// RFC 8305 5: how long one attempt runs before the next one starts beside it.
  std::chrono::milliseconds attempt_delay{250};
  /// False: whoever keeps the connection sees to that (proxy/keep_alive.hpp), where it lives long enough.
  bool keep_alive = true;
};

struct dialled {
  tcp_socket socket;  ///< connected, close-on-exec, non-blocking, TCP_NODELAY
  core::ip_address address;
  unsigned attempts = 1;
};

struct dial_failure {
  /// connect_refused, connect_unreachable, connect_timeout, connect_failed, out_of_descriptors.
  core::reason reason = core::reason::connect_failed;
  std::string detail;  ///< "192.0.2.1: connection refused; ..."; bounded
  unsigned attempts = 0;
};

using dial_result = std::expected<dialled, dial_failure>;

/// Connects to the first of `checked` that answers: IPv6 and IPv4 in turn, those that failed within the last
/// seconds last (`dead` learns from this call; null: no memory), staggered. Every other attempt is closed.
/// Nothing but `checked`:`port` is ever dialled. Cancelling the caller (terminal) closes all attempts and
/// yields connect_failed. Runs on the thread of `context`; `wheel` and `dead` are that worker's.
task<dial_result> dial(asio::io_context& context, timer_wheel& wheel,
                       std::span<const core::ip_address> checked, std::uint16_t port, dial_options options,
                       dead_addresses* dead = nullptr);

/// TCP's simultaneous open (RFC 9293 3.5) lets a socket that dials a closed local port connect to itself,
/// where the kernel happened to pick that port. `dial` takes it for refused.
bool connected_to_itself(const tcp_socket& socket, const core::ip_address& address, std::uint16_t port);

}  // namespace exeat::proxy
