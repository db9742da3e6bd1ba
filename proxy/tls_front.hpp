// The TLS of a client (or of an upstream proxy), ended before its session: the session gets the plain side of
// a socketpair and needs to know nothing of it.
#pragma once
#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <optional>

#include "identity/identity.hpp"
#include "proxy/asio.hpp"
#include "proxy/live_fronts.hpp"
#include "proxy/timer_wheel.hpp"
#include "proxy/tls_context.hpp"

namespace exeat::proxy {

/// A client whose handshake is done.
struct plain_side {
  int fd = -1;  ///< non-blocking end of a unix socketpair; the receiver's, who closes it on this thread
  /// Of the verified client certificate; empty: the listener asks for none.
  std::optional<identity::certificate_names> certificate;
};
using tls_done = std::move_only_function<void(std::expected<plain_side, front_failure>)>;

/// Takes `fd`, a connected non-blocking TCP socket that nothing has been read from (but a PROXY header).
/// Shakes hands within `handshake_timeout` and calls `done` once, on this thread, never before this returns;
/// not at all where abort() comes first. A failure (tls_handshake, or what the kernel refused) has ended the
/// connection.
///
/// From then on octets go both ways between the client and the plain side, with at most 64 KiB held each way
/// besides the kernel's, until both have ended. shutdown(SHUT_WR) on the plain side is close_notify to the
/// client, and close_notify is EOF on the plain side; either way the other way goes on. A client that ends
/// without close_notify, or breaks TLS, is ECONNRESET on the plain side (and ended_abruptly(), where the
/// session has shut down its own way already: proxy/abrupt_end.hpp). close() of the plain side lets the
/// client have what was written, as long as it takes some every half minute; after end_abruptly_on_close() it
/// resets the client.
///
/// With a context of tls_context::load_toward() it is the other way round: `fd` leads to the server, whose
/// certificate must verify, and "the client" above is that server.
void start_tls(asio::io_context& context, timer_wheel& wheel, std::shared_ptr<const tls_context> tls, int fd,
               std::chrono::milliseconds handshake_timeout, live_fronts& fronts, tls_done done);

}  // namespace exeat::proxy
