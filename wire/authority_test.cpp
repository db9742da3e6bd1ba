#include "wire/authority.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace exeat;

namespace {

struct row {
  std::string text;
  std::string expected;  // a destination, or a reason code
};

std::string connect(std::string_view text) {
  const auto got = wire::parse_connect_authority(text);
  if (!got) return std::string(core::code_of(got.error().reason));
  return core::to_string(*got);
}

std::string target(std::string_view text) {
  const auto got = wire::parse_http_target(text);
  if (!got) return std::string(core::code_of(got.error().reason));
  return core::to_string(got->to) + " " + std::string(got->path);
}

std::string disagreement(std::string_view authority, std::string_view host, core::scheme scheme) {
  const auto wrong = wire::host_disagreement(*wire::parse_connect_authority(authority), host, scheme);
  return wrong ? std::string(core::code_of(wrong->reason)) : "agrees";
}

}  // namespace

TEST_CASE("CONNECT authorities") {
  const std::vector<row> rows = {
      {"a.example:443", "a.example:443"},
      {"A.EXAMPLE.:443", "a.example:443"},
      {"_srv.a-b.example:1", "_srv.a-b.example:1"},
      {"xn--bcher-kva.de:443", "xn--bcher-kva.de:443"},
      {"a.example:65535", "a.example:65535"},
      {"a.example:00443", "a.example:443"},
      {"a.example:000443", "bad-port"},
      {"a.example:65536", "bad-port"},
      {"a.example:83543", "bad-port"},
      {"a.example:4294967739", "bad-port"},
      {"a.example:0", "bad-port"},
      {"a.example:00000", "bad-port"},
      {"a.example:", "bad-port"},
      {"a.example", "bad-port"},
      {"a.example:+443", "bad-port"},
      {"a.example:-1", "bad-port"},
      {"a.example: 443", "bad-port"},
      {"a.example:443 ", "bad-port"},
      {"a.example:0x1b", "bad-port"},
      {"a.example:https", "bad-port"},
      {"a.example:4e2", "bad-port"},
      {"a.example:443:443", "bad-host"},
      {":443", "bad-host"},
      {"", "bad-host"},
      {".:443", "bad-host"},
      {"a..example:443", "bad-host"},
      {".a.example:443", "bad-host"},
      {"a.example..:443", "bad-host"},
      {"-a.example:443", "bad-host"},
      {"a-.example:443", "bad-host"},
      {"a b.example:443", "bad-host"},
      {"a,b.example:443", "bad-host"},
      {"*.example:443", "bad-host"},
      {"a%2eexample:443", "bad-host"},
      {"a.example%00:443", "bad-host"},
      {"a\\.example:443", "bad-host"},
      {"a\xc3\xbc.example:443", "bad-character"},
      {"a\xe2\x80\xa4"
       "example:443",
       "bad-character"},
      {std::string("a\0.example:443", 14), "bad-character"},
      {"a\r\n.example:443", "bad-character"},
      {"u@a.example:443", "userinfo-in-target"},
      {"u:p@a.example:443", "userinfo-in-target"},
      {"allowed.example:443@evil.example:443", "userinfo-in-target"},
      {"a.example:443#x", "fragment-in-target"},
      {"a.example:443/", "bad-target"},
      {"a.example/x:443", "bad-target"},
      {"a.example:443?x", "bad-target"},
      {"http://a.example:443", "bad-target"},
      {"1.2.3.4:443", "1.2.3.4:443"},
      {"0.0.0.0:443", "0.0.0.0:443"},
      {"127.1:443", "ambiguous-ip-literal"},
      {"127.0.0.01:443", "ambiguous-ip-literal"},
      {"0177.0.0.1:443", "ambiguous-ip-literal"},
      {"0x7f.0.0.1:443", "ambiguous-ip-literal"},
      {"0x7f000001:443", "ambiguous-ip-literal"},
      {"2130706433:443", "ambiguous-ip-literal"},
      {"1.2.3.4.:443", "ambiguous-ip-literal"},
      {"1.2.3.256:443", "ambiguous-ip-literal"},
      {"1.2.3.4.5:443", "ambiguous-ip-literal"},
      {"a.example.1:443", "ambiguous-ip-literal"},
      {"a.0x:443", "ambiguous-ip-literal"},
      {"[::1]:443", "[::1]:443"},
      {"[2001:DB8:0:0::1]:443", "[2001:db8::1]:443"},
      {"[::ffff:1.2.3.4]:443", "[::ffff:1.2.3.4]:443"},
      {"[::1]", "bad-port"},
      {"[::1]:", "bad-port"},
      {"[::1]443", "bad-host"},
      {"[::1", "bad-host"},
      {"[]:443", "bad-host"},
      {"[1.2.3.4]:443", "bad-host"},
      {"[a.example]:443", "bad-host"},
      {"[v1.x]:443", "bad-host"},
      {"[::1]]:443", "bad-host"},
      {"[[::1]]:443", "bad-host"},
      {"[ ::1]:443", "bad-host"},
      {"[:::1]:443", "bad-host"},
      {"[::1%25lo]:443", "ambiguous-ip-literal"},
      {"[fe80::1%eth0]:443", "ambiguous-ip-literal"},
      {"::1:443", "bad-host"},
      {std::string(254, 'a') + ":443", "bad-host"},
      {std::string(64, 'a') + ".example:443", "bad-host"},
  };
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    CHECK(connect(text) == expected);
  }
}

