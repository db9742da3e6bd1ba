#include "proxy/dns_hosts.hpp"

#include <doctest/doctest.h>

#include <string>

namespace exeat::proxy {
namespace {

core::host_name name(std::string_view text) {
  return core::host_name::parse(text).value();
}
core::ip_address ip(std::string_view text) {
  return core::ip_address::parse(text).value();
}

TEST_CASE("a hosts file: aliases, comments, several addresses of a name") {
  const auto table = hosts_table::parse(
      "# comment\n"
      "127.0.0.1\tlocalhost  LocalAlias\r\n"
      "::1 localhost # ip6\n"
      "192.0.2.7 a.example b.example#c.example\n"
      "  192.0.2.8 a.example\n"
      "192.0.2.8 a.example\n"
      "fe80::1%lo scoped.example\n"
      "1.2.3 short.example\n"
      "192.0.2.9\n"
      "192.0.2.10 bad!name good.example 1.2.3.4\n"
      "192.0.2.11 last.example");
  CHECK(table.find(name("localhost")).size() == 2);
  CHECK(table.find(name("localhost"))[1] == ip("::1"));
  CHECK(table.find(name("localalias")).size() == 1);
  CHECK(table.find(name("a.example")).size() == 2);
  CHECK(table.find(name("a.example"))[1] == ip("192.0.2.8"));
  CHECK(table.find(name("b.example"))[0] == ip("192.0.2.7"));
  CHECK(table.find(name("c.example")).empty());
  CHECK(table.find(name("scoped.example")).empty());
  CHECK(table.find(name("short.example")).empty());
  CHECK(table.find(name("good.example"))[0] == ip("192.0.2.10"));
  CHECK(table.find(name("last.example"))[0] == ip("192.0.2.11"));
  CHECK(table.size() == 6);
}

TEST_CASE("a hosts file of very many addresses of one name: no more than it takes to know that") {
  std::string text;
  for (int i = 0; i < 250; ++i) text += "192.0.2." + std::to_string(i) + " many.example\n";
  CHECK(hosts_table::parse(text).find(name("many.example")).size() == max_addresses + 1);
  CHECK(hosts_table::parse("").size() == 0);
  CHECK(hosts_table::parse("\n\n\n#").size() == 0);
  CHECK(hosts_table::parse(std::string(3, '\0')).size() == 0);
}

}  // namespace
}  // namespace exeat::proxy
