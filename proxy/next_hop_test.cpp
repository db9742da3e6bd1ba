#include "proxy/next_hop.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "config/temporary_directory.hpp"

namespace exeat::proxy {
namespace {

config::upstream_settings settings_of(const std::string& upstream,
                                      const std::string& directory = "/etc/exeat") {
  auto settings = config::parse_settings("version: 1\nupstream:\n" + upstream, "e", directory);
  if (!settings) FAIL(config::to_string(settings.error()));
  return std::move(settings->upstream);
}

next_hops loaded(const config::upstream_settings& settings) {
  auto hops = next_hops::load(settings);
  if (!hops) FAIL(hops.error());
  return std::move(*hops);
}

core::ip_address ip(std::string_view text) {
  return core::ip_address::parse(text).value();
}
core::host host(std::string_view text) {
  if (const auto address = core::ip_address::parse(text)) return *address;
  return core::host_name::parse(text).value();
}

void write_secret(const std::string& path, std::string_view text, ::mode_t mode = 0600) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

TEST_CASE("which upstream leads to a host, and what is one itself") {
  const auto hops = loaded(
      settings_of("  proxies:\n"
                  "    - {hosts: [\"*.a.example\"], proxy: \"http://one.example:3128\", resolve: remote}\n"
                  "    - {hosts: [\"*\"], proxy: \"http://192.0.2.9:8080/\", http: tunnel}\n"
                  "  no_proxy: [direct.example, 198.51.100.0/24]\n"));
  REQUIRE(hops.all().size() == 2);
  const auto* one = hops.toward(host("x.a.example"));
  REQUIRE(one == &hops.all()[0]);
  CHECK(one->text == "http://one.example:3128");
  CHECK(one->remote);
  CHECK_FALSE(one->tunnels_http);
  CHECK(one->keys()->authorization.empty());
  CHECK(one->keys()->tls == nullptr);
  const auto* two = hops.toward(host("a.example"));
  REQUIRE(two == &hops.all()[1]);
  CHECK(two->number == 1);
  CHECK_FALSE(two->remote);
  CHECK(two->tunnels_http);
  CHECK(hops.toward(host("203.0.113.1")) == two);
  CHECK(hops.toward(host("direct.example")) == nullptr);
  CHECK(hops.toward(host("198.51.100.7")) == nullptr);

  const std::vector direct{ip("198.51.100.1"), ip("198.51.100.2")};
  const std::vector mixed{ip("198.51.100.1"), ip("203.0.113.1")};
  CHECK(hops.are_direct(direct));
  CHECK_FALSE(hops.are_direct(mixed));
  CHECK_FALSE(hops.are_direct({}));

  CHECK(hops.contain({host("one.example"), 3128}));
  CHECK(hops.contain({host("ONE.example."), 3128}));
  CHECK(hops.contain({host("192.0.2.9"), 8080}));
  CHECK_FALSE(hops.contain({host("one.example"), 3129}));
  CHECK_FALSE(hops.contain({host("two.example"), 3128}));

  const next_hops none;
  CHECK(none.empty());
  CHECK(none.toward(host("a.example")) == nullptr);
  CHECK_FALSE(none.contain({host("one.example"), 3128}));
  CHECK(none.reload().empty());
}

TEST_CASE("credentials are read again, and what cannot be read leaves the one before") {
  const config::temporary_directory folder;
  const auto path = folder / "credential";
  write_secret(path, "job:first\n");
  const auto hops =
      loaded(settings_of("  proxies: [{hosts: [\"*\"], proxy: \"http://p.example:1\", "
                         "credential_file: \"" +
                         path + "\"}]\n"));
  const auto& hop = hops.all().front();
  const auto first = hop.keys();
  CHECK(first->authorization == "Proxy-Authorization: Basic am9iOmZpcnN0\r\n");

  write_secret(path, "job:second\n");
  CHECK(hops.reload().empty());
  CHECK(hop.keys()->authorization == "Proxy-Authorization: Basic am9iOnNlY29uZA==\r\n");
  CHECK(first->authorization == "Proxy-Authorization: Basic am9iOmZpcnN0\r\n");  // whoever holds it keeps it

  for (const auto& [text, mode] :
       {std::pair{"no colon\n", ::mode_t{0600}}, {"job:third\n", 0644}, {"", 0600}}) {
    write_secret(path, text, mode);
    const auto wrong = hops.reload();
    REQUIRE(wrong.size() == 1);
    CHECK(wrong.front().starts_with("the upstream http://p.example:1: "));
    CHECK_FALSE(wrong.front().contains("third"));
    CHECK(hop.keys()->authorization == "Proxy-Authorization: Basic am9iOnNlY29uZA==\r\n");
  }
}

TEST_CASE("a CA file without a certificate is refused") {
  const config::temporary_directory folder;
  const auto ca = folder.write("ca.pem", "nothing\n");
  const auto settings =
      settings_of("  proxies: [{hosts: [\"*\"], proxy: \"https://p.example:1\", ca: \"" + ca + "\"}]\n");
  const auto refused = next_hops::load(settings);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().contains("the file holds no certificate"));
}

TEST_CASE("where upstreams have been seen is remembered, up to a bound, the newest last to go") {
  const auto hops =
      loaded(settings_of("  proxies:\n    - {hosts: [\"*.a.example\"], proxy: \"http://one.example:1\"}\n"
                         "    - {hosts: [\"*\"], proxy: \"http://two.example:2\"}\n"));
  hop_addresses seen;
  CHECK(seen.known(hops.all()[0]).empty());
  seen.learn(hops.all()[1], {ip("192.0.2.1"), ip("192.0.2.2")});
  CHECK(seen.known(hops.all()[0]).empty());
  CHECK(seen.known(hops.all()[1]).size() == 2);
  seen.learn(hops.all()[1], {ip("192.0.2.3"), ip("192.0.2.1")});
  const auto known = seen.known(hops.all()[1]);
  REQUIRE(known.size() == 3);
  CHECK(known.back() == ip("192.0.2.1"));

  for (std::uint32_t i = 0; i < 10 * max_addresses; ++i) seen.learn(hops.all()[1], {core::ip_address::v4(i)});
  CHECK(seen.known(hops.all()[1]).size() == max_addresses);
  CHECK(seen.known(hops.all()[1]).back() == core::ip_address::v4(10 * max_addresses - 1));
  // As many as one answer may have are all known at a time.
  address_list whole;
  for (std::uint32_t i = 0; i < max_addresses; ++i) whole.push_back(core::ip_address::v4(0x01000000 + i));
  seen.learn(hops.all()[1], whole);
  const auto all = seen.known(hops.all()[1]);
  CHECK(std::equal(all.begin(), all.end(), whole.begin(), whole.end()));
}

}  // namespace
}  // namespace exeat::proxy
