#include "proxy/local_addresses.hpp"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "proxy/dialer_endpoint.hpp"
#include "proxy/socket_address.hpp"

namespace exeat::proxy {
namespace {

/// ::ffff:a.b.c.d, ::a.b.c.d (but not :: and ::1), and what a translator on the way takes a.b.c.d out of:
/// 64:ff9b::a.b.c.d (RFC 6052) and ::ffff:0:a.b.c.d (RFC 2765). The guard refuses every other wrapping.
core::ip_address unwrapped(const core::ip_address& address) noexcept {
  if (address.is_v4()) return address;
  const auto octets = address.bytes();
  const auto starts_with = [&](const std::array<std::uint8_t, 12>& prefix) {
    return std::ranges::equal(octets.first(prefix.size()), prefix);
  };
  const auto value = (std::uint32_t{octets[12]} << 24) | (std::uint32_t{octets[13]} << 16) |
                     (std::uint32_t{octets[14]} << 8) | octets[15];
  const bool holds_v4 =
      (starts_with({}) && value > 1) || starts_with({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) ||
      starts_with({0, 0x64, 0xff, 0x9b}) || starts_with({0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0});
  return holds_v4 ? core::ip_address::v4(value) : address;
}

bool is_any(const core::ip_address& address) noexcept {
  return std::ranges::all_of(address.bytes(), [](auto o) { return o == 0; });
}

bool is_loopback(const core::ip_address& address) noexcept {
  const auto octets = address.bytes();
  if (address.is_v4()) return octets[0] == 127;
  return octets[15] == 1 && std::ranges::all_of(octets.first(15), [](auto o) { return o == 0; });
}

/// The kernel binds only to what its routing table delivers locally, beyond the addresses of interfaces
/// (`ip route add local`). Null where no socket can be had.
std::optional<bool> can_bind(const core::ip_address& address) noexcept {
  const int fd = ::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno == EAFNOSUPPORT ? std::optional(false) : std::nullopt;
  const auto to = endpoint_of(address, 0);
  const bool bound = ::bind(fd, to.data(), static_cast<socklen_t>(to.size())) == 0;
  ::close(fd);
  return bound;
}

/// Under net.ipv4.ip_nonlocal_bind a bind says nothing; this address of TEST-NET-3 is nobody's.
std::optional<bool> delivered_locally(const core::ip_address& address) noexcept {
  const auto bound = can_bind(address);
  if (!bound || !*bound) return bound;
  constexpr auto nobody_v4 = core::ip_address::v4(0xcb0071fe);
  constexpr auto nobody_v6 =
      core::ip_address::v6({0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1});
  const auto nobodys = can_bind(address.is_v4() ? nobody_v4 : nobody_v6);
  if (!nobodys) return std::nullopt;
  return !*nobodys;
}

/// Null where the kernel does not say.
std::optional<bool> held_by_interface(const core::ip_address& address) noexcept {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return std::nullopt;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owned(list, &::freeifaddrs);
  for (const auto* at = list; at != nullptr; at = at->ifa_next)
    if (const auto held = address_from(at->ifa_addr); held && *held == address) return true;
  return false;
}

}  // namespace

bool is_local_address(const core::ip_address& given) {
  const auto address = unwrapped(given);
  if (is_any(address) || is_loopback(address)) return true;
  // A multicast address can be bound, but no TCP listener is reached by it.
  if (address.bytes()[0] == 0xff || (address.is_v4() && address.bytes()[0] >= 224)) return false;
  if (held_by_interface(address).value_or(true)) return true;
  return delivered_locally(address).value_or(true);
}

bool is_own_listener(const core::ip_address& given, std::uint16_t port,
                     std::span<const listen_endpoint> own) {
  if (std::ranges::none_of(own, [&](const auto& listener) { return listener.port == port; })) return false;
  const auto address = unwrapped(given);
  if (is_any(address)) return true;
  std::optional<bool> local;
  for (const auto& listener : own) {
    if (listener.port != port) continue;
    const auto bound = unwrapped(listener.address);
    if (bound == address) return true;
    if (!is_any(bound) || (bound.is_v4() && address.is_v6())) continue;
    if (!local) local = is_local_address(address);
    if (*local) return true;
  }
  return false;
}

}  // namespace exeat::proxy
