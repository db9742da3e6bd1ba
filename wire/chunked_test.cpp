#include "wire/chunked.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace exeat;
using kind = wire::chunk_step::kind;
using namespace std::string_literals;

namespace {

struct outcome {
  kind what = kind::need_more;
  std::string body;
  std::string trailers;
  std::string rest;  // behind the end
  friend bool operator==(const outcome&, const outcome&) = default;
};

// Feeds the octets in pieces, as a relay would.
outcome decode(const std::string& bytes, std::size_t piece, std::string* detail = nullptr) {
  wire::chunked_decoder decoder;
  outcome out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    const auto copy = bytes.substr(at, piece);
    std::string_view left = copy;
    while (true) {
      const auto step = decoder.next(left);
      REQUIRE(step.consumed <= left.size());
      out.body.append(step.data);
      left.remove_prefix(step.consumed);
      out.what = step.what;
      if (step.what == kind::data) continue;
      if (step.what == kind::need_more) {
        CHECK(left.empty());
        break;
      }
      if (step.what == kind::end) {
        out.trailers = decoder.trailers();
        out.rest = std::string(left) + (at + piece < bytes.size() ? bytes.substr(at + piece) : "");
      }
      if (detail != nullptr) *detail = decoder.detail();
      return out;
    }
  }
  return out;
}

// The same by gather().
outcome gather(const std::string& bytes, std::size_t piece) {
  wire::chunked_decoder decoder;
  outcome out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    auto copy = bytes.substr(at, piece);
    const auto got = decoder.gather(copy);
    REQUIRE(got.consumed <= copy.size());
    CHECK(got.then != kind::data);
    out.body.append(got.data);
    out.what = got.then;
    if (got.then == kind::need_more) {
      CHECK(got.consumed == copy.size());
      continue;
    }
    if (got.then == kind::end) {
      out.trailers = decoder.trailers();
      out.rest = copy.substr(got.consumed) + (at + piece < bytes.size() ? bytes.substr(at + piece) : "");
    }
    return out;
  }
  return out;
}

outcome judge(const std::string& bytes) {
  std::string detail;
  std::string detail_by_octet;
  const auto whole = decode(bytes, bytes.size() + 1, &detail);
  CHECK(decode(bytes, 1, &detail_by_octet) == whole);
  CHECK(detail == detail_by_octet);
  for (std::size_t piece = 2; piece < std::min<std::size_t>(bytes.size(), 40); ++piece) {
    CHECK(decode(bytes, piece) == whole);
    CHECK(gather(bytes, piece) == whole);
  }
  CHECK(gather(bytes, 1) == whole);
  CHECK(gather(bytes, bytes.size() + 1) == whole);
  if (whole.what == kind::error) CHECK_FALSE(detail.empty());
  return whole;
}

}  // namespace

