#include "allowlist/address_guard.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using exeat::core::reason;

namespace {

std::string_view range_of(std::string_view text) {
  const auto* row = special_range_of(ip(text));
  return row == nullptr ? std::string_view() : row->name;
}

// The addresses right before the first and right behind the last of a prefix, where they exist.
std::vector<exeat::core::ip_address> neighbours(const exeat::core::cidr& prefix) {
  const auto bytes = prefix.base.bytes();
  std::vector<std::uint8_t> low(bytes.begin(), bytes.end()), high = low;
  for (unsigned bit = prefix.length; bit < bytes.size() * 8; ++bit)
    high[bit / 8] = static_cast<std::uint8_t>(high[bit / 8] | (1U << (7 - bit % 8)));
  const auto make = [](const std::vector<std::uint8_t>& o) {
    if (o.size() == 4)
      return exeat::core::ip_address::v4((std::uint32_t{o[0]} << 24) | (std::uint32_t{o[1]} << 16) |
                                         (std::uint32_t{o[2]} << 8) | o[3]);
    std::array<std::uint8_t, 16> a{};
    std::ranges::copy(o, a.begin());
    return exeat::core::ip_address::v6(a);
  };
  CHECK(prefix.contains(make(low)));
  CHECK(prefix.contains(make(high)));
  CHECK(special_range_of(make(low)) != nullptr);
  CHECK(special_range_of(make(high)) != nullptr);
  std::vector<exeat::core::ip_address> out;
  std::size_t i = low.size();
  while (i > 0 && low[i - 1] == 0) low[--i] = 0xff;
  if (i > 0) {
    --low[i - 1];
    out.push_back(make(low));
  }
  i = high.size();
  while (i > 0 && high[i - 1] == 0xff) high[--i] = 0;
  if (i > 0) {
    ++high[i - 1];
    out.push_back(make(high));
  }
  return out;
}

address_exception exception(std::string_view prefix, std::vector<std::string_view> hosts,
                            bool literal = false) {
  address_exception out;
  out.prefix = exeat::core::cidr::parse(prefix).value();
  for (const auto host : hosts) out.hosts.push_back(host_pattern::parse(host).value());
  out.literal = literal;
  return out;
}

policy guarded(std::vector<address_exception> exceptions, std::vector<rule> denied = {}) {
  auto source = source_with({}, std::move(denied));
  source.addresses = std::move(exceptions);
  return compile(source).value();
}

std::optional<guard_refusal> judge(const policy& p, std::string_view host,
                                   std::vector<std::string_view> answers) {
  std::vector<exeat::core::ip_address> addresses;
  addresses.reserve(answers.size());
  for (const auto a : answers) addresses.push_back(ip(a));
  return guard(p, to(host), addresses);
}

bool passes(const policy& p, std::string_view host, std::string_view address) {
  return !judge(p, host, {address}).has_value();
}

}  // namespace

TEST_CASE("each special range is refused from its first to its last address, and not beyond") {
  std::size_t open_neighbours = 0;
  for (const auto& row : special_ranges()) {
    CAPTURE(row.name);
    CAPTURE(row.prefix.to_string());
    CHECK_FALSE(row.name.empty());
    CHECK_FALSE(row.source.empty());
    CHECK(exeat::core::cidr::parse(row.prefix.to_string()).has_value());
    if (row.metadata) CHECK(row.prefix.is_single());
    for (const auto& outside : neighbours(row.prefix)) {
      const bool covered = std::ranges::any_of(
          special_ranges(), [&](const special_range& r) { return r.prefix.contains(outside); });
      CAPTURE(outside.to_string());
      CHECK((special_range_of(outside) != nullptr) == covered);
      open_neighbours += covered ? 0 : 1;
    }
  }
  CHECK(open_neighbours > 40);
}

TEST_CASE("no row stands twice") {
  std::set<std::string> seen;
  for (const auto& row : special_ranges()) {
    CAPTURE(row.prefix.to_string());
    CHECK(seen.insert(row.prefix.to_string()).second);
  }
}

