#include "tests/fuzz/session/words.hpp"

#include <string_view>

#include "tests/fuzz/session/judge.hpp"
#include "wire/hello_bytes.hpp"

namespace exeat::fuzz {
namespace {

namespace hb = wire::hello_bytes;

std::string hello(std::string_view name, std::size_t chunk = 16384) {
  const auto octets =
      hb::records(hb::message(hb::operator+(hb::server_name(name), hb::versions({0x0304}))), chunk);
  return {octets.begin(), octets.end()};
}

std::string hello_with_ech(std::string_view name) {
  const auto octets =
      hb::records(hb::message(hb::operator+(hb::server_name(name), hb::extension(0xfe0d, hb::bytes(20)))));
  return {octets.begin(), octets.end()};
}

std::string connect(std::string_view to, std::string_view more = {}) {
  std::string out = "CONNECT ";
  out.append(to).append(" HTTP/1.1\r\nHost: ").append(to).append("\r\n").append(more).append("\r\n");
  return out;
}

std::string request(std::string_view method, std::string_view authority, std::string_view path,
                    std::string_view more = {}, std::string_view body = {}) {
  std::string out(method);
  out.append(" http://").append(authority).append(path).append(" HTTP/1.1\r\nHost: ").append(authority);
  return out.append("\r\n").append(more).append("\r\n").append(body);
}

constexpr std::string_view of_websocket =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n";

}  // namespace

const std::vector<std::string>& words_of_clients() {
  static const std::vector<std::string> words{
      /* 0 */ request("GET", "web.test:18080", "/a?b"),
      /* 1 */ request("GET", "no.test:18080", "/"),
      /* 2 */ request("GET", "set.test:18080", "/"),
      /* 3 */ request("POST", "web.test:18080", "/", "Content-Length: 10\r\n", "hello"),
      /* 4 */ "world",
      /* 5 */ request("POST", "web.test:18080", "/", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"),
      /* 6 */ "6;x=y\r\n world\r\n",
      /* 7 */ "0\r\n\r\n",
      /* 8 */ "0\r\nX-Sum: 1\r\n\r\n",
      /* 9 */ request("GET", "web.test:18080", "/ws", of_websocket),
      /* 10 */ connect("tls.test:18443"),
      /* 11 */ connect("raw.test:18022"),
      /* 12 */ connect("bud.test:18080"),
      /* 13 */ connect("no.test:18080"),
      /* 14 */ connect("169.254.169.254:80"),
      /* 15 */ hello("tls.test"),
      /* 16 */ hello("no.test"),
      /* 17 */ hello("tls.test", 40),
      /* 18 */ hello("tls.test").substr(0, 60),
      /* 19 */ hello("tls.test").substr(60),
      /* 20 */ hello_with_ech("tls.test"),
      /* 21 */ request("HEAD", "web.test:18080", "/"),
      /* 22 */ request("PUT", "bud.test:18080", "/", "Content-Length: 2600\r\nExpect: 100-continue\r\n"),
      /* 23 */ request("GET", "a.many.test:18080", "/"),
      /* 24 */ request("GET", "b.many.test:18080", "/"),
      /* 25 */ request("GET", "c.many.test:18080", "/"),
      /* 26 */ request("GET", "meth.test:18080", "/ok/x"),
      /* 27 */ request("POST", "meth.test:18080", "/ok/x", "Content-Length: 1\r\n", "x"),
      /* 28 */ request("GET", "meth.test:18080", "/ok/../x"),
      /* 29 */ request("GET", "dead.test:18080", "/"),
      /* 30 */ connect("hole.test:18080"),
      /* 31 */ request("GET", "web.test:18080", "/", "Authorization: NTLM TlRMTVNTUAAB\r\n"),
      /* 32 */ "GET http://web.test:18080/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      /* 33 */
      request("GET", "web.test:18080", "/",
              "Connection: close, X-Hop\r\nX-Hop: 1\r\nProxy-Foo: 2\r\nTE: trailers\r\n"),
      /* 34 */ request("OPTIONS", "web.test:18080", ""),
      /* 35 */ request("GET", "bud.test:18080", "/"),
      /* 36 */ connect("tls.test:18443", "Proxy-Authorization: Basic YWdlbnQ6dA==\r\n"),  // agent:t
                                                                                          /* 37 */
      request("GET", "web.test:18080", "/",
              "Proxy-Authorization: Basic ai1hYWFhYWFhYWFhYWE6dQ==\r\n"),  // a job's
      /* 38 */ request("GET", "web.test:18080", "/", "Proxy-Authorization: Basic eDp5\r\n"),
      /* 39 */ "PROXY TCP4 192.0.2.9 192.0.2.1 40000 3128\r\n",
      /* 40 */
      "POST http://web.test:18080/ HTTP/1.1\r\nHost: web.test:18080\r\nContent-Length: "
      "3\r\nTransfer-Encoding: chunked\r\n\r\n",
      /* 41 */ "GET http://web.test:18080/ HTTP/1.1\r\nHost: no.test:18080\r\n\r\n",
      /* 42 */ "GET / HTTP/1.1\r\nHost: web.test:18080\r\n\r\n",
      /* 43 */ "\r\n",
      /* 44 */ "SSH-2.0-x\r\n",
      /* 45 */ connect("tls.test:18443", "Connection: close\r\n") + hello("tls.test"),
      /* 46 */ request("GET", "web.test:18080", "/a") + request("GET", "web.test:18080", "/b"),
      /* 47 */ "xyz\r\nhello\r\n",
      /* 48 */ request("GET", "web.test:18080", "/-/probe"),
      /* 49 */ "GET /-/probe HTTP/1.1\r\nHost: x\r\n\r\n",
      /* 50 */ connect("web.test:18080"),
      /* 51 */ connect("127.77.0.1:18080"),
      /* 52 */ connect("hop.test:13128"),
      /* 53 */ connect("sly.test:13128"),
      /* 54 */ connect("hop2.test:13128"),
      /* 55 */ request("GET", "hop.test:13128", "/"),
      /* 56 */ request("GET", "elsewhere.test:18080", "/"),
      /* 57 */ request("GET", "web.test:18080", "/", "Max-Forwards: 0\r\n"),
      /* 58 */ connect("web.test:9999"),
      /* 59 */ connect("dead.test:18080"),
  };
  return words;
}

const std::vector<std::string>& words_of_origins() {
  static const std::vector<std::string> words{
      /* 0 */ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      /* 1 */ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      /* 2 */ "5\r\nhello\r\n",
      /* 3 */ "0\r\n\r\n",
      /* 4 */ "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
      /* 5 */
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
      /* 6 */ "HTTP/1.1 100 Continue\r\n\r\n",
      /* 7 */ "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
      /* 8 */ "HTTP/1.1 204 No Content\r\n\r\n",
      /* 9 */ "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
      /* 10 */ "HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
      /* 11 */ "HTTP/1.1 401 x\r\nWWW-Authenticate: NTLM TlRM\r\nContent-Length: 0\r\n\r\n",
      /* 12 */ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
      /* 13 */ "HTTP/1.1 200 O",
      /* 14 */ "K\r\nContent-Length: 100000\r\n\r\n",
      /* 15 */ "SSH-2.0-y\r\n",
      /* 16 */ "HTTP/1.0 200 OK\r\n\r\nx",
      /* 17 */ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      /* 18 */ "0\r\nX-Sum: 1\r\nContent-Length: 4\r\n\r\n",
      /* 19 */ "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n",
      /* 20 */
      "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nSet-Cookie: a=b\r\nConnection: "
      "X-Hop\r\nX-Hop: 1\r\n\r\n",
      /* 21 */ "\x16\x03\x03\x00\x04",
      /* 22 */ std::string(3, filler),
      /* 23 */ "HTTP/1.1 200 Connection established\r\n\r\n",
      /* 24 */ "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad",
      /* 25 */ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n",
      /* 26 */ "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      /* 27 */ "HTTP/1.1 200 x\r\n\r\nSSH-2.0-y\r\n",
      /* 28 */ "HTTP/1.1 403 Forbidden\r\nProxy-Connection: close\r\nContent-Length: 0\r\n\r\n",
  };
  return words;
}

}  // namespace exeat::fuzz
