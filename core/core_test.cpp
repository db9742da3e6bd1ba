#include <doctest/doctest.h>

#include <set>
#include <string>

#include "core/decision_id.hpp"
#include "core/destination.hpp"
#include "core/host_name.hpp"
#include "core/ip_address.hpp"
#include "core/reason.hpp"
#include "core/units.hpp"

using namespace exeat::core;
using namespace std::chrono_literals;

TEST_CASE("a host name is canonical or refused") {
  CHECK(host_name::parse("API.Example.COM.")->view() == "api.example.com");
  CHECK(host_name::parse("_dmarc.x-y.com")->label_count() == 3);
  CHECK(host_name::parse("localhost")->view() == "localhost");
  const auto error = [](std::string_view text) { return host_name::parse(text).error(); };
  CHECK(error("") == host_error::empty);
  CHECK(error(".") == host_error::empty);
  CHECK(error("a..b") == host_error::label_empty);
  CHECK(error(".a") == host_error::label_empty);
  CHECK(error("a.b..") == host_error::label_empty);
  CHECK(error("-a.com") == host_error::hyphen_at_edge);
  CHECK(error("a-.com") == host_error::hyphen_at_edge);
  CHECK(error("a b.com") == host_error::bad_character);
  CHECK(error("b\xc3\xbc"
              "cher.de") == host_error::bad_character);
  CHECK(error("a%2e.com") == host_error::bad_character);
  CHECK(error(std::string("a\0.com", 6)) == host_error::bad_character);
  CHECK(error("*.x.com") == host_error::bad_character);
  CHECK(error(std::string(64, 'a') + ".com") == host_error::label_too_long);
  const std::string label(63, 'a');
  CHECK(error(label + "." + label + "." + label + "." + label) == host_error::too_long);
  CHECK(host_name::parse(label + "." + label + "." + label + "." + std::string(61, 'b'))->view().size() ==
        253);
}

TEST_CASE("an address in any spelling is no host name") {
  for (const char* text : {"127.0.0.1", "2130706433", "0x7f000001", "0x7F.1", "127.1", "0177.0.0.1",
                           "1.2.3.4.", "example.1", "foo.0x", "foo.0xff", "0"}) {
    CAPTURE(text);
    CHECK(host_name::parse(text).error() == host_error::ip_literal);
    CHECK(ends_in_number(text));
  }
  CHECK(host_name::parse("1.2.3.4a").has_value());
  CHECK(host_name::parse("foo.0xg").has_value());
}

TEST_CASE("addresses parse strictly and print canonically") {
  CHECK(ip_address::parse("10.0.0.1")->to_string() == "10.0.0.1");
  CHECK(ip_address::parse("2001:DB8::0:1")->to_string() == "2001:db8::1");
  for (const char* text :
       {"", "010.0.0.1", "1.2.3", "1.2.3.4 ", "fe80::1%eth0", "[::1]", "1.2.3.4:80", "0x1.2.3.4"}) {
    CAPTURE(text);
    CHECK_FALSE(ip_address::parse(text).has_value());
  }
  CHECK(ip_address::v4(0x0a000001).to_string() == "10.0.0.1");
  CHECK(ip_address::v4(0).to_string() == "0.0.0.0");
  CHECK(ip_address::v4(0xffffffff).to_string() == "255.255.255.255");
  CHECK(ip_address::v4(0x7f00630a).to_string() == "127.0.99.10");
}

TEST_CASE("prefixes") {
  const auto ten = *cidr::parse("10.0.0.0/8");
  CHECK(ten.contains(*ip_address::parse("10.255.0.1")));
  CHECK_FALSE(ten.contains(*ip_address::parse("11.0.0.0")));
  CHECK_FALSE(ten.contains(*ip_address::parse("::ffff:10.0.0.1")));
  CHECK(cidr::parse("0.0.0.0/0")->contains(*ip_address::parse("8.8.8.8")));
  CHECK(cidr::parse("fe80::/10")->contains(*ip_address::parse("febf::1")));
  CHECK_FALSE(cidr::parse("fe80::/10")->contains(*ip_address::parse("fec0::1")));
  CHECK(cidr::parse("1.2.3.4")->is_single());
  CHECK(ten.contains(*cidr::parse("10.1.0.0/16")));
  CHECK_FALSE(cidr::parse("10.1.0.0/16")->contains(ten));
  CHECK(cidr::parse("10.0.0.1/8").error() == cidr_error::host_bits_set);
  CHECK(cidr::parse("10.0.0.0/33").error() == cidr_error::bad_length);
  CHECK(cidr::parse("10.0.0.0/").error() == cidr_error::bad_length);
  CHECK(cidr::parse("10.0.0/8").error() == cidr_error::bad_address);
}

TEST_CASE("units") {
  CHECK(parse_duration("250ms") == 250ms);
  CHECK(parse_duration("2h") == 2h);
  CHECK(parse_duration("0") == 0ms);
  for (const char* text :
       {"", "5", "-5s", "1.5s", "5 s", "s", "99999999999999999999s", "9223372036854775807d"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_duration(text).has_value());
  }
  CHECK(to_string(90'000ms) == "90s");
  CHECK(to_string(120'000ms) == "2m");
  CHECK(parse_size("20MiB") == 20U << 20);
  CHECK(parse_size("1024") == 1024);
  CHECK_FALSE(parse_size("20 MiB").has_value());
  CHECK_FALSE(parse_size("99999999999GiB").has_value());
  CHECK(size_to_string(64 << 10) == "64KiB");
  CHECK(size_to_string(1000) == "1000");
}

TEST_CASE("reasons read back and carry a doc line") {
  std::set<std::string_view> codes;
  for (const auto& row : reasons()) {
    CAPTURE(row.code);
    CHECK(reason_of(row.code) == row.value);
    CHECK(row.doc.ends_with('.'));
    CHECK(codes.insert(row.code).second);
    CHECK(
        (row.kind != reason_kind::policy || row.status == (row.code.starts_with("credential-") ? 407 : 403)));
  }
  CHECK_FALSE(reason_of("nonsense").has_value());
}

TEST_CASE("decision ids are unique across workers") {
  std::set<std::string> seen;
  for (std::uint8_t worker = 0; worker < 4; ++worker) {
    decision_id_source ids(42, worker);
    for (int i = 0; i < 1000; ++i) CHECK(seen.emplace(ids.next().view()).second);
  }
}

TEST_CASE("destinations print with brackets where they must") {
  CHECK(to_string(destination{*host_name::parse("a.com"), 443}) == "a.com:443");
  CHECK(to_string(destination{*ip_address::parse("::1"), 80}) == "[::1]:80");
}
