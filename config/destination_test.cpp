#include "config/destination.hpp"

#include <doctest/doctest.h>

using namespace exeat;

namespace {

std::string read(std::string_view text) {
  const auto wanted = config::parse_destination(text);
  if (!wanted) return "error";
  return (wanted->scheme == core::scheme::https ? "https " : "http ") + core::to_string(wanted->to);
}

}  // namespace

TEST_CASE("what people write for a destination") {
  CHECK(read("https://a.example/") == "https a.example:443");
  CHECK(read("https://a.example") == "https a.example:443");
  CHECK(read("HTTPS://A.example.:8443/path?q#f") == "https a.example:8443");
  CHECK(read("http://a.example/") == "http a.example:80");
  CHECK(read("http://a.example?q") == "http a.example:80");
  CHECK(read("wss://a.example/socket") == "https a.example:443");
  CHECK(read("ws://a.example:81/socket") == "http a.example:81");
  CHECK(read("a.example:22") == "https a.example:22");
  CHECK(read("a.example") == "https a.example:443");
  CHECK(read("https://[2001:db8::1]/") == "https [2001:db8::1]:443");
  CHECK(read("192.0.2.1:25") == "https 192.0.2.1:25");
}

TEST_CASE("what is no destination is refused, never repaired") {
  for (const auto* text :
       {"", "not a url", "https://", "https:///x", "ftp://a.example/", "ssh://git@a.example/",
        "https://user@a.example/", "a.example:", "a.example:0", "a.example:65536", "https://0x7f.1/",
        "https://a..example/", "https://a.example:443:1/", "-"}) {
    CAPTURE(text);
    CHECK(read(text) == "error");
  }
}

TEST_CASE("U-labels are converted for a policy, and refused from a client") {
  CHECK(read("https://bücher.example/") == "error");
  const auto url = config::parse_destination("https://bücher.example:8443/", config::name_spelling::policy);
  REQUIRE(url);
  CHECK(core::to_string(url->to) == "xn--bcher-kva.example:8443");
  const auto plain = config::parse_destination("BÜCHER.example", config::name_spelling::policy);
  REQUIRE(plain);
  CHECK(core::to_string(plain->to) == "xn--bcher-kva.example:443");
  for (const auto* text : {"*.bücher.example", "bü cher.example", "\xff.example", "[bü]:443", "ü:x"}) {
    CAPTURE(text);
    CHECK_FALSE(config::parse_destination(text, config::name_spelling::policy));
  }
}
