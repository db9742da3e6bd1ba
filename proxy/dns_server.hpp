// Where name servers are written down.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ip_address.hpp"

namespace exeat::proxy {

struct name_server {
  core::ip_address address;
  std::uint16_t port = 53;

  /// "ip", "ip:port", "[ip6]" or "[ip6]:port".
  static std::optional<name_server> parse(std::string_view text) noexcept;
  /// "ip:port" or "[ip6]:port".
  std::string to_string() const;
};

/// The servers of resolv.conf(5), in order; at most eight. 127.0.0.1 where it names none. A port may be
/// written as `parse` takes it; lines that are not understood, those with a zone among them, are skipped.
std::vector<name_server> servers_of_resolv_conf(std::string_view text);

}  // namespace exeat::proxy