TEST_CASE("sound chunked bodies") {
  struct row {
    std::string bytes;
    std::string body;
    std::string trailers;
    std::string rest;
  };
  const std::vector<row> rows = {
      {"0\r\n\r\n", "", "", ""},
      {"5\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
      {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /", "hello world", "", "GET /"},
      {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", ""},
      {"a\r\n0123456789\r\n000\r\n\r\n", "0123456789", "", ""},
      {"0000000000000005\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
      {"5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", "hello", "", ""},
      {"5;\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
      {"2\r\n\r\n\r\n0\r\n\r\n", "\r\n", "", ""},
      {"5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", "", ""},
      {"0\r\nX-Sum: 1\r\nY:2 \r\n\r\n", "", "X-Sum: 1\r\nY: 2\r\n", ""},
      {"0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: h\r\nSet-Cookie: a\r\nAuthorization: b\r\n"
       "Proxy-Status: c\r\nConnection: close\r\nCache-Control: d\r\nExeat-Decision: e\r\nTrailer: f\r\n"
       "Proxy-Authenticate: g\r\nWWW-Authenticate: h\r\nOk: yes\r\n\r\n",
       "", "Ok: yes\r\n", ""},
  };
  for (const auto& [bytes, body, trailers, rest] : rows) {
    CAPTURE(bytes);
    const auto got = judge(bytes);
    CHECK(got.what == kind::end);
    CHECK(got.body == body);
    CHECK(got.trailers == trailers);
    CHECK(got.rest == rest);
  }
}

TEST_CASE("trailers that the head nominates, or that change how a message is read, are dropped") {
  wire::chunked_decoder decoder("keep-alive,X-Hop,y");
  const std::string body = "0\r\nx-hop: 1\r\nX-Hops: 2\r\nY: 3\r\nhop: 4\r\n\r\n";
  CHECK(decoder.next(body).what == kind::end);
  CHECK(decoder.trailers() == "X-Hops: 2\r\nhop: 4\r\n");
  for (const std::string name :
       {"X-Forwarded-For", "Forwarded", "Origin", "X-HTTP-Method-Override", "Max-Forwards", "Accept-Encoding",
        "User-Agent", "Alt-Svc", "CDN-Loop", "X-Original-URL"}) {
    CAPTURE(name);
    CHECK(wire::is_forbidden_trailer(name));
  }
  for (const std::string name : {"ETag", "Server-Timing", "Digest", "X-Checksum", "Origins"}) {
    CAPTURE(name);
    CHECK_FALSE(wire::is_forbidden_trailer(name));
  }
}

TEST_CASE("bodies that more than one reader could read") {
  const std::vector<std::string> rows = {
      "\r\n",
      "\r\n5\r\nhello\r\n",
      ";a\r\n",
      " 5\r\nhello\r\n0\r\n\r\n",
      "5 \r\nhello\r\n0\r\n\r\n",
      "5\t\r\nhello\r\n0\r\n\r\n",
      "5 ;a\r\nhello\r\n0\r\n\r\n",
      "+5\r\nhello\r\n0\r\n\r\n",
      "-5\r\nhello\r\n0\r\n\r\n",
      "0x5\r\nhello\r\n0\r\n\r\n",
      "5h\r\nhello\r\n0\r\n\r\n",
      "5_0\r\nhello\r\n0\r\n\r\n",
      "00000000000000005\r\nhello\r\n0\r\n\r\n",
      "10000000000000005\r\nhello\r\n0\r\n\r\n",
      "ffffffffffffffff\r\nhello",
      "8000000000000000\r\nhello",
      "4000000000000000\r\nhello",
      "5\nhello\r\n0\r\n\r\n",
      "5\rhello\r\n0\r\n\r\n",
      "5\r\rhello\r\n",
      "5\r\nhello0\r\n\r\n",
      "5\r\nhello\n0\r\n\r\n",
      "5\r\nhello\r0\r\n\r\n",
      "5\r\nhello!\r\n0\r\n\r\n",
      "4\r\nhello\r\n0\r\n\r\n",
      "0\r\n\n",
      "0\n\r\n",
      "0\r\n\rX",
      "0\r\nA: b\n\r\n",
      "0\r\nA: b\rC: d\r\n\r\n",
      "0\r\n A: b\r\n\r\n",
      "0\r\nA: b\r\n c\r\n\r\n",
      "0\r\nA : b\r\n\r\n",
      "0\r\nA\r\n\r\n",
      "0\r\n: b\r\n\r\n",
      "0\r\nA: \0\r\n\r\n"s,
      "0\r\nA: \x7f\r\n\r\n",
      "5;a\nhello\r\n0\r\n\r\n",
      "5;a\rb\r\nhello\r\n0\r\n\r\n",
      "5;a\0\r\nhello\r\n0\r\n\r\n"s,
      "5;\x80\r\nhello\r\n0\r\n\r\n",
      "GET / HTTP/1.1\r\n",
  };
  for (const auto& bytes : rows) {
    CAPTURE(bytes);
    CHECK(judge(bytes).what == kind::error);
  }
  CHECK(judge("3fffffffffffffff\r\nhello").what == kind::need_more);
  CHECK(judge("5\r\nhel").body == "hel");
}

TEST_CASE("what surrounds the data is bounded") {
  const auto extension = [](std::size_t n) { return "1;" + std::string(n, 'x') + "\r\na\r\n"; };
  CHECK(judge(extension(255) + "0\r\n\r\n").what == kind::end);
  CHECK(judge(extension(256) + "0\r\n\r\n").what == kind::error);
  std::string many;
  for (int i = 0; i < 64; ++i) many += extension(255);
  CHECK(decode(many + "0\r\n\r\n", 100000).what == kind::end);
  CHECK(decode(many + extension(0) + "0\r\n\r\n", 100000).what == kind::error);
  CHECK(decode(many + extension(0) + "0\r\n\r\n", 1).what == kind::error);

  std::string trailers;
  for (int i = 0; i < 32; ++i) trailers += "A: b\r\n";
  CHECK(judge("0\r\n" + trailers + "\r\n").what == kind::end);
  CHECK(judge("0\r\n" + trailers + "A: b\r\n\r\n").what == kind::error);
  CHECK(decode("0\r\nA:" + std::string(8190, 'x') + "\r\n\r\n", 100000).what == kind::end);
  CHECK(decode("0\r\nA:" + std::string(8191, 'x') + "\r\n\r\n", 100000).what == kind::error);
  CHECK(decode("0\r\nA:" + std::string(8191, 'x') + "\r\n\r\n", 7).what == kind::error);
}

TEST_CASE("a relay may move data without looking") {
  wire::chunked_decoder decoder;
  CHECK(decoder.chunk_left() == 0);
  CHECK(decoder.next("ff\r\n").what == kind::need_more);
  CHECK(decoder.chunk_left() == 255);
  decoder.skip(200);
  CHECK(decoder.chunk_left() == 55);
  decoder.skip(55);
  CHECK(decoder.chunk_left() == 0);
  CHECK(decoder.next("\r\n0\r\n\r\n").what == kind::end);
  CHECK(decoder.next("x").what == kind::end);
  decoder.reset();
  CHECK(decoder.next("x").what == kind::error);
  CHECK(decoder.next("0\r\n\r\n").what == kind::error);
}

TEST_CASE("chunks are written so that they read back") {
  CHECK(wire::chunk_header(1).view() == "1\r\n");
  CHECK(wire::chunk_header(0x1f00).view() == "1f00\r\n");
  CHECK(wire::chunk_header(~std::uint64_t{0}).view() == "ffffffffffffffff\r\n");
  std::string out;
  for (const std::string_view part : {"hello", " ", "world"}) {
    out.append(wire::chunk_header(part.size()).view()).append(part).append(wire::chunk_end);
  }
  wire::append_last_chunk(out, "A: b\r\n");
  const auto got = judge(out);
  CHECK(got.what == kind::end);
  CHECK(got.body == "hello world");
  CHECK(got.trailers == "A: b\r\n");
}

TEST_CASE("chunks that are there together are gathered where the first one lies") {
  std::string many;
  std::string body;
  for (int i = 0; i < 5000; ++i) {
    many += "1;x\r\n"s + static_cast<char>('a' + i % 26) + "\r\n";
    body += static_cast<char>('a' + i % 26);
    if (i == 2000) {
      many += "400\r\n" + std::string(1024, 'L') + "\r\n";
      body.append(1024, 'L');
    }
  }
  many += "0\r\nX-Sum: 1\r\n\r\nGET";
  auto copy = many;
  wire::chunked_decoder decoder;
  const auto got = decoder.gather(copy);
  CHECK(got.then == kind::end);
  CHECK(got.data == body);
  CHECK(copy.substr(got.consumed) == "GET");
  CHECK(decoder.trailers() == "X-Sum: 1\r\n");
  CHECK(decoder.gather(copy).then == kind::end);
  // What is good before a fault is handed out with it: whoever relays has sent it by then.
  auto bad = "1\r\na\r\n1\r\nb\r\nnope"s;
  wire::chunked_decoder other;
  const auto before = other.gather(bad);
  CHECK(before.data == "ab");
  CHECK(before.then == kind::error);
  CHECK_FALSE(other.detail().empty());
}