TEST_CASE("targets in absolute form") {
  const std::vector<row> rows = {
      {"http://a.example", "a.example:80 "},
      {"http://a.example/", "a.example:80 /"},
      {"HtTp://A.example:8080/x/../y?z=1&a=%20", "a.example:8080 /x/../y?z=1&a=%20"},
      {"http://a.example?q", "a.example:80 ?q"},
      {"http://a.example//x", "a.example:80 //x"},
      {"http://a.example/@u:p", "a.example:80 /@u:p"},
      {"http://[::1]:81/", "[::1]:81 /"},
      {"http://1.2.3.4/", "1.2.3.4:80 /"},
      {"http://a.example/[]{}|^`", "a.example:80 /[]{}|^`"},
      {"http://a.example/~u;p=1,2!$'()*+-._", "a.example:80 /~u;p=1,2!$'()*+-._"},
      {"http://a.example:/", "bad-port"},
      {"http://a.example:0/", "bad-port"},
      {"http://a.example:65536/", "bad-port"},
      {"http:///x", "bad-host"},
      {"http://", "bad-host"},
      {"http://?x", "bad-host"},
      {"http://:80/", "bad-host"},
      {"http:/a.example/", "bad-target"},
      {"http:a.example", "bad-target"},
      {"http:", "bad-target"},
      {"http", "bad-target"},
      {"", "bad-target"},
      {"a.example:80", "bad-target"},
      {"a.example", "bad-target"},
      {"://a.example", "bad-target"},
      {"1http://a.example/", "bad-target"},
      {"ht tp://a.example/", "bad-target"},
      {"https:/a.example", "bad-target"},
      {"https://a.example/", "https-in-absolute-form"},
      {"HTTPS://a.example/", "https-in-absolute-form"},
      {"ws://a.example/", "scheme-unknown"},
      {"ftp://a.example/", "scheme-unknown"},
      {"file:///etc/passwd", "scheme-unknown"},
      {"httpx://a.example/", "scheme-unknown"},
      {"view-source+x.y://a.example/", "scheme-unknown"},
      {"/", "origin-form"},
      {"/x?y", "origin-form"},
      {"//a.example/", "origin-form"},
      {"*", "origin-form"},
      {"http://u@a.example/", "userinfo-in-target"},
      {"http://u:p@a.example/", "userinfo-in-target"},
      {"http://@a.example/", "userinfo-in-target"},
      {"http://a.example#@evil.example/", "fragment-in-target"},
      {"http://a.example/#x", "fragment-in-target"},
      {"http://a.example/x#", "fragment-in-target"},
      {"http://a.example/?x#y", "fragment-in-target"},
      {"http://a.example\\@evil.example/", "bad-host"},
      {"http://a.example\\/", "bad-host"},
      {"http://a.example/\\x", "bad-target"},
      {"http://a.example/?\\", "bad-target"},
      {"http://a%2eexample/", "bad-host"},
      {"http://%61.example/", "bad-host"},
      {"http://a.example/%", "bad-target"},
      {"http://a.example/%4", "bad-target"},
      {"http://a.example/%zz", "bad-target"},
      {"http://a.example/%u0041", "bad-target"},
      {"http://a.example/<x>", "bad-target"},
      {"http://a.example/\"", "bad-target"},
      {"http://a.example/a b", "bad-target"},
      {"http://a.example/\x7f", "bad-character"},
      {"http://a.example/\xc3\xbc", "bad-character"},
      {"http://b\xc3\xbc"
       "cher.example/",
       "bad-character"},
      {"http://127.1/", "ambiguous-ip-literal"},
      {"http://0x7f.1/", "ambiguous-ip-literal"},
      {"http://[fe80::1%25eth0]/", "ambiguous-ip-literal"},
      {"http://[::1/", "bad-host"},
      {"http://a.example]/", "bad-host"},
  };
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    CHECK(target(text) == expected);
  }
}

TEST_CASE("a Host field agrees with its target, or not") {
  using enum core::scheme;
  CHECK(disagreement("a.example:80", "a.example", http) == "agrees");
  CHECK(disagreement("a.example:80", "A.EXAMPLE.:80", http) == "agrees");
  CHECK(disagreement("a.example:8080", "a.example", http) == "host-mismatch");
  CHECK(disagreement("a.example:443", "a.example", http) == "host-mismatch");
  CHECK(disagreement("a.example:443", "a.example", https) == "agrees");
  CHECK(disagreement("a.example:8443", "a.example", https) == "agrees");
  CHECK(disagreement("a.example:8443", "a.example:443", https) == "host-mismatch");
  CHECK(disagreement("[::1]:443", "[0::1]", https) == "agrees");
  CHECK(disagreement("[::1]:443", "[::2]", https) == "host-mismatch");
  CHECK(disagreement("1.2.3.4:443", "[::ffff:1.2.3.4]", https) == "host-mismatch");
  CHECK(disagreement("a.example:443", "", https) == "host-missing");
  CHECK(disagreement("a.example:443", "u@a.example", https) == "bad-host");
  CHECK(disagreement("a.example:443", "a.example:x", https) == "bad-port");
  CHECK(disagreement("1.2.3.4:443", "0x1020304", https) == "ambiguous-ip-literal");
}
