#include "config/upstream_keys.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "config/temporary_directory.hpp"
#include "config/upstream_choice.hpp"

using namespace exeat;

namespace {

std::expected<config::settings, config::errors> parsed(std::string_view upstream) {
  return config::parse_settings("version: 1\nupstream:\n" + std::string(upstream), "e", "/etc/exeat");
}

config::upstream_settings good(std::string_view upstream) {
  auto settings = parsed(upstream);
  if (!settings) FAIL(config::to_string(settings.error()));
  return std::move(settings->upstream);
}

bool refused(std::string_view upstream, std::string_view says) {
  const auto settings = parsed(upstream);
  CAPTURE(upstream);
  if (settings) return false;
  std::string all;
  for (const auto& e : settings.error()) all += e.to_string() + "\n";
  CAPTURE(all);
  return settings.error().size() == 1 && all.contains(says);
}

core::host host_of(std::string_view text) {
  if (const auto address = core::ip_address::parse(text)) return *address;
  return core::host_name::parse(text).value();
}

// The URL of the proxy that a host goes through; "direct".
std::string way(const config::upstream_settings& settings, std::string_view host) {
  const auto* proxy = config::proxy_toward(settings, host_of(host));
  return proxy == nullptr ? "direct" : config::to_string(*proxy);
}

bool direct(const config::upstream_settings& settings, std::initializer_list<std::string_view> addresses) {
  std::vector<core::ip_address> list;
  for (const auto text : addresses) list.push_back(core::ip_address::parse(text).value());
  return config::are_direct(settings, list);
}

}  // namespace

TEST_CASE("an upstream proxy is read whole, and defaults are the careful ones") {
  const auto upstream = good(
      "  proxies:\n"
      "    - hosts: [\"**.corp.example\", api.example.org]\n"
      "      proxy: \"https://proxy.corp.example:3129/\"\n"
      "      ca: ca.pem\n"
      "      credential_file: /run/secrets/proxy\n"
      "      resolve: remote\n"
      "      http: tunnel\n"
      "    - {hosts: [\"*\"], proxy: \"http://[2001:db8::1]:8080\"}\n"
      "  no_proxy: [\"**.internal.example\", 10.0.0.0/8, \"2001:db8::/32\", 192.0.2.7]\n");
  REQUIRE(upstream.proxies.size() == 2);
  const auto& first = upstream.proxies[0];
  CHECK(config::to_string(first) == "https://proxy.corp.example:3129");
  CHECK(config::hosts_text(first) == "**.corp.example, api.example.org");
  CHECK(first.tls);
  CHECK(first.ca == "/etc/exeat/ca.pem");
  CHECK(first.credential_file == "/run/secrets/proxy");
  CHECK(first.remote);
  CHECK(first.tunnels_http);
  CHECK_FALSE(first.every_host);
  const auto& second = upstream.proxies[1];
  CHECK(config::to_string(second) == "http://[2001:db8::1]:8080");
  CHECK(config::hosts_text(second) == "*");
  CHECK(second.every_host);
  CHECK_FALSE(second.tls);
  CHECK_FALSE(second.remote);
  CHECK_FALSE(second.tunnels_http);
  CHECK(second.credential_file.empty());
  CHECK(upstream.direct_hosts.size() == 1);
  CHECK(upstream.direct_prefixes.size() == 3);
}

TEST_CASE("without the key nothing goes through a proxy, whatever the environment says") {
  ::setenv("HTTPS_PROXY", "http://192.0.2.1:3128", 1);
  ::setenv("https_proxy", "http://192.0.2.1:3128", 1);
  const auto settings = config::parse_settings("version: 1\n", "e");
  REQUIRE(settings);
  CHECK(settings->upstream.proxies.empty());
  CHECK(way(settings->upstream, "example.org") == "direct");
  ::unsetenv("HTTPS_PROXY");
  ::unsetenv("https_proxy");
}

TEST_CASE("the first entry whose hosts match is the way, in the order of the file") {
  const auto upstream = good(
      "  proxies:\n"
      "    - {hosts: [\"*.a.example\"], proxy: \"http://one.example:1\"}\n"
      "    - {hosts: [\"**.a.example\", com], proxy: \"http://two.example:2\"}\n"
      "    - {hosts: [\"**.com\", \"*\"], proxy: \"http://three.example:3\"}\n");
  CHECK(way(upstream, "x.a.example") == "http://one.example:1");
  CHECK(way(upstream, "x.y.a.example") == "http://two.example:2");
  CHECK(way(upstream, "a.example") == "http://three.example:3");
  CHECK(way(upstream, "x.com") == "http://three.example:3");
  CHECK(way(upstream, "192.0.2.1") == "http://three.example:3");
  CHECK(way(upstream, "2001:db8::1") == "http://three.example:3");
}

TEST_CASE("what no entry names goes direct; an address is named by * alone") {
  const auto upstream = good("  proxies: [{hosts: [\"**.corp.example\"], proxy: \"http://p.example:1\"}]\n");
  CHECK(way(upstream, "x.corp.example") == "http://p.example:1");
  CHECK(way(upstream, "corp.example") == "direct");
  CHECK(way(upstream, "xcorp.example") == "direct");
  CHECK(way(upstream, "192.0.2.1") == "direct");
}