TEST_CASE("edges by hand, so that the table is not its own judge") {
  for (const std::string_view text : {"0.0.0.0",
                                      "0.255.255.255",
                                      "10.0.0.0",
                                      "10.255.255.255",
                                      "100.64.0.0",
                                      "100.127.255.255",
                                      "127.0.0.1",
                                      "127.255.255.255",
                                      "169.254.0.0",
                                      "169.254.255.255",
                                      "172.16.0.0",
                                      "172.31.255.255",
                                      "192.0.0.0",
                                      "192.0.0.9",
                                      "192.0.0.255",
                                      "192.0.2.0",
                                      "192.0.2.255",
                                      "192.31.196.1",
                                      "192.52.193.1",
                                      "192.88.99.1",
                                      "192.168.0.0",
                                      "192.168.255.255",
                                      "192.175.48.1",
                                      "198.18.0.0",
                                      "198.19.255.255",
                                      "198.51.100.0",
                                      "198.51.100.255",
                                      "203.0.113.0",
                                      "203.0.113.255",
                                      "224.0.0.0",
                                      "239.255.255.255",
                                      "240.0.0.0",
                                      "255.255.255.254",
                                      "255.255.255.255",
                                      "168.63.129.16",
                                      "100.100.100.200",
                                      "::",
                                      "::1",
                                      "::2",
                                      "::ffff:8.8.8.8",
                                      "::ffff:0:8.8.8.8",
                                      "::8.8.8.8",
                                      "64:ff9b:1::808:808",
                                      "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
                                      "64:ff9b:2::1",
                                      "64:ff9b::1:0:0",
                                      "100::1",
                                      "100:0:0:1::1",
                                      "1fff:ffff::",
                                      "2001::1",
                                      "2001:1::1",
                                      "2001:2::1",
                                      "2001:20::1",
                                      "2001:1ff:ffff::1",
                                      "2001:db8::",
                                      "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                                      "2002::",
                                      "2002:808:808::1",
                                      "3fff::1",
                                      "3fff:fff:ffff::1",
                                      "4000::",
                                      "5f00::1",
                                      "fc00::",
                                      "fdff::1",
                                      "fe80::1",
                                      "febf::1",
                                      "fec0::1",
                                      "feff::1",
                                      "ff00::",
                                      "ff02::1",
                                      "fd00:ec2::254",
                                      "fd20:ce::254",
                                      "fd00:ec2::23"}) {
    CAPTURE(text);
    CHECK(special_range_of(ip(text)) != nullptr);
  }
  for (const std::string_view text :
       {"1.0.0.0",         "9.255.255.255",    "11.0.0.0",           "100.63.255.255",
        "100.128.0.0",     "126.255.255.255",  "128.0.0.0",          "169.253.255.255",
        "169.255.0.0",     "172.15.255.255",   "172.32.0.0",         "191.255.255.255",
        "192.0.1.0",       "192.0.3.0",        "192.88.98.255",      "192.88.100.0",
        "192.167.255.255", "192.169.0.0",      "198.17.255.255",     "198.20.0.0",
        "198.51.99.255",   "198.51.101.0",     "203.0.112.255",      "203.0.114.0",
        "223.255.255.255", "168.63.129.15",    "168.63.129.17",      "8.8.8.8",
        "2000::",          "2001:200::1",      "2001:db7:ffff::1",   "2001:db9::1",
        "2003::1",         "2600::1",          "2a00:1450::1",       "3ffe:ffff::1",
        "3fff:1000::1",    "64:ff9b::8.8.8.8", "2600::5efe:8.8.8.8", "2600::1:5efe:10.0.0.1"}) {
    CAPTURE(text);
    CHECK(special_range_of(ip(text)) == nullptr);
  }
}

