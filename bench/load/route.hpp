#pragma once
#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace exeat::bench {

/// The way to the origin: through a proxy, or straight to it. The origin is this very process.
struct route {
  std::optional<sockaddr_in> proxy;  // none: direct
  std::string host;                  // how the origin is called in requests
  std::vector<std::uint16_t> ports;  // the origin's
  std::uint32_t sources = 64;  // clients come from 127.0.1.1 to 127.0.1.N, else the kernel runs out of ports

  /// A non-blocking socket on its way to the proxy, or to the origin's `port`; -1 with errno.
  [[nodiscard]] int dial(std::uint16_t port) const;
  /// An established tunnel to the origin's `port`, made with blocking calls; -1 and `why` where it failed.
  /// The kernel accepts for the origin, so this may run in the origin's own thread.
  [[nodiscard]] int tunnel(std::uint16_t port, std::string& why) const;
  [[nodiscard]] std::string connect_head(std::uint16_t port) const;
  /// A GET for a body of `size` octets: in absolute form where there is a proxy.
  [[nodiscard]] std::string get_head(std::uint16_t port, std::size_t size, bool close) const;
};

/// "127.0.0.1:3128"; nothing where it is anything else than an IPv4 address and a port.
std::optional<sockaddr_in> address_of(const std::string& text);

}  // namespace exeat::bench
