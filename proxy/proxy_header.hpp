// The PROXY header at the start of a connection from an upstream that may send one.
#pragma once
#include <chrono>
#include <expected>
#include <functional>

#include "proxy/asio.hpp"
#include "proxy/live_fronts.hpp"
#include "proxy/timer_wheel.hpp"
#include "wire/proxy_protocol.hpp"

namespace exeat::proxy {

/// A connection without its header: what the client itself sent comes next.
struct proxied {
  int fd = -1;  ///< the receiver's
  wire::proxy_header header;
};
using proxied_done = std::move_only_function<void(std::expected<proxied, front_failure>)>;

/// Takes `fd`, a connected non-blocking socket, reads the header and not an octet more, and gives it back by
/// `done`: once, on this thread, never before this returns; not at all where abort() comes first. A failure
/// (bad_proxy_protocol) has closed it.
void read_proxy_header(asio::io_context& context, timer_wheel& wheel, int fd,
                       std::chrono::milliseconds timeout, live_fronts& fronts, proxied_done done);

}  // namespace exeat::proxy