TEST_CASE("an embedded IPv4 address is found in every wrapping") {
  for (const std::string_view text : {
           "::ffff:10.0.0.1",                  // IPv4-mapped
           "::10.0.0.1",                       // IPv4-compatible
           "::ffff:0:10.0.0.1",                // IPv4-translated
           "64:ff9b::10.0.0.1",                // NAT64
           "64:ff9b:1:a00:0:100::",            // RFC 6052 /48: 10.0 | u | 0.1
           "64:ff9b:1:80a:0:1::",              // /56: 10 | u | 0.0.1
           "64:ff9b:1:808:a:0:100:0",          // /64: u | 10.0.0.1
           "64:ff9b:1:808:8:808:10.0.0.1",     // /96
           "2002:a00:1::5",                    // 6to4
           "2001:0:a00:1:0:ffff:f7f7:f7f7",    // Teredo server
           "2001:0:808:808:0:ffff:f5ff:fffe",  // Teredo client, inverted
           "2600::5efe:10.0.0.1",              // ISATAP
           "2600:1:2:3:200:5efe:10.0.0.1",     // ISATAP with the universal bit
       }) {
    CAPTURE(text);
    CHECK(range_of(text) == "Private-Use");
  }
  // A global address within a form that is itself forbidden: the form's own row.
  CHECK(range_of("::ffff:8.8.8.8") == "IPv4-mapped Address");
  CHECK(range_of("2002:808:808::1") == "6to4");
  CHECK(range_of("2001:0:808:808:0:ffff:f7f7:f7f7") == "TEREDO");
  CHECK(range_of("::1") == "Loopback Address");
  CHECK(range_of("::") == "Unspecified Address");
}

TEST_CASE("metadata is recognised in any form") {
  for (const std::string_view text :
       {"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "64:ff9b:1::169.254.169.254",
        "2002:a9fe:a9fe::1", "2600::5efe:169.254.169.254", "::168.63.129.16", "fd00:ec2::254",
        "fe80::a9fe:a9fe"}) {
    CAPTURE(text);
    const auto* row = special_range_of(ip(text));
    REQUIRE(row != nullptr);
    CHECK(row->metadata);
  }
}

TEST_CASE("one forbidden address among the answers refuses all") {
  const auto p = guarded({});
  CHECK_FALSE(judge(p, "x.com", {"8.8.8.8", "2600::1", "64:ff9b::808:808"}).has_value());
  const auto refusal = judge(p, "x.com", {"8.8.8.8", "10.0.0.1", "127.0.0.1"});
  REQUIRE(refusal.has_value());
  CHECK(refusal->reason == reason::address_forbidden);
  CHECK(refusal->address == ip("10.0.0.1"));
  REQUIRE(refusal->range != nullptr);
  CHECK(refusal->range->name == "Private-Use");
  CHECK(refusal->denied_by == nullptr);
  CHECK_FALSE(judge(p, "x.com", {}).has_value());
}

TEST_CASE("an exception counts for its prefix and its hosts only") {
  const auto p = guarded({exception("10.20.0.0/24", {"artifacts.corp.example", "*.store.corp.example"})});
  CHECK(passes(p, "artifacts.corp.example", "10.20.0.5"));
  CHECK(passes(p, "a.store.corp.example", "10.20.0.255"));
  CHECK_FALSE(passes(p, "store.corp.example", "10.20.0.5"));
  CHECK_FALSE(passes(p, "artifacts.corp.example", "10.20.1.0"));
  CHECK_FALSE(passes(p, "evil.example", "10.20.0.5"));
  CHECK_FALSE(passes(p, "10.20.0.5", "10.20.0.5"));
  CHECK(judge(p, "artifacts.corp.example", {"10.20.0.5", "10.21.0.5"}).has_value());
  // As dialled: neither the mapped nor the NAT64 form is meant.
  CHECK_FALSE(passes(p, "artifacts.corp.example", "::ffff:10.20.0.5"));
  CHECK_FALSE(passes(p, "artifacts.corp.example", "64:ff9b::10.20.0.5"));
}

