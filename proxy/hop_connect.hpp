// The way through an upstream proxy: a connection to it, TLS where it speaks that, and our CONNECT.
#pragma once
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/asio.hpp"
#include "proxy/next_hop.hpp"

namespace exeat::proxy {

class worker;

struct hop_failure {
  core::reason reason = core::reason::upstream_unreachable;
  std::string detail;        ///< for the operator, with the upstream's URL; never its credential
  std::uint16_t status = 0;  ///< of its answer, where it gave one
};

/// A connection to the upstream itself.
struct hop_connection {
  stream_socket socket;  ///< of TLS: the plain side (proxy/tls_front.hpp)
  core::ip_address address;
};

/// Looks the upstream up, dials it and shakes hands. Its addresses are exempt from the guard, as this is the
/// only way to come to them (is_upstream below); one of our own listeners it must not be.
task<std::expected<hop_connection, hop_failure>> connect_to(worker& worker, const next_hop& hop);

/// Sends CONNECT for `target` ("192.0.2.1:443", "name:443") and reads the answer to its last octet and not
/// one further: what comes behind it is the origin's, and waits in the socket. Bounded by `limits`, by a
/// number of interim answers, and by `timeouts.connect` in all. On failure the connection is of no further
/// use.
task<std::expected<void, hop_failure>> ask_for_tunnel(worker& worker, const next_hop& hop,
                                                      stream_socket& socket, std::string target);

/// Says where one of the addresses, at that port, is an upstream, or may be one because that has never been
/// found; static text. Looks for upstreams of that port only.
task<std::optional<std::string_view>> is_upstream(worker& worker, address_list addresses, std::uint16_t port);

}  // namespace exeat::proxy
