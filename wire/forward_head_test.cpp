#include "wire/forward_head.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace exeat;
using wire::parse_status;

namespace {

std::string request(const std::string& bytes, const wire::request_options& options = {}) {
  wire::request_parser parser;
  wire::request_head head;
  if (parser.parse(bytes, {}, head) != parse_status::done) {
    return std::string(core::code_of(parser.error().reason));
  }
  std::string out = "from before";
  wire::write_request_head(head, options, out);
  return out;
}

std::string get(const std::string& lines, const wire::request_options& options = {}) {
  return request("GET http://a.example/x HTTP/1.1\r\nHost: a.example\r\n" + lines + "\r\n", options);
}

// What came of the lines of such a GET.
std::string forwarded(const std::string& lines, const wire::request_options& options = {}) {
  const auto out = get(lines, options);
  const std::string start = "GET /x HTTP/1.1\r\nHost: a.example\r\n";
  REQUIRE(out.starts_with(start));
  REQUIRE(out.ends_with("\r\n"));
  return out.substr(start.size(), out.size() - start.size() - 2);
}

std::string response(const std::string& bytes, const wire::response_options& options = {},
                     const wire::response_context& context = {}) {
  wire::response_parser parser;
  wire::response_head head;
  if (parser.parse(bytes, {}, context, head) != parse_status::done) return "refused";
  std::string out = "from before";
  wire::write_response_head(head, options, out);
  return out;
}

}  // namespace