TEST_CASE("no_proxy takes hosts back by name before the look-up, and by prefix after it") {
  const auto upstream = good(
      "  proxies: [{hosts: [\"*\"], proxy: \"http://p.example:1\"}]\n"
      "  no_proxy: [\"**.internal.example\", exact.example, 10.0.0.0/8, \"fd00::/8\"]\n");
  CHECK(way(upstream, "a.b.internal.example") == "direct");
  CHECK(way(upstream, "internal.example") == "http://p.example:1");
  CHECK(way(upstream, "exact.example") == "direct");
  CHECK(way(upstream, "www.exact.example") == "http://p.example:1");
  CHECK(way(upstream, "10.1.2.3") == "direct");
  CHECK(way(upstream, "11.1.2.3") == "http://p.example:1");
  CHECK(way(upstream, "::ffff:10.1.2.3") == "http://p.example:1");  // the guard refuses it, either way
  CHECK(direct(upstream, {"10.1.2.3", "fd00::1"}));
  CHECK_FALSE(direct(upstream, {"10.1.2.3", "192.0.2.1"}));
  CHECK_FALSE(direct(upstream, {}));
}

TEST_CASE("an upstream that would do nothing, or something else than it looks, is refused") {
  const std::string_view entry = "  proxies: [{hosts: [\"*\"], proxy: \"";
  const auto url = [&](std::string_view text, std::string_view more = "") {
    return std::string(entry) + std::string(text) + "\"" + std::string(more) + "}]\n";
  };
  CHECK(refused(url("http://p.example"), "names no port"));
  CHECK(refused(url("p.example:3128"), "expected a URL"));
  CHECK(refused(url("socks5://p.example:1080"), "expected a URL"));
  CHECK(refused(url("http://p.example:3128/path"), "not a proxy's URL"));
  CHECK(refused(url("http://p.example:0"), "not a proxy's URL"));
  CHECK(refused(url("http://0x7f.1:3128"), "not a proxy's URL"));
  CHECK(refused(url("http://0.0.0.0:3128"), "nobody can be reached"));
  CHECK(refused(url("http://[::]:3128"), "nobody can be reached"));
  CHECK(refused(url("http://p.example:1", ", ca: x"), "`ca` belongs to an `https://` proxy"));
  CHECK(refused(url("http://p.example:1", ", resolve: maybe"), "maybe"));
  CHECK(refused(url("http://p.example:1", ", user: x"), "user"));
  CHECK(refused("  proxies: []\n", "at least one proxy"));
  CHECK(refused("  proxies: [{hosts: [\"*\"]}]\n", "names no `proxy`"));
  CHECK(refused("  proxies: [{proxy: \"http://p.example:1\"}]\n", "names no `hosts`"));
  CHECK(refused("  proxies: [{hosts: [], proxy: \"http://p.example:1\"}]\n", "a list of host names"));
  CHECK(refused("  proxies: [{hosts: [\"a*\"], proxy: \"http://p.example:1\"}]\n", "a*"));
  CHECK(refused("  no_proxy: [\"**.internal.example\"]\n", "without `upstream.proxies`"));
  CHECK(
      refused("  proxies: [{hosts: [\"*\"], proxy: \"http://p.example:1\"}, {hosts: [x.example], proxy: "
              "\"http://q.example:1\"}]\n",
              "never used"));
  CHECK(refused(url("http://p.example:1") + "  no_proxy: [\"*\"]\n", "nothing would go through a proxy"));
  CHECK(refused(url("http://p.example:1") + "  no_proxy: [10.0.0.1/8]\n", "10.0.0.1/8"));
  CHECK(refused(url("http://p.example:1") + "  no_proxy: [\"10.\"]\n", "10."));
}

TEST_CASE("a credential in the URL is refused, and not repeated") {
  const auto settings =
      parsed("  proxies: [{hosts: [\"*\"], proxy: \"http://user:s3cret@p.example:3128\"}]\n");
  REQUIRE_FALSE(settings);
  const auto text = config::to_string(settings.error());
  CHECK(text.contains("credential_file"));
  CHECK_FALSE(text.contains("s3cret"));
}

TEST_CASE("the file of a credential holds one line user:password, for its owner alone") {
  const config::temporary_directory folder;
  const auto written = [&](std::string_view text, ::mode_t mode = 0600) {
    const auto path = folder.path() / "credential";
    ::unlink(path.c_str());
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return config::load_user_password(path.string());
  };
  CHECK(written("job:pass word:\n").value() == "job:pass word:");
  CHECK(written("j:p\r\n").value() == "j:p");
  CHECK(written("j\xc3\xb6:p\xc3\xa4ss").value() == "j\xc3\xb6:p\xc3\xa4ss");
  for (const auto* bad :
       {"", "\n", "nocolon\n", ":password\n", "user:\n", "a:b\nc:d\n", "a:b\r\nX: y\r\n", "a:b\x01\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(written(bad));
  }
  CHECK_FALSE(written("job:password\n", 0640));
  CHECK_FALSE(written("job:password\n", 0644));
  CHECK_FALSE(written("job:password\n", 0602));
}
