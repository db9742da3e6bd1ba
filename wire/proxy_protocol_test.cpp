#include "wire/proxy_protocol.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace exeat;
using wire::parse_status;

namespace {

struct outcome {
  parse_status status = parse_status::need_more;
  std::size_t taken = 0;
  wire::proxy_header header;
  std::string detail;
  friend bool operator==(const outcome&, const outcome&) = default;
};

outcome parse(std::string_view text, std::size_t piece) {
  wire::proxy_header_parser parser;
  outcome out;
  const std::vector<std::uint8_t> octets(text.begin(), text.end());
  const std::span<const std::uint8_t> all(octets);
  for (std::size_t at = 0; at < all.size() && out.status == parse_status::need_more; at += piece) {
    const auto step = parser.feed(all.subspan(at, std::min(piece, all.size() - at)));
    out.status = step.status;
    out.taken += step.taken;
  }
  if (out.status == parse_status::done) out.header = parser.header();
  if (out.status == parse_status::error) {
    CHECK(parser.error().reason == core::reason::bad_proxy_protocol);
    out.detail = parser.error().detail;
  }
  return out;
}

// The same however it is cut, and whatever follows.
outcome parse(std::string_view text) {
  const auto whole = parse(text, text.size() + 1);
  for (std::size_t piece = 1; piece < text.size() && piece < 40; ++piece) CHECK(parse(text, piece) == whole);
  if (whole.status == parse_status::done) {
    CHECK(whole.taken == text.size());
    CHECK(parse(std::string(text) + "\r\nmore", 7) == whole);
  }
  return whole;
}

std::string fault_of(std::string_view text) {
  const auto out = parse(text);
  CHECK(out.status == parse_status::error);
  return out.detail;
}

wire::proxied_end end(std::string_view address, std::uint16_t port) {
  return {core::ip_address::parse(address).value(), port};
}

std::string two(std::size_t number) {
  return {static_cast<char>(number >> 8), static_cast<char>(number & 0xFF)};
}

std::string v2(unsigned command, unsigned family, std::string_view block) {
  std::string out("\r\n\r\n\0\r\nQUIT\n", 12);
  out += static_cast<char>(command);
  out += static_cast<char>(family);
  return out.append(two(block.size())).append(block);
}

std::string tlv(unsigned type, std::string_view value) {
  return static_cast<char>(type) + two(value.size()).append(value);
}

const std::string ends4("\x0a\x00\x00\x01\xc0\x00\x02\x07\x30\x39\x01\xbb", 12);

// With the sum where `crc` stands.
std::string with_sum(std::string header) {
  const auto at = header.find(tlv(3, std::string(4, '\0'))) + 3;
  const auto sum = wire::crc32c({reinterpret_cast<const std::uint8_t*>(header.data()), header.size()});
  for (std::size_t i = 0; i < 4; ++i) header[at + i] = static_cast<char>(sum >> (24 - 8 * i));
  return header;
}

}  // namespace

TEST_CASE("version 1: addresses of both families") {
  const auto four = parse("PROXY TCP4 10.0.0.1 192.0.2.7 12345 443\r\n");
  REQUIRE(four.status == parse_status::done);
  CHECK(four.header.version == 1);
  CHECK_FALSE(four.header.local);
  CHECK(four.header.source == end("10.0.0.1", 12345));
  CHECK(four.header.destination == end("192.0.2.7", 443));
  const auto six = parse("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n");
  REQUIRE(six.status == parse_status::done);
  CHECK(six.header.source == end("2001:db8::1", 0));
  CHECK(six.header.destination == end("::1", 65535));
}

