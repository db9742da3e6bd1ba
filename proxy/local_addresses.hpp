// Whether a destination is the proxy itself, by whatever address.
#pragma once
#include <cstdint>
#include <span>

#include "core/ip_address.hpp"
#include "proxy/asio.hpp"

namespace exeat::proxy {

/// Where we listen. 0.0.0.0 and :: mean every address of the family (:: of both).
struct listen_endpoint {
  core::ip_address address;
  std::uint16_t port = 0;
};

/// True where connecting to `address`:`port` would reach one of `own`: the same address, IPv4-mapped,
/// -compatible, -translated and NAT64 (64:ff9b::/96) spellings included; any local address where we listen on
/// all; 0.0.0.0 and ::, which reach loopback. Touches the kernel only where the port is one of ours; where
/// the kernel does not answer, true.
bool is_own_listener(const core::ip_address& address, std::uint16_t port,
                     std::span<const listen_endpoint> own);

/// True where the address, unwrapped, belongs to this machine now: an interface holds it, or the routing
/// table delivers it locally (all of 127.0.0.0/8). True where the kernel does not answer.
bool is_local_address(const core::ip_address& address);

}  // namespace exeat::proxy
