#include "proxy/local_addresses.hpp"

#include <doctest/doctest.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace exeat::proxy {
namespace {

core::ip_address ip(std::string_view text) {
  return core::ip_address::parse(text).value();
}

std::vector<core::ip_address> interface_addresses() {
  std::vector<core::ip_address> all;
  ifaddrs* list = nullptr;
  REQUIRE(::getifaddrs(&list) == 0);
  for (const auto* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    if (at->ifa_addr->sa_family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, at->ifa_addr, sizeof v4);
      all.push_back(core::ip_address::v4(ntohl(v4.sin_addr.s_addr)));
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, at->ifa_addr, sizeof v6);
      std::array<std::uint8_t, 16> octets;
      std::memcpy(octets.data(), &v6.sin6_addr, octets.size());
      all.push_back(core::ip_address::v6(octets));
    }
  }
  ::freeifaddrs(list);
  return all;
}

TEST_CASE("a listener on one address is that address in every spelling") {
  const listen_endpoint own[] = {{ip("127.0.0.1"), 3128}, {ip("::1"), 3129}};
  CHECK(is_own_listener(ip("127.0.0.1"), 3128, own));
  CHECK(is_own_listener(ip("::ffff:127.0.0.1"), 3128, own));
  CHECK(is_own_listener(ip("::127.0.0.1"), 3128, own));
  CHECK(is_own_listener(ip("64:ff9b::127.0.0.1"), 3128, own));
  CHECK(is_own_listener(ip("::ffff:0:127.0.0.1"), 3128, own));
  CHECK(is_own_listener(ip("0.0.0.0"), 3128, own));
  CHECK(is_own_listener(ip("::"), 3128, own));
  CHECK(is_own_listener(ip("::ffff:0.0.0.0"), 3128, own));
  CHECK(is_own_listener(ip("::1"), 3129, own));
  CHECK(is_own_listener(ip("::"), 3129, own));

  CHECK_FALSE(is_own_listener(ip("127.0.0.1"), 3130, own));
  CHECK_FALSE(is_own_listener(ip("0.0.0.0"), 443, own));
  CHECK_FALSE(is_own_listener(ip("127.0.0.2"), 3128, own));
  CHECK_FALSE(is_own_listener(ip("::1"), 3128, own));
  CHECK_FALSE(is_own_listener(ip("203.0.113.9"), 3128, own));
  CHECK_FALSE(is_own_listener(ip("127.0.0.1"), 3128, {}));
  CHECK_FALSE(is_own_listener(ip("64:ff9b::127.0.0.2"), 3128, own));
  CHECK_FALSE(is_own_listener(ip("64:ff9b:0:1::127.0.0.1"), 3128, own));

  // A public address of ours, as an IPv6-only network spells it: the guard lets that pass.
  const listen_endpoint reachable[] = {{ip("203.0.113.9"), 3128}};
  CHECK(is_own_listener(ip("64:ff9b::203.0.113.9"), 3128, reachable));
  CHECK_FALSE(is_own_listener(ip("64:ff9b::203.0.113.10"), 3128, reachable));
}

TEST_CASE("a listener on all addresses is every address of the machine") {
  const listen_endpoint v4[] = {{ip("0.0.0.0"), 3128}};
  const listen_endpoint v6[] = {{ip("::"), 3128}};
  const auto interfaces = interface_addresses();
  REQUIRE_FALSE(interfaces.empty());
  for (const auto& address : interfaces) {
    CAPTURE(address.to_string());
    CHECK(is_local_address(address));
    CHECK(is_own_listener(address, 3128, v6));
    CHECK(is_own_listener(address, 3128, v4) == address.is_v4());
    CHECK_FALSE(is_own_listener(address, 3129, v6));
    if (address.is_v4()) CHECK(is_own_listener(ip("::ffff:" + address.to_string()), 3128, v4));
  }
  for (const auto* text : {"127.0.0.1", "127.9.9.9", "::ffff:127.1.2.3", "::127.0.0.5", "0.0.0.0", "::"}) {
    CAPTURE(text);
    CHECK(is_own_listener(ip(text), 3128, v4));
    CHECK(is_own_listener(ip(text), 3128, v6));
  }
  CHECK(is_own_listener(ip("::1"), 3128, v6));
  for (const auto* text :
       {"203.0.113.9", "8.8.8.8", "2606:4700::1111", "224.0.0.1", "ff02::1", "255.255.255.255"}) {
    CAPTURE(text);
    CHECK_FALSE(is_own_listener(ip(text), 3128, v4));
    CHECK_FALSE(is_own_listener(ip(text), 3128, v6));
  }
}

}  // namespace
}  // namespace exeat::proxy
