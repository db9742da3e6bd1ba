#include "wire/request_head.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace exeat;
using core::reason;
using wire::body_framing;
using wire::parse_status;
using namespace std::string_literals;

namespace {

struct outcome {
  parse_status status;
  std::size_t size = 0;
  std::string code;
  std::string detail;
};

outcome parse(const std::string& bytes, wire::request_head& head, const wire::head_limits& limits = {}) {
  wire::request_parser parser;
  const auto status = parser.parse(bytes, limits, head);
  if (status == parse_status::error) {
    return {status, 0, std::string(core::code_of(parser.error().reason)), std::string(parser.error().detail)};
  }
  return {status, status == parse_status::done ? parser.size() : 0, "", ""};
}

// The same octets one at a time, each time in a buffer of their own, so that a view that outlives a call
// shows under ASan.
outcome parse_by_octet(const std::string& bytes, const wire::head_limits& limits = {}) {
  wire::request_parser parser;
  wire::request_head head;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const std::vector<char> buffer(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    const auto status = parser.parse({buffer.data(), buffer.size()}, limits, head);
    if (status == parse_status::error) {
      return {status, 0, std::string(core::code_of(parser.error().reason)),
              std::string(parser.error().detail)};
    }
    if (status == parse_status::done) return {status, parser.size(), "", ""};
  }
  return {parse_status::need_more, 0, "", ""};
}

void check_same(const outcome& a, const outcome& b) {
  CHECK(a.status == b.status);
  CHECK(a.size == b.size);
  CHECK(a.code == b.code);
  CHECK(a.detail == b.detail);
}

std::string refusal(const std::string& bytes, const wire::head_limits& limits = {}) {
  wire::request_head head;
  const auto whole = parse(bytes, head, limits);
  check_same(whole, parse_by_octet(bytes, limits));
  if (whole.status == parse_status::done) return "done";
  if (whole.status == parse_status::need_more) return "need-more";
  CHECK_FALSE(whole.detail.empty());
  return whole.code;
}

// A GET with these lines behind Host.
std::string get(const std::string& lines) {
  return "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n" + lines + "\r\n";
}

}  // namespace

TEST_CASE("a CONNECT as curl sends it") {
  wire::request_head head;
  const auto bytes =
      "CONNECT API.Example.com.:443 HTTP/1.1\r\nHost: api.example.com:443\r\n"
      "Proxy-Authorization: Basic YTpi\r\nUser-Agent: curl/7.88.1\r\nProxy-Connection: Keep-Alive\r\n\r\n\x16\x03\x01"s;
  const auto got = parse(bytes, head);
  REQUIRE(got.status == parse_status::done);
  CHECK(got.size == bytes.size() - 3);
  CHECK(head.form == wire::target_form::connect);
  CHECK(head.scheme() == core::scheme::https);
  CHECK(core::to_string(head.to) == "api.example.com:443");
  CHECK(head.target == "API.Example.com.:443");
  CHECK(head.framing == body_framing::none);
  CHECK(head.keep_alive);
  CHECK(head.proxy_authorization == "Basic YTpi");
  CHECK(head.fields.size() == 4);
  check_same(got, parse_by_octet(bytes));
}

TEST_CASE("an absolute-form request as apt sends it") {
  wire::request_head head;
  const auto bytes =
      "GET http://deb.example:8080/debian/dists/x/InRelease?a=%20b HTTP/1.1\r\nHost: DEB.example:8080\r\n"
      "Accept: text/*\r\nUser-Agent:Debian APT\r\nEmpty:\r\nPadded: \t x y \t\r\n\r\n"s;
  REQUIRE(parse(bytes, head).status == parse_status::done);
  CHECK(head.form == wire::target_form::absolute);
  CHECK(core::to_string(head.to) == "deb.example:8080");
  CHECK(head.path == "/debian/dists/x/InRelease?a=%20b");
  CHECK(head.accept == "text/*");
  CHECK(head.host == "DEB.example:8080");
  CHECK(head.fields.find("empty")->value.empty());
  CHECK(head.fields.find("PADDED")->value == "x y");
  CHECK_FALSE(head.proxy_authorization.has_value());
  const auto bare = "GET http://h HTTP/1.1\r\nHost: h\r\n\r\n"s;
  REQUIRE(parse(bare, head).status == parse_status::done);
  CHECK(head.path.empty());
  CHECK(head.to.port == 80);
  const auto query = "GET HTTP://h?q HTTP/1.1\r\nHost: h:80\r\n\r\n"s;
  REQUIRE(parse(query, head).status == parse_status::done);
  CHECK(head.path == "?q");
}

