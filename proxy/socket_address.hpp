// From the kernel's addresses to ours.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "core/ip_address.hpp"

namespace exeat::proxy {

/// The IP address in `address`, scope dropped; empty for another family, and for null.
inline std::optional<core::ip_address> address_from(const sockaddr* address) noexcept {
  if (address == nullptr) return std::nullopt;
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return core::ip_address::v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family != AF_INET6) return std::nullopt;
  sockaddr_in6 v6{};
  std::memcpy(&v6, address, sizeof v6);
  std::array<std::uint8_t, 16> octets{};
  std::memcpy(octets.data(), &v6.sin6_addr, octets.size());
  return core::ip_address::v6(octets);
}

/// The port in an IPv4 or IPv6 socket address, host byte order.
inline std::uint16_t port_from(const sockaddr_storage& address) noexcept {
  // sin_port and sin6_port lie at the same place (RFC 3493 3.10).
  sockaddr_in in{};
  std::memcpy(&in, &address, sizeof in);
  return ntohs(in.sin_port);
}

}  // namespace exeat::proxy