TEST_CASE("a nested exception adds to the wider one") {
  const auto p =
      guarded({exception("10.0.0.0/8", {"a.corp.example"}), exception("10.1.0.0/16", {"b.corp.example"})});
  CHECK(passes(p, "a.corp.example", "10.1.0.1"));
  CHECK(passes(p, "b.corp.example", "10.1.0.1"));
  CHECK_FALSE(passes(p, "b.corp.example", "10.2.0.1"));
}

TEST_CASE("an IPv6 form is excepted by its own prefix") {
  const auto p = guarded(
      {exception("64:ff9b::a14:0/120", {"x.corp.example"}), exception("fd12:3456::/32", {"y.corp.example"})});
  CHECK(passes(p, "x.corp.example", "64:ff9b::10.20.0.5"));
  CHECK_FALSE(passes(p, "x.corp.example", "64:ff9b::10.20.1.5"));
  CHECK(passes(p, "y.corp.example", "fd12:3456::7"));
}

TEST_CASE("a literal needs `literal: true`, and that counts for no name") {
  const auto p = guarded({exception("10.20.0.0/24", {}, true)});
  CHECK(passes(p, "10.20.0.5", "10.20.0.5"));
  CHECK_FALSE(passes(p, "10.20.1.5", "10.20.1.5"));
  CHECK_FALSE(passes(p, "x.corp.example", "10.20.0.5"));
  CHECK_FALSE(passes(p, "10.20.0.5", "10.20.0.6"));
}

TEST_CASE("metadata is excepted by a prefix of one address only") {
  const auto p = guarded({exception("169.254.169.254/32", {"meta.corp.example"}),
                          // Wide enough to hold a wrapped metadata address that compile cannot enumerate.
                          exception("2002::/16", {"meta.corp.example"})});
  CHECK(passes(p, "meta.corp.example", "169.254.169.254"));
  CHECK_FALSE(passes(p, "other.corp.example", "169.254.169.254"));
  CHECK_FALSE(passes(p, "meta.corp.example", "::ffff:169.254.169.254"));
  CHECK(passes(p, "meta.corp.example", "2002:808:808::1"));
  CHECK_FALSE(passes(p, "meta.corp.example", "2002:a9fe:a9fe::1"));
}

TEST_CASE("a cidr under deny refuses resolved addresses, whatever the name, form or exception") {
  const auto p = guarded({exception("10.0.0.0/8", {"x.corp.example"})},
                         {deny("8.8.8.0/24"), deny("10.9.0.0/16"), deny("9.9.9.9/32", {{22, 22}})});
  for (const std::string_view text :
       {"8.8.8.8", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2600::5efe:8.8.8.8", "10.9.1.1"}) {
    CAPTURE(text);
    const auto refusal = judge(p, "x.corp.example", {text});
    REQUIRE(refusal.has_value());
    CHECK(refusal->reason == reason::address_denied);
    REQUIRE(refusal->denied_by != nullptr);
    CHECK(refusal->range == nullptr);
  }
  CHECK(passes(p, "x.corp.example", "10.8.1.1"));
  CHECK(passes(p, "x.corp.example", "9.9.9.9"));
  const auto answer = ip("9.9.9.9");
  CHECK(guard(p, to("x.com", 22), std::span(&answer, 1)).has_value());
}

TEST_CASE("a deny with a date holds to its end, and without a clock for ever") {
  const auto p = guarded({}, {until(deny("8.8.8.8/32"), 2026, 6, 15)});
  const auto answer = ip("8.8.8.8");
  const auto at = [&](std::chrono::sys_seconds when) {
    return guard(p, to("x.com"), std::span(&answer, 1), when).has_value();
  };
  CHECK(at(now + std::chrono::hours(23)));
  CHECK_FALSE(at(now + std::chrono::hours(24)));
  CHECK(guard(p, to("x.com"), std::span(&answer, 1)).has_value());
}

TEST_CASE("audit does not reach the guard") {
  auto source = source_with({allow("x.com")});
  source.phases[0].mode = phase_mode::audit;
  const auto p = compile(source).value();
  CHECK(judge(p, "x.com", {"127.0.0.1"}).has_value());
}
