// Where a request wants to go.
#pragma once
#include <cstdint>
#include <string>
#include <variant>

#include "core/host_name.hpp"
#include "core/ip_address.hpp"

namespace exeat::core {

/// A name or an address literal; nothing else can be asked for.
using host = std::variant<host_name, ip_address>;

struct destination {
  core::host host;
  std::uint16_t port = 0;
  friend bool operator==(const destination&, const destination&) = default;
};

/// The name, or the address's text without brackets.
std::string to_string(const host& host);
/// host:port, IPv6 in brackets.
std::string to_string(const destination& destination);

/// What the client speaks to the proxy about a destination.
enum class scheme : std::uint8_t { https /* CONNECT */, http /* absolute-form */ };

}  // namespace exeat::core
