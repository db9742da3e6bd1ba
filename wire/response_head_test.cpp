#include "wire/response_head.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace exeat;
using wire::body_framing;
using wire::parse_status;

namespace {

struct outcome {
  parse_status status = parse_status::need_more;
  std::size_t size = 0;
  std::string detail;
  std::string framing;
  friend bool operator==(const outcome&, const outcome&) = default;
};

std::string name(const wire::response_head& head) {
  const std::string kept = head.keep_alive ? "" : " close";
  switch (head.framing) {
    case body_framing::none:
      return "none" + kept;
    case body_framing::length:
      return std::to_string(head.content_length) + kept;
    case body_framing::chunked:
      return "chunked" + kept;
    case body_framing::until_close:
      return "until-close" + kept;
  }
  return "?";
}

outcome of(const wire::response_parser& parser, parse_status status, const wire::response_head& head) {
  outcome out{status};
  if (status == parse_status::error) {
    out.detail = parser.error().detail;
    CHECK(parser.error().reason == core::reason::origin_not_http);
  }
  if (status == parse_status::done) {
    out.size = parser.size();
    out.framing = name(head);
  }
  return out;
}

outcome judge(const std::string& bytes, const wire::response_context& context, wire::response_head& head,
              const wire::head_limits& limits = {}) {
  wire::response_parser steps;
  outcome by_octet;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const std::vector<char> buffer(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    wire::response_head scratch;
    const auto status = steps.parse({buffer.data(), buffer.size()}, limits, context, scratch);
    by_octet = of(steps, status, scratch);
    if (status != parse_status::need_more) break;
  }
  wire::response_parser parser;
  const auto status = parser.parse(bytes, limits, context, head);
  const auto whole = of(parser, status, head);
  CHECK(whole == by_octet);
  return whole;
}

// "refused", "need-more", or the framing and whether the connection is kept.
std::string answer(const std::string& bytes, const wire::response_context& context = {},
                   const wire::head_limits& limits = {}) {
  wire::response_head head;
  const auto got = judge(bytes, context, head, limits);
  if (got.status == parse_status::need_more) return "need-more";
  if (got.status == parse_status::done) return got.framing;
  CHECK_FALSE(got.detail.empty());
  return "refused";
}

}  // namespace

TEST_CASE("an ordinary answer") {
  wire::response_head head;
  const std::string bytes =
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\nHello world!";
  const auto got = judge(bytes, {}, head);
  CHECK(got.status == parse_status::done);
  CHECK(got.size == bytes.size() - 12);
  CHECK(head.status == 200);
  CHECK(head.phrase == "OK");
  CHECK(head.framing == body_framing::length);
  CHECK(head.content_length == 12);
  CHECK(head.keep_alive);
  CHECK(head.fields.size() == 2);
}

TEST_CASE("status lines") {
  struct row {
    std::string line;
    std::string expected;
  };
  const std::vector<row> rows = {
      {"HTTP/1.1 200 OK", "until-close close"},
      {"HTTP/1.1 200 ", "until-close close"},
      {"HTTP/1.1 200", "until-close close"},
      {"HTTP/1.0 200 OK", "until-close close"},
      {"HTTP/1.1 599 \xc3\xbc\tx", "until-close close"},
      {"HTTP/1.1 404 Not  Found", "until-close close"},
      {"HTTP/1.1 099 X", "refused"},
      {"HTTP/1.1 600 X", "refused"},
      {"HTTP/1.1 20 OK", "refused"},
      {"HTTP/1.1 2000 OK", "refused"},
      {"HTTP/1.1 20x OK", "refused"},
      {"HTTP/1.1 +20 OK", "refused"},
      {"HTTP/1.1  200 OK", "refused"},
      {"HTTP/1.1\t200 OK", "refused"},
      {"HTTP/1.1 200\tOK", "refused"},
      {"HTTP/1.1 200OK", "refused"},
      {"HTTP/1.2 200 OK", "refused"},
      {"HTTP/2.0 200 OK", "refused"},
      {"HTTP/2 200", "refused"},
      {"HTTP/0.9 200 OK", "refused"},
      {"HTTP/1 200 OK", "refused"},
      {"http/1.1 200 OK", "refused"},
      {"ICY 200 OK", "refused"},
      {" HTTP/1.1 200 OK", "refused"},
      {"\r\nHTTP/1.1 200 OK", "refused"},
      {"", "refused"},
      {"SSH-2.0-OpenSSH_9.2", "refused"},
      {"220 mail.example ESMTP", "refused"},
      {"<html>", "refused"},
      {std::string("HTTP/1.1 200 O\0K", 16), "refused"},
      {"HTTP/1.1 200 O\x1bK", "refused"},
  };
  for (const auto& [line, expected] : rows) {
    CAPTURE(line);
    CHECK(answer(line + "\r\n\r\n") == expected);
  }
  CHECK(answer("S") == "refused");
  CHECK(answer("HTTP/1.") == "need-more");
  CHECK(answer("") == "need-more");
  CHECK(answer("HTTP/1.1 200 OK\n\n") == "refused");
  CHECK(answer("HTTP/1.1 200 OK\r\nA: b\n\r\n") == "refused");
  CHECK(answer("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n") == "refused");
  CHECK(answer("HTTP/1.1 200 OK\r\nA : b\r\n\r\n") == "refused");
  CHECK(answer("HTTP/1.1 200 OK\r\nA\r\n\r\n") == "refused");
  CHECK(answer("HTTP/1.1 200 OK\rA: b\r\n\r\n") == "refused");
}