TEST_CASE("one buffer holds several requests") {
  wire::request_head head;
  wire::request_parser parser;
  const auto one = "POST http://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"s;
  const auto two = "\r\nGET http://h/2 HTTP/1.1\r\nHost: h\r\n\r\n"s;
  const auto all = one + two;
  REQUIRE(parser.parse(all, {}, head) == parse_status::done);
  CHECK(parser.size() == one.size());
  CHECK(parser.parse(all, {}, head) == parse_status::done);
  parser.reset();
  CHECK_FALSE(parser.started());
  REQUIRE(parser.parse(std::string_view(all).substr(one.size()), {}, head) == parse_status::done);
  CHECK(parser.size() == two.size());
  CHECK(head.path == "/2");
}

TEST_CASE("the raw octets of a head") {
  struct row {
    std::string bytes;
    std::string expected;
  };
  const auto crlf = "\r\n"s;
  const std::vector<row> rows = {
      {"", "need-more"},
      {"GET http://h/ HTTP/1.1\r\nHost: h\r\n", "need-more"},
      {"GET http://h/ HTTP/1.1\nHost: h\n\n", "bad-line-ending"},
      {"GET http://h/ HTTP/1.1\r\nHost: h\n\r\n", "bad-line-ending"},
      {"GET http://h/ HTTP/1.1\r\nHost: h\r\n\n", "bad-line-ending"},
      {"GET http://h/ HTTP/1.1\r\nHost: h\r\r\n\r\n", "bad-line-ending"},
      {"GET http://h/ HTTP/1.1\rHost: h\r\n\r\n", "bad-line-ending"},
      {"\nGET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad-line-ending"},
      {"\rGET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad-line-ending"},
      {"\r\nGET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "done"},
      {"\r\n\r\nGET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad-request-line"},
      {get("A: b\r\n c\r\n"), "obs-fold"},
      {get("A: b\r\n\tc\r\n"), "obs-fold"},
      {get("A:\r\n \r\n"), "obs-fold"},
      {"GET http://h/ HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n", "obs-fold"},
      {get("A: b\0c\r\n"s), "bad-character"},
      {get("A: b\x01"
           "c\r\n"),
       "bad-character"},
      {get("A: b\x7f\r\n"), "bad-character"},
      {get("A: b\x0b\r\n"), "bad-character"},
      {get("A: b\x1b[31m\r\n"), "bad-character"},
      {get("A: \xc3\xbc\r\n"), "done"},
      {get("\xc3\xbc: a\r\n"), "bad-field"},
      {"GET http://h/\xc3\xbc HTTP/1.1\r\nHost: h\r\n\r\n", "bad-character"},
      {"GET http://h\xc3\xbc/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad-character"},
      {"GET http://h/\tHTTP/1.1\r\nHost: h\r\n\r\n", "bad-character"},
      {"GET\thttp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "bad-character"},
      {"GET http://h/\0 HTTP/1.1\r\nHost: h\r\n\r\n"s, "bad-character"},
      {"\x16", "tls-on-plain"},
      {"\x16\x03\x01\x02\x00\x01", "tls-on-plain"},
      {"\x80\x2e\x01\x03\x01", "bad-character"},
      {"PRI * HTTP/2.0\r\n", "http2-on-plain"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2-on-plain"},
      {"GET http://h/\r\n", "bad-version"},
      {"GET /\r\n", "bad-version"},
  };
  for (const auto& [bytes, expected] : rows) {
    CAPTURE(bytes);
    CHECK(refusal(bytes) == expected);
  }
}

TEST_CASE("the request line") {
  struct row {
    std::string line;
    std::string expected;
  };
  const std::vector<row> rows = {
      {"GET http://h/ HTTP/1.1", "done"},
      {"GET http://h/ HTTP/1.0", "done"},
      {"M-SEARCH http://h/ HTTP/1.1", "done"},
      {"OPTIONS http://h HTTP/1.1", "done"},
      {"GET  http://h/ HTTP/1.1", "bad-request-line"},
      {"GET http://h/  HTTP/1.1", "bad-request-line"},
      {" GET http://h/ HTTP/1.1", "bad-request-line"},
      {"GET http://h/ HTTP/1.1 ", "bad-request-line"},
      {"GET http://h/ x HTTP/1.1", "bad-request-line"},
      {"GET http://h/ FTP/1.1", "bad-request-line"},
      {"GET HTTP/1.1", "bad-version"},
      {"GET", "bad-request-line"},
      {"GET http://h/ HTTP/1.2", "bad-version"},
      {"GET http://h/ HTTP/2.0", "bad-version"},
      {"GET http://h/ HTTP/2", "bad-version"},
      {"GET http://h/ HTTP/0.9", "bad-version"},
      {"GET http://h/ HTTP/01.1", "bad-version"},
      {"GET http://h/ HTTP/1.10", "bad-version"},
      {"GET http://h/ HTTP/1.", "bad-version"},
      {"GET http://h/ HTTP/+1.1", "bad-version"},
      {"GET http://h/ http/1.1", "bad-version"},
      {"get http://h/ HTTP/1.1", "bad-method"},
      {"Get http://h/ HTTP/1.1", "bad-method"},
      {"connect h:443 HTTP/1.1", "bad-method"},
      {"G@T http://h/ HTTP/1.1", "bad-method"},
      {"GE(T) http://h/ HTTP/1.1", "bad-method"},
      {"TRACE http://h/ HTTP/1.1", "bad-method"},
      {std::string(33, 'A') + " http://h/ HTTP/1.1", "bad-method"},
      {std::string(32, 'A') + " http://h/ HTTP/1.1", "done"},
      {"GET / HTTP/1.1", "origin-form"},
      {"GET //h/ HTTP/1.1", "origin-form"},
      {"OPTIONS * HTTP/1.1", "origin-form"},
      {"CONNECT / HTTP/1.1", "bad-target"},
      {"CONNECT * HTTP/1.1", "bad-host"},
      {"CONNECT http://h/ HTTP/1.1", "bad-target"},
      {"CONNECT h:80/ HTTP/1.1", "bad-target"},
      {"GET h:80 HTTP/1.1", "bad-target"},
      {"GET h HTTP/1.1", "bad-target"},
      {"PRI * HTTP/1.1", "origin-form"},
  };
  for (const auto& [line, expected] : rows) {
    CAPTURE(line);
    CHECK(refusal(line + "\r\nHost: h\r\n\r\n") == expected);
  }
}

TEST_CASE("field lines") {
  struct row {
    std::string lines;
    std::string expected;
  };
  const std::vector<row> rows = {
      {"A: b\r\n", "done"},
      {"A:b\r\n", "done"},
      {"A:\r\n", "done"},
      {"A_b: c\r\n", "done"},
      {"!#$%&'*+-.^_`|~09azAZ: c\r\n", "done"},
      {"A : b\r\n", "bad-field"},
      {"A\t: b\r\n", "bad-field"},
      {"A b: c\r\n", "bad-field"},
      {": b\r\n", "bad-field"},
      {"A\r\n", "bad-field"},
      {"A(b): c\r\n", "bad-field"},
      {"\"A\": c\r\n", "bad-field"},
      {"A[0]: c\r\n", "bad-field"},
      {"A/b: c\r\n", "bad-field"},
      {"A: b: c\r\n", "done"},
      {"Host: a.example\r\n", "host-repeated"},
      {"host: a.example\r\n", "host-repeated"},
      {"Host : a.example\r\n", "bad-field"},
      {"Proxy-Authorization: a\r\nProxy-Authorization: a\r\n", "bad-field"},
      {"Proxy-Authorization: a\r\n", "done"},
  };
  for (const auto& [lines, expected] : rows) {
    CAPTURE(lines);
    CHECK(refusal(get(lines)) == expected);
  }
}

TEST_CASE("Host") {
  struct row {
    std::string head;
    std::string expected;
  };
  const std::vector<row> rows = {
      {"GET http://h/ HTTP/1.1\r\n", "host-missing"},
      {"GET http://h/ HTTP/1.0\r\n", "done"},
      {"GET http://h/ HTTP/1.0\r\nHost: h\r\n", "done"},
      {"GET http://h/ HTTP/1.0\r\nHost: g\r\n", "host-mismatch"},
      {"GET http://h/ HTTP/1.0\r\nHost: h\r\nHost: h\r\n", "host-repeated"},
      {"GET http://h/ HTTP/1.1\r\nHost:\r\n", "host-missing"},
      {"GET http://h/ HTTP/1.1\r\nHost: \t \r\n", "host-missing"},
      {"GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: g\r\n", "host-repeated"},
      {"GET http://h/ HTTP/1.1\r\nHost: h, h\r\n", "bad-host"},
      {"GET http://h/ HTTP/1.1\r\nHost: g\r\n", "host-mismatch"},
      {"GET http://h/ HTTP/1.1\r\nHost: H.\r\n", "done"},
      {"GET http://h/ HTTP/1.1\r\nHost: h:80\r\n", "done"},
      {"GET http://h/ HTTP/1.1\r\nHost: h:\r\n", "bad-port"},
      {"GET http://h/ HTTP/1.1\r\nHost: h:81\r\n", "host-mismatch"},
      {"GET http://h:81/ HTTP/1.1\r\nHost: h\r\n", "host-mismatch"},
      {"GET http://h:81/ HTTP/1.1\r\nHost: h:81\r\n", "done"},
      {"GET http://h/ HTTP/1.1\r\nHost: u@h\r\n", "bad-host"},
      {"GET http://h/ HTTP/1.1\r\nHost: http://h\r\n", "bad-port"},
      {"GET http://h/ HTTP/1.1\r\nHost: h/\r\n", "bad-host"},
      {"GET http://h/ HTTP/1.1\r\nHost: h\xc3\xbc\r\n", "bad-character"},
      {"GET http://[::1]/ HTTP/1.1\r\nHost: [0:0::1]\r\n", "done"},
      {"GET http://[::1]/ HTTP/1.1\r\nHost: ::1\r\n", "bad-host"},
      {"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n", "done"},
      {"CONNECT h:8443 HTTP/1.1\r\nHost: h\r\n", "done"},
      {"CONNECT h:8443 HTTP/1.1\r\nHost: h:8443\r\n", "done"},
      {"CONNECT h:8443 HTTP/1.1\r\nHost: h:443\r\n", "host-mismatch"},
      {"CONNECT h:443 HTTP/1.1\r\nHost: g:443\r\n", "host-mismatch"},
      {"CONNECT h:443 HTTP/1.1\r\n", "host-missing"},
      {"CONNECT h:443 HTTP/1.0\r\n", "done"},
      {"CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: 1.2.3.4:443\r\n", "done"},
      {"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n", "done"},
  };
  for (const auto& [head, expected] : rows) {
    CAPTURE(head);
    CHECK(refusal(head + "\r\n") == expected);
  }
}

TEST_CASE("body framing") {
  struct row {
    std::string lines;
    std::string expected;
  };
  const std::vector<row> rows = {
      {"Content-Length: 0\r\n", "done"},
      {"Content-Length: 5\r\n", "done"},
      {"Content-Length:  5 \r\n", "done"},
      {"Content-Length: 999999999999999999\r\n", "done"},
      {"Content-Length: 1000000000000000000\r\n", "bad-content-length"},
      {"Content-Length: 18446744073709551617\r\n", "bad-content-length"},
      {"Content-Length:\r\n", "bad-content-length"},
      {"Content-Length: 05\r\n", "bad-content-length"},
      {"Content-Length: +5\r\n", "bad-content-length"},
      {"Content-Length: -5\r\n", "bad-content-length"},
      {"Content-Length: 0x5\r\n", "bad-content-length"},
      {"Content-Length: 5.0\r\n", "bad-content-length"},
      {"Content-Length: 5 5\r\n", "bad-content-length"},
      {"Content-Length: 5, 5\r\n", "bad-content-length"},
      {"Content-Length: 5,\r\n", "bad-content-length"},
      {"Content-Length: 5;x\r\n", "bad-content-length"},
      {"Content-Length: 5\r\nContent-Length: 5\r\n", "bad-content-length"},
      {"Content-Length: 5\r\ncontent-length: 6\r\n", "bad-content-length"},
      {"Content-Length : 5\r\n", "bad-field"},
      {"Transfer-Encoding: chunked\r\n", "done"},
      {"Transfer-Encoding: CHUNKED\r\n", "done"},
      {"Transfer-Encoding:\tchunked \r\n", "done"},
      {"Transfer-Encoding: xchunked\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunkedx\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: \"chunked\"\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunked;a=b\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunked,\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: ,chunked\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunked, chunked\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: gzip, chunked\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunked, identity\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: identity\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding:\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chun ked\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n", "bad-transfer-encoding"},
      {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "length-conflict"},
      {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "length-conflict"},
      {"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "length-conflict"},
      {"Transfer_Encoding: chunked\r\n", "done"},
  };
  for (const auto& [lines, expected] : rows) {
    CAPTURE(lines);
    CHECK(refusal("POST http://h/ HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n") == expected);
  }
  CHECK(refusal("POST http://h/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == "bad-transfer-encoding");
  CHECK(refusal("CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n") == "done");
  CHECK(refusal("CONNECT h:1 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n") == "connect-with-body");
  CHECK(refusal("CONNECT h:1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        "connect-with-body");
  wire::request_head head;
  REQUIRE(parse("PUT http://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1234567890123\r\n\r\n", head).status ==
          parse_status::done);
  CHECK(head.framing == body_framing::length);
  CHECK(head.content_length == 1234567890123U);
  REQUIRE(parse("PUT http://h/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", head).status ==
          parse_status::done);
  CHECK(head.framing == body_framing::chunked);
  CHECK(head.content_length == 0);
  REQUIRE(parse("PUT http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", head).status == parse_status::done);
  CHECK(head.framing == body_framing::none);
}

TEST_CASE("Max-Forwards is ours to count on OPTIONS alone") {
  wire::request_head head;
  const auto of = [&](const std::string& method, const std::string& lines) {
    return parse(method + " http://h/ HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n", head);
  };
  REQUIRE(of("OPTIONS", "Max-Forwards: 10\r\n").status == parse_status::done);
  CHECK(head.max_forwards == 10U);
  REQUIRE(of("OPTIONS", "Max-Forwards: 000\r\n").status == parse_status::done);
  CHECK(head.max_forwards == 0U);
  REQUIRE(of("OPTIONS", "Max-Forwards: 99999999999999999999999999\r\n").status == parse_status::done);
  CHECK(head.max_forwards == 1'000'000'000U);
  REQUIRE(of("OPTIONS", "").status == parse_status::done);
  CHECK_FALSE(head.max_forwards);
  REQUIRE(of("GET", "Max-Forwards: x\r\nMax-Forwards: 0\r\n").status == parse_status::done);
  CHECK_FALSE(head.max_forwards);
  for (const std::string lines : {"Max-Forwards:\r\n", "Max-Forwards: -1\r\n", "Max-Forwards: 1, 1\r\n",
                                  "Max-Forwards: 1\r\nmax-forwards: 1\r\n"}) {
    CAPTURE(lines);
    CHECK(of("OPTIONS", lines).code == "bad-field");
  }
}

TEST_CASE("persistence, expectation, upgrade") {
  wire::request_head head;
  const auto of = [&](const std::string& lines) {
    REQUIRE(parse(get(lines), head).status == parse_status::done);
    return std::ref(head);
  };
  CHECK(of("").get().keep_alive);
  CHECK_FALSE(of("Connection: close\r\n").get().keep_alive);
  CHECK_FALSE(of("Connection: keep-alive, Close\r\n").get().keep_alive);
  CHECK_FALSE(of("Connection: x\r\nConnection: close\r\n").get().keep_alive);
  REQUIRE(parse("GET http://h/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", head).status ==
          parse_status::done);
  CHECK_FALSE(head.keep_alive);

  CHECK(of("Expect: 100-continue\r\nContent-Length: 4\r\n").get().expect_continue);
  CHECK(of("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n").get().expect_continue);
  CHECK_FALSE(of("Expect: 100-continue\r\n").get().expect_continue);
  CHECK_FALSE(of("Expect: 100-continue\r\nContent-Length: 0\r\n").get().expect_continue);
  REQUIRE(parse("PUT http://h/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n", head).status ==
          parse_status::done);
  CHECK_FALSE(head.expect_continue);
  CHECK(refusal(get("Expect: 200-ok\r\n")) == "bad-expect");
  CHECK(refusal(get("Expect: 100-continue, x\r\n")) == "bad-expect");
  CHECK(refusal(get("Expect:\r\n")) == "bad-expect");

  CHECK(of("Upgrade: websocket\r\nConnection: Upgrade\r\n").get().upgrade_websocket);
  CHECK_FALSE(head.keep_alive);  // what follows may be meant for the other protocol
  CHECK(of("Upgrade: h2c\r\nConnection: Upgrade\r\n").get().keep_alive);
  CHECK(of("Upgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n").get().upgrade_websocket);
  CHECK_FALSE(of("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n")
                  .get()
                  .upgrade_websocket);
  CHECK_FALSE(of("Upgrade: TLS/1.2\r\n").get().upgrade_websocket);
  for (const auto* lines : {"Upgrade: websocket\r\n", "Upgrade: websocket\r\nConnection: close\r\n",
                            "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 1\r\n",
                            "Upgrade: websocket\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n",
                            "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: upgrade\r\n"}) {
    CAPTURE(lines);
    CHECK(refusal(get(lines)) == "bad-upgrade");
  }
  CHECK(refusal("POST http://h/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n") ==
        "bad-upgrade");
  CHECK(refusal("GET http://h/ HTTP/1.0\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n") ==
        "bad-upgrade");
  CHECK(refusal("CONNECT h:1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n") ==
        "bad-upgrade");
  CHECK(of("Authorization: NTLM TlRM\r\n").get().connection_auth);
  CHECK(of("Authorization: NTLM\tTlRM\r\n").get().connection_auth);
  CHECK(of("Authorization: negotiate\r\n").get().connection_auth);
  CHECK_FALSE(of("Authorization: Basic NTLM\r\n").get().connection_auth);
}

TEST_CASE("Connection nominates only what is for this hop") {
  CHECK(refusal(get("Connection: x-hop\r\nX-Hop: 1\r\n")) == "done");
  CHECK(refusal(get("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n")) == "done");
  CHECK(refusal(get("Connection: ,, close,\r\n")) == "done");
  for (const auto* name : {"host", "Content-Length", "Authorization", "cookie", "Cache-Control", "via",
                           "X-Forwarded-For", "Sec-WebSocket-Key", "If-None-Match", "Expect"}) {
    CAPTURE(name);
    CHECK(refusal(get("Connection: close, "s + name + "\r\n")) == "bad-field");
  }
  CHECK(refusal(get("Connection: a b\r\n")) == "bad-field");
  CHECK(refusal(get("Connection: \"close\"\r\n")) == "bad-field");
  std::string options = "a";
  for (int i = 0; i < 31; ++i) options += ",a";
  CHECK(refusal(get("Connection: " + options + "\r\n")) == "done");
  CHECK(refusal(get("Connection: " + options + ",a\r\n")) == "bad-field");
}

TEST_CASE("limits") {
  const auto head = get("");
  CHECK(refusal(head, {head.size(), 128}) == "done");
  CHECK(refusal(head, {head.size() - 1, 128}) == "head-too-large");
  CHECK(refusal(get("A: b\r\n"), {4096, 2}) == "done");
  CHECK(refusal(get("A: b\r\nC: d\r\n"), {4096, 2}) == "too-many-fields");
  std::string many;
  for (int i = 0; i < 127; ++i) many += "A: b\r\n";
  CHECK(refusal(get(many)) == "done");
  CHECK(refusal(get(many + "A: b\r\n"), {32768, 1000}) == "too-many-fields");
  CHECK(refusal("GET http://h/" + std::string(40000, 'a')) == "head-too-large");
}

TEST_CASE("a refused head still tells what was understood") {
  wire::request_head head;
  wire::request_parser parser;
  REQUIRE(parser.parse("GET / HTTP/1.1\r\nHost: 127.0.0.1:3128\r\nAccept: text/html\r\n\r\n", {}, head) ==
          parse_status::error);
  CHECK(head.method == "GET");
  CHECK(head.target == "/");
  CHECK(head.accept == "text/html");
  CHECK(parser.started());
}

TEST_CASE("each octet is judged the same wherever in a line it stands") {
  for (const auto kind : {wire::head_kind::request, wire::head_kind::response}) {
    for (int octet = 0; octet < 0x100; ++octet) {
      const auto c = static_cast<char>(octet);
      if (c == '\r' || c == '\n') continue;
      const bool text = c == '\t' || (octet >= 0x20 && octet != 0x7f);
      for (std::size_t at = 0; at < 24; ++at) {
        std::string filled(24, 'a');
        filled[at] = c;
        wire::head_scan fields(kind);
        const auto in_field = "GET http://a.example/ HTTP/1.1\r\nA: " + filled + "\r\n\r\n";
        REQUIRE((fields.feed(in_field, {}) == wire::parse_status::done) == text);
        if (kind == wire::head_kind::response || c == ' ') continue;
        wire::head_scan line(kind);
        const auto in_target = "GET http://a.example/" + filled + " HTTP/1.1\r\n\r\n";
        REQUIRE((line.feed(in_target, {}) == wire::parse_status::done) == (octet >= 0x20 && octet < 0x7f));
      }
    }
  }
}
