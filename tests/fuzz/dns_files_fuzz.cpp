// Any octets as /etc/hosts, as /etc/resolv.conf, and as one name server.
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/dns_hosts.hpp"
#include "proxy/dns_server.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto hosts = proxy::hosts_table::parse(text);
  EXPECT(hosts.size() <= size);
  if (const auto name = core::host_name::parse(text.substr(0, text.find_first_of(" \t\n"))))
    for (const auto& address : hosts.find(*name))
      EXPECT(core::ip_address::parse(address.to_string()) == address);

  const auto servers = proxy::servers_of_resolv_conf(text);
  EXPECT(!servers.empty() && servers.size() <= 8);
  for (const auto& server : servers) {
    const auto again = proxy::name_server::parse(server.to_string());
    EXPECT(again && again->address == server.address && again->port == server.port);
  }
  if (const auto server = proxy::name_server::parse(text)) {
    EXPECT(server->port != 0);
    const auto again = proxy::name_server::parse(server->to_string());
    EXPECT(again && again->address == server->address && again->port == server->port);
  }
  return 0;
}