TEST_CASE("a request goes on in origin form") {
  CHECK(request("GET http://A.example./a?b HTTP/1.1\r\nhost: a.EXAMPLE:80\r\nAccept:*/*\r\n\r\n") ==
        "GET /a?b HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n");
  CHECK(request("GET http://h:8080 HTTP/1.0\r\n\r\n") == "GET / HTTP/1.1\r\nHost: h:8080\r\n\r\n");
  CHECK(request("GET http://h?q HTTP/1.0\r\n\r\n") == "GET /?q HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(request("GET http://[::1]:81/ HTTP/1.0\r\n\r\n") == "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n");
  CHECK(request("GET http://1.2.3.4:080/ HTTP/1.0\r\n\r\n") == "GET / HTTP/1.1\r\nHost: 1.2.3.4\r\n\r\n");
  CHECK(request("OPTIONS http://h HTTP/1.0\r\n\r\n") == "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(request("OPTIONS http://h/ HTTP/1.0\r\n\r\n") == "OPTIONS / HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(request("OPTIONS http://h?a HTTP/1.0\r\n\r\n") == "OPTIONS /?a HTTP/1.1\r\nHost: h\r\n\r\n");
}

TEST_CASE("Exeat-* is ours, whatever stands behind the hyphen") {
  CHECK(forwarded("Exeat-: 1\r\neXeat-Decision: 2\r\nExeat: 3\r\n") == "Exeat: 3\r\n");
}

TEST_CASE("Max-Forwards of OPTIONS is counted down, in its place") {
  const std::string lines = "A: 1\r\nmax-forwards: 5\r\nB: 2\r\n";
  CHECK(request("OPTIONS http://h/ HTTP/1.0\r\n" + lines + "\r\n") ==
        "OPTIONS / HTTP/1.1\r\nHost: h\r\nA: 1\r\nmax-forwards: 4\r\nB: 2\r\n\r\n");
  CHECK(forwarded(lines) == lines);
}

TEST_CASE("a request goes on in absolute form to a next proxy") {
  wire::request_options options;
  options.absolute_authority = "10.0.0.1:80";
  options.extra_lines = "Proxy-Authorization: Basic eA==\r\n";
  CHECK(request("GET http://h/a HTTP/1.0\r\n\r\n", options) ==
        "GET http://10.0.0.1:80/a HTTP/1.1\r\nHost: h\r\nProxy-Authorization: Basic eA==\r\n\r\n");
  options.extra_lines = {};
  CHECK(request("OPTIONS http://h HTTP/1.0\r\n\r\n", options) ==
        "OPTIONS http://10.0.0.1:80 HTTP/1.1\r\nHost: h\r\n\r\n");
}

TEST_CASE("fields of this hop stay here") {
  CHECK(forwarded("Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nproxy-x: 1\r\n"
                  "Proxy: http://evil\r\nProxyless: 2\r\n") == "Proxyless: 2\r\n");
  CHECK(forwarded("Connection: keep-alive, X-Hop\r\nX-HOP: 1\r\nKeep-Alive: 5\r\nA: b\r\nx-hop: 2\r\n") ==
        "A: b\r\n");
  CHECK(forwarded("Connection: X-One\r\nConnection: X-Two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n") ==
        "X-Three: 3\r\n");
  CHECK(forwarded("TE: trailers\r\nConnection: TE\r\n").empty());
  CHECK(forwarded("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n").empty());
  CHECK(forwarded("HTTP2-Settings: AA\r\nUpgrade: foo/2\r\n").empty());
  CHECK(forwarded("Exeat-Decision: 1\r\n").empty());
  CHECK(forwarded("Trailer: X\r\n").empty());
  CHECK(forwarded("Authorization: Bearer x\r\nCookie: a=b\r\nVia: 1.1 other\r\n") ==
        "Authorization: Bearer x\r\nCookie: a=b\r\nVia: 1.1 other\r\n");
}

TEST_CASE("framing is written anew") {
  CHECK(forwarded("Content-Length:   5\r\n") == "Content-Length: 5\r\n");
  CHECK(forwarded("CONTENT-LENGTH: 0\r\n") == "Content-Length: 0\r\n");
  CHECK(forwarded("Transfer-Encoding: CHUNKED\r\nTrailer: X\r\n") ==
        "Trailer: X\r\nTransfer-Encoding: chunked\r\n");
  CHECK(forwarded("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n") ==
        "Transfer-Encoding: chunked\r\n");
  CHECK(forwarded("Content-Length: 5\r\nExpect: 100-Continue\r\n") ==
        "Content-Length: 5\r\nExpect: 100-continue\r\n");
  CHECK(forwarded("Content-Length: 5\r\nExpect: 100-continue\r\n", {.expect = false}) ==
        "Content-Length: 5\r\n");
  CHECK(forwarded("Expect: 100-continue\r\n").empty());
}

TEST_CASE("options of a forwarded request") {
  CHECK(forwarded("Via: 1.0 a\r\n", {.via = "exeat"}) == "Via: 1.0 a\r\nVia: 1.1 exeat\r\n");
  CHECK(forwarded("", {.close = true}) == "Connection: close\r\n");
  CHECK(forwarded("Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: k\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: p\r\nOrigin: http://o\r\n",
                  {.close = true}) ==
        "Sec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: p\r\n"
        "Origin: http://o\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
}

TEST_CASE("an answer goes on in the client's framing") {
  CHECK(response("HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 5\r\n\r\n") ==
        "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 5\r\n\r\n");
  CHECK(response("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n") ==
        "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n");
  CHECK(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n") ==
        "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
                 {.client_minor = 0}) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  CHECK(response("HTTP/1.0 200 OK\r\n\r\n") == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(response("HTTP/1.1 200 OK\r\n\r\n", {.client_minor = 0}) ==
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
  CHECK(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", {.close = true}) ==
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
  CHECK(response("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", {}, {.head_request = true}) ==
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  CHECK(response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {}, {.head_request = true}) ==
        "HTTP/1.1 200 OK\r\n\r\n");
  CHECK(response("HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n") ==
        "HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n");
  CHECK(response("HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n") == "HTTP/1.1 204 X\r\n\r\n");
  CHECK(response("HTTP/1.1 100 Continue\r\nA: b\r\n\r\n", {.close = true}) ==
        "HTTP/1.1 100 Continue\r\nA: b\r\n\r\n");
  CHECK(response(
            "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: k\r\n\r\n",
            {}, {.websocket_request = true}) ==
        "HTTP/1.1 101 X\r\nSec-WebSocket-Accept: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

TEST_CASE("fields of the origin's hop stay there") {
  CHECK(response("HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
                 "Proxy-Authenticate: Basic\r\nProxy-Status: forged\r\nProxy-Connection: close\r\n"
                 "Exeat-Decision: forged\r\nUpgrade: h2,h2c\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
                 "Content-Length: 0\r\n\r\n",
                 {.via = "exeat", .extra_lines = "Exeat-Decision: ours\r\n"}) ==
        "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nVia: 1.1 exeat\r\nContent-Length: 0\r\n"
        "Exeat-Decision: ours\r\n\r\n");
  // Removing these on an origin's word would change what the answer means to the client and to caches.
  CHECK(response("HTTP/1.1 200 OK\r\nConnection: Cache-Control, Set-Cookie, Content-Type\r\n"
                 "Cache-Control: private\r\nSet-Cookie: a\r\nContent-Type: b\r\nContent-Length: 0\r\n\r\n") ==
        "HTTP/1.1 200 OK\r\nCache-Control: private\r\nSet-Cookie: a\r\nContent-Type: b\r\n"
        "Content-Length: 0\r\n\r\n");
}

TEST_CASE("Via tells a loop") {
  wire::request_parser parser;
  wire::request_head head;
  REQUIRE(parser.parse(
              "GET http://h/ HTTP/1.0\r\nVia: 1.0 a, 1.1 Exeat-7 (x)\r\nVia: b\r\nVia: HTTP/1.1\tc\r\n\r\n",
              {}, head) == parse_status::done);
  CHECK(wire::via_names(head.fields, "exeat-7"));
  CHECK(wire::via_names(head.fields, "a"));
  CHECK(wire::via_names(head.fields, "c"));
  CHECK_FALSE(wire::via_names(head.fields, "b"));
  CHECK_FALSE(wire::via_names(head.fields, "1.1"));
  CHECK_FALSE(wire::via_names(head.fields, ""));
}