TEST_CASE("the length of an answer (RFC 9112 6.3)") {
  struct row {
    std::string status;
    std::string lines;
    wire::response_context context;
    std::string expected;
  };
  const wire::response_context get{};
  const wire::response_context head{.head_request = true};
  const wire::response_context socket{.websocket_request = true};
  const wire::response_context tunnel{.connect_request = true};
  const std::vector<row> rows = {
      {"1.1 200", "Content-Length: 0\r\n", get, "0"},
      {"1.1 200", "Content-Length: 5\r\nConnection: close\r\n", get, "5 close"},
      {"1.1 200", "Transfer-Encoding: chunked\r\n", get, "chunked"},
      {"1.1 200", "Transfer-Encoding: Chunked\r\nConnection: Transfer-Encoding\r\n", get, "chunked"},
      {"1.0 200", "Content-Length: 5\r\n", get, "5 close"},
      {"1.0 200", "Content-Length: 5\r\nConnection: keep-alive\r\n", get, "5 close"},
      {"1.0 200", "Transfer-Encoding: chunked\r\n", get, "refused"},
      {"1.1 200", "", get, "until-close close"},
      {"1.1 500", "", get, "until-close close"},
      {"1.1 200", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", get, "refused"},
      {"1.1 200", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", head, "refused"},
      {"1.1 200", "Content-Length: 5\r\nContent-Length: 5\r\n", get, "refused"},
      {"1.1 200", "Content-Length: 5, 5\r\n", get, "refused"},
      {"1.1 200", "Content-Length: -5\r\n", get, "refused"},
      {"1.1 200", "Content-Length: 05\r\n", get, "refused"},
      {"1.1 200", "Content-Length:\r\n", get, "refused"},
      {"1.1 200", "Transfer-Encoding: gzip, chunked\r\n", get, "refused"},
      {"1.1 200", "Transfer-Encoding: chunked, chunked\r\n", get, "refused"},
      {"1.1 200", "Transfer-Encoding: xchunked\r\n", get, "refused"},
      {"1.1 200", "Transfer-Encoding: identity\r\n", get, "refused"},
      {"1.1 200", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", get, "refused"},
      {"1.1 200", "Content-Length: 5\r\n", head, "none"},
      {"1.1 200", "Transfer-Encoding: chunked\r\n", head, "none"},
      {"1.1 200", "", head, "none"},
      {"1.1 304", "Content-Length: 5\r\n", get, "none"},
      {"1.1 304", "", get, "none"},
      {"1.1 204", "", get, "none"},
      {"1.1 204", "Content-Length: 0\r\n", get, "none"},
      {"1.1 204", "Content-Length: 5\r\n", get, "refused"},
      {"1.1 204", "Transfer-Encoding: chunked\r\n", get, "refused"},
      {"1.1 205", "Content-Length: 0\r\n", get, "0"},
      {"1.1 100", "", get, "none"},
      {"1.1 103", "Link: </x>\r\n", get, "none"},
      {"1.1 102", "Content-Length: 5\r\n", get, "refused"},
      {"1.1 100", "Transfer-Encoding: chunked\r\n", get, "refused"},
      {"1.1 101", "Upgrade: websocket\r\nConnection: Upgrade\r\n", get, "refused"},
      {"1.1 101", "Upgrade: websocket\r\nConnection: Upgrade\r\n", socket, "none"},
      {"1.1 101", "Upgrade: WebSocket\r\nConnection: x, upgrade\r\n", socket, "none"},
      {"1.1 101", "Upgrade: h2c\r\nConnection: Upgrade\r\n", socket, "refused"},
      {"1.1 101", "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n", socket, "refused"},
      {"1.1 101", "Upgrade: websocket\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", socket, "refused"},
      {"1.1 101", "Upgrade: websocket\r\n", socket, "refused"},
      {"1.1 101", "Connection: Upgrade\r\n", socket, "refused"},
      {"1.1 200", "Content-Length: 5\r\n", socket, "5"},
      {"1.1 200", "", tunnel, "none"},
      {"1.0 200", "", tunnel, "none close"},
      {"1.1 200", "Content-Length: 0\r\n", tunnel, "none"},
      {"1.1 200", "Content-Length: 5\r\n", tunnel, "none"},
      {"1.1 200", "Transfer-Encoding: chunked\r\n", tunnel, "none"},
      {"1.1 403", "Content-Length: 5\r\n", tunnel, "5"},
      {"1.1 407", "Content-Length: 5\r\n", tunnel, "5"},
  };
  for (const auto& [status, lines, context, expected] : rows) {
    CAPTURE(status);
    CAPTURE(lines);
    CHECK(answer("HTTP/" + status + " X\r\n" + lines + "\r\n", context) == expected);
  }
}

TEST_CASE("an answer to a CONNECT that nobody sent") {
  CHECK(answer("HTTP/1.1 200 Connection established\r\n\r\n") == "refused");
  CHECK(answer("HTTP/1.0 200 Connection Established\r\nProxy-Agent: x\r\n\r\n") == "refused");
  CHECK(answer("HTTP/1.1 200 Connection established\r\nContent-Length: 0\r\n\r\n") == "0");
  CHECK(answer("HTTP/1.1 200 Connection establishe\r\n\r\n") == "until-close close");
  CHECK(answer("HTTP/1.1 200 Connection established\r\n\r\n", {.connect_request = true}) == "none");
}

TEST_CASE("a switch of protocols is HTTP/1.1") {
  const std::string lines = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
  CHECK(answer("HTTP/1.1 101 X\r\n" + lines, {.websocket_request = true}) != "refused");
  CHECK(answer("HTTP/1.0 101 X\r\n" + lines, {.websocket_request = true}) == "refused");
}

TEST_CASE("what the caller must know of an answer") {
  wire::response_head head;
  const auto of = [&](const std::string& bytes) -> const wire::response_head& {
    REQUIRE(judge(bytes, {}, head).status == parse_status::done);
    return head;
  };
  CHECK(of("HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n").is_proxy_challenge());
  CHECK(of("HTTP/1.1 100 X\r\n\r\n").is_interim());
  CHECK(of("HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm=\"x\", NTLM\r\nContent-Length: 0\r\n\r\n")
            .connection_auth);
  CHECK(
      of("HTTP/1.1 401 X\r\nWWW-Authenticate: Negotiate abc==\r\nContent-Length: 0\r\n\r\n").connection_auth);
  CHECK_FALSE(of("HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm=\"NTLM\"\r\nContent-Length: 0\r\n\r\n")
                  .connection_auth);
}

TEST_CASE("limits of an answer's head") {
  const std::string bytes = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n";
  CHECK(answer(bytes, {}, {bytes.size(), 2}) == "until-close close");
  CHECK(answer(bytes, {}, {bytes.size() - 1, 2}) == "refused");
  CHECK(answer(bytes, {}, {bytes.size(), 1}) == "refused");
}
