#include "proxy/dns_server.hpp"

#include <doctest/doctest.h>

namespace exeat::proxy {
namespace {

std::string joined(std::string_view resolv_conf) {
  std::string all;
  for (const auto& server : servers_of_resolv_conf(resolv_conf)) all += server.to_string() + " ";
  return all;
}

TEST_CASE("a server is an address with an optional port") {
  CHECK(name_server::parse("192.0.2.53")->to_string() == "192.0.2.53:53");
  CHECK(name_server::parse("192.0.2.53:5353")->to_string() == "192.0.2.53:5353");
  CHECK(name_server::parse("2001:db8::53")->to_string() == "[2001:db8::53]:53");
  CHECK(name_server::parse("[2001:db8::53]")->to_string() == "[2001:db8::53]:53");
  CHECK(name_server::parse("[2001:db8::53]:5353")->to_string() == "[2001:db8::53]:5353");
  for (const auto* bad :
       {"", "dns.example", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "192.0.2.53:+1",
        "192.0.2.53:53x", "[192.0.2.53]:53", "[2001:db8::53", "[2001:db8::53]x", "[2001:db8::53]:", "1.2.3",
        "[]", "[:]", "192.0.2.53,192.0.2.54", "192.0.2.53 ", ":53"}) {
    CAPTURE(bad);
    CHECK_FALSE(name_server::parse(bad));
  }
}

TEST_CASE("resolv.conf") {
  CHECK(joined("") == "127.0.0.1:53 ");
  CHECK(joined("search corp.example\noptions ndots:5\n") == "127.0.0.1:53 ");
  CHECK(joined("# nameserver 192.0.2.1\n; nameserver 192.0.2.2\nnameserver 192.0.2.3") == "192.0.2.3:53 ");
  CHECK(joined("nameserver\t192.0.2.1 # first\r\nnameserver 2001:db8::1;second\nnameserver [::1]:5353\n") ==
        "192.0.2.1:53 [2001:db8::1]:53 [::1]:5353 ");
  CHECK(joined("nameserver fe80::1%eth0\nnameserver dns.example\nnameserver\nnameservers 192.0.2.1\n") ==
        "127.0.0.1:53 ");
  std::string many;
  for (int i = 0; i < 20; ++i) many += "nameserver 192.0.2." + std::to_string(i) + "\n";
  CHECK(servers_of_resolv_conf(many).size() == 8);
}

}  // namespace
}  // namespace exeat::proxy