TEST_CASE("version 1: an unknown source, whatever stands behind it") {
  for (const auto* text :
       {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f...f 1 2\r\n", "PROXY UNKNOWN \x01\xff\r\n"}) {
    const auto out = parse(text);
    CHECK(out.status == parse_status::done);
    CHECK_FALSE(out.header.source);
    CHECK_FALSE(out.header.local);
  }
}

TEST_CASE("version 1: what is refused") {
  for (const auto* text :
       {"PROXY TCP4 10.0.0.1 192.0.2.7 12345 443 \r\n", "PROXY TCP4 10.0.0.1 192.0.2.7 12345\r\n",
        "PROXY TCP4 10.0.0.1 192.0.2.7 012345 443\r\n", "PROXY TCP4 10.0.0.1 192.0.2.7 00 443\r\n",
        "PROXY TCP4 10.0.0.1 192.0.2.7 65536 443\r\n", "PROXY TCP4 10.0.0.1 192.0.2.7 -1 443\r\n",
        "PROXY TCP4 10.0.0.1 192.0.2.7 1 443 9\r\n"})
    CHECK(fault_of(text) == "the PROXY header does not end in two ports");
  for (const auto* text :
       {"PROXY TCP4 10.0.0.01 192.0.2.7 1 2\r\n", "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 10.0.0.1 ::1 1 2\r\n", "PROXY TCP4 a.example 10.0.0.1 1 2\r\n", "PROXY TCP4\r\n",
        "PROXY TCP4  10.0.0.1 192.0.2.7 12345 443\r\n", "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n"})
    CHECK(!fault_of(text).empty());
  for (const auto* text : {"PROXY \r\n", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
                           "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY UNKNOWNX\r\n"})
    CHECK(fault_of(text) == "the PROXY header is of no known family");
  for (const auto* text : {"PROXY UNKNOWN\n", "PROXY UNKNOWN\rx", "PROXY UNKNOWN\r\r\n"})
    CHECK(fault_of(text) == "the line of the PROXY header does not end in CR LF");
  for (const auto* text :
       {"GET / HTTP/1.1\r\n", "proxy TCP4", "PROXY\tTCP4", "\x16\x03\x01", "\r\n\r\n\r\n", "PRI * "})
    CHECK(fault_of(text) == "the connection does not begin with a PROXY header");
}

TEST_CASE("version 1: a line has at most 107 octets") {
  std::string line = "PROXY UNKNOWN ";
  line.append(wire::proxy_header_parser::max_v1 - 2 - line.size(), 'x');
  CHECK(parse(line + "\r\n").status == parse_status::done);
  CHECK(fault_of(line + "x\r\n") == "the line of the PROXY header is over 107 octets");
  CHECK(parse(line, 1).status == parse_status::need_more);
}

TEST_CASE("version 2: families and commands") {
  const auto four = parse(v2(0x21, 0x11, ends4));
  REQUIRE(four.status == parse_status::done);
  CHECK(four.header.version == 2);
  CHECK(four.header.source == end("10.0.0.1", 12345));
  CHECK(four.header.destination == end("192.0.2.7", 443));
  std::string ends6(32, '\0');
  ends6[0] = 0x20;
  ends6[15] = 1;
  ends6[31] = 2;
  const auto six = parse(v2(0x21, 0x21, ends6 + "\x01\x02\x03\x04"));
  REQUIRE(six.status == parse_status::done);
  CHECK(six.header.source == end("2000::1", 258));
  CHECK(six.header.destination == end("::2", 772));
  for (const auto& text : {v2(0x21, 0x31, std::string(216, 'a')), v2(0x21, 0x00, ""),
                           v2(0x21, 0x00, "anything"), v2(0x21, 0x10, "anything")}) {
    const auto out = parse(text);
    CHECK(out.status == parse_status::done);
    CHECK_FALSE(out.header.source);
    CHECK_FALSE(out.header.local);
  }
  for (const auto& text : {v2(0x20, 0x00, ""), v2(0x20, 0x11, ends4), v2(0x20, 0xFF, "junk")}) {
    const auto out = parse(text);
    CHECK(out.status == parse_status::done);
    CHECK(out.header.local);
    CHECK_FALSE(out.header.source);
  }
}

TEST_CASE("version 2: what is refused") {
  CHECK(fault_of(v2(0x11, 0x11, ends4)) == "the PROXY header is of no known version");
  CHECK(fault_of(v2(0x31, 0x11, ends4)) == "the PROXY header is of no known version");
  CHECK(fault_of(v2(0x22, 0x11, ends4)) == "the PROXY header has an unknown command");
  CHECK(fault_of(v2(0x21, 0x41, ends4)) == "the PROXY header is of no known family");
  CHECK(fault_of(v2(0x21, 0x13, ends4)) == "the PROXY header is of no known family");
  CHECK(fault_of(v2(0x21, 0x12, ends4)) == "the PROXY header speaks of datagrams");
  for (const auto& text : {v2(0x21, 0x11, ""), v2(0x21, 0x11, ends4.substr(1)),
                           v2(0x21, 0x21, std::string(35, 'a')), v2(0x21, 0x31, std::string(215, 'a'))})
    CHECK(fault_of(text) == "the PROXY header is too short for its addresses");
}

TEST_CASE("version 2: the length has a bound") {
  const auto filled = [](std::size_t total) {
    return v2(0x21, 0x11, ends4 + tlv(4, std::string(total - ends4.size() - 3, 'x')));
  };
  CHECK(parse(filled(512)).status == parse_status::done);
  CHECK(fault_of(filled(513)) == "the length in the PROXY header is over 512 octets");
  CHECK(fault_of(v2(0x20, 0, std::string(513, 'x'))) == "the length in the PROXY header is over 512 octets");
}

TEST_CASE("version 2: TLVs") {
  CHECK(parse(v2(0x21, 0x11, ends4 + tlv(2, "a.example") + tlv(0x20, "") + tlv(4, "xx"))).header.source ==
        end("10.0.0.1", 12345));
  constexpr auto cut_short = "the TLVs of the PROXY header do not add up to its length";
  CHECK(fault_of(v2(0x21, 0x11, ends4 + "\x04")) == cut_short);
  CHECK(fault_of(v2(0x21, 0x11, ends4 + tlv(4, "abc").substr(0, 5))) == cut_short);
  CHECK(fault_of(v2(0x21, 0x11, ends4 + tlv(4, "abc") + "\x04" + std::string(1, '\0'))) == cut_short);
}

TEST_CASE("version 2: a checksum is checked where there is one") {
  const std::string check = "123456789";
  CHECK(wire::crc32c({reinterpret_cast<const std::uint8_t*>(check.data()), check.size()}) == 0xE3069283);
  const std::string none(4, '\0');
  const auto good = with_sum(v2(0x21, 0x11, ends4 + tlv(4, "x") + tlv(3, none) + tlv(2, "a")));
  CHECK(parse(good).status == parse_status::done);
  for (const std::size_t at : {std::size_t{13}, std::size_t{17}, good.size() - 1, good.size() - 5}) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (at == 13 ? 0x01 : 0x40));
    const auto out = parse(bad);
    if (at != 13) CHECK(out.detail == "the CRC32C of the PROXY header is wrong");
  }
  CHECK(fault_of(v2(0x21, 0x11, ends4 + tlv(3, "abc"))) ==
        "the CRC32C of the PROXY header is not of four octets");
  CHECK(fault_of(v2(0x21, 0x11, ends4 + tlv(3, none) + tlv(3, none))) == "the PROXY header has two CRC32C");
}

TEST_CASE("nothing is taken behind an end") {
  wire::proxy_header_parser parser;
  const std::string text = "PROXY UNKNOWN\r\n";
  const std::span<const std::uint8_t> octets(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
  CHECK(parser.feed(octets).status == parse_status::done);
  const auto again = parser.feed(octets);
  CHECK(again.status == parse_status::done);
  CHECK(again.taken == 0);
}
