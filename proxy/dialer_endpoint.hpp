// Between our addresses and Asio's.
#pragma once
#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>

#include "core/ip_address.hpp"

namespace exeat::proxy {

/// IPv6 without a scope.
inline boost::asio::ip::tcp::endpoint endpoint_of(const core::ip_address& address, std::uint16_t port) {
  if (address.is_v4()) return {boost::asio::ip::address_v4(address.v4_value()), port};
  boost::asio::ip::address_v6::bytes_type bytes;
  std::ranges::copy(address.bytes(), bytes.begin());
  return {boost::asio::ip::address_v6(bytes), port};
}

/// Drops the scope of an IPv6 address.
inline core::ip_address address_of(const boost::asio::ip::address& address) noexcept {
  if (address.is_v4()) return core::ip_address::v4(address.to_v4().to_uint());
  return core::ip_address::v6(address.to_v6().to_bytes());
}

}  // namespace exeat::proxy
