#include "proxy/dns_query.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

#include "proxy/dns_test_server.hpp"

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;
using testing::ip;
using outcome = family_outcome;

std::span<const unsigned char> octets(const std::string& text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

family_answer family(outcome how, std::initializer_list<std::string_view> addresses = {},
                     std::chrono::seconds ttl = 60s) {
  family_answer answer;
  answer.outcome = how;
  for (const auto text : addresses) answer.addresses.push_back(ip(text));
  answer.ttl = ttl;
  answer.detail = how == outcome::nothing ? "nothing" : "failed";
  return answer;
}

TEST_CASE("replies are read: addresses, the smallest TTL, CNAMEs") {
  (void)ares_library_init(ARES_LIB_INIT_ALL);
  const auto a = testing::message(1, "a.example", 1)
                     .cname("a.example", "b.example", 30)
                     .address("b.example", "192.0.2.1", 60)
                     .address("b.example", "192.0.2.2", 50)
                     .address("b.example", "192.0.2.1", 60)
                     .octets();
  const auto read = read_reply(1, ARES_SUCCESS, octets(a));
  CHECK(read.outcome == outcome::addresses);
  REQUIRE(read.addresses.size() == 2);
  CHECK(read.addresses[0] == ip("192.0.2.1"));
  CHECK(read.addresses[1] == ip("192.0.2.2"));
  CHECK(read.ttl == 30s);

  const auto aaaa = testing::message(1, "a.example", 28).address("a.example", "2001:db8::1", 5).octets();
  CHECK(read_reply(28, ARES_SUCCESS, octets(aaaa)).addresses[0] == ip("2001:db8::1"));

  const auto alias = testing::message(1, "a.example", 1).cname("a.example", "b.example").octets();
  CHECK(read_reply(1, ARES_SUCCESS, octets(alias)).outcome == outcome::nothing);

  const auto cut = a.substr(0, a.size() - 3);
  CHECK(read_reply(1, ARES_SUCCESS, octets(cut)).outcome == outcome::failure);
  CHECK(read_reply(1, ARES_SUCCESS, {}).outcome == outcome::failure);
  CHECK(read_reply(1, ARES_ENOTFOUND, {}).outcome == outcome::nothing);
  CHECK(read_reply(1, ARES_ENODATA, {}).outcome == outcome::nothing);
  CHECK(read_reply(1, ARES_ETIMEOUT, {}).outcome == outcome::timeout);
  CHECK(read_reply(1, ARES_ESERVFAIL, {}).outcome == outcome::failure);
  CHECK(read_reply(1, ARES_ECONNREFUSED, {}).outcome == outcome::failure);
}

TEST_CASE("a reply of any octets is read without harm and within bounds") {
  (void)ares_library_init(ARES_LIB_INIT_ALL);
  std::mt19937 random(99);
  auto many = testing::message(1, "a.example", 1);
  for (std::size_t i = 0; i < max_of_family; ++i) many.address("a.example", "192.0.2." + std::to_string(i));
  const auto good = many.octets();
  CHECK(read_reply(1, ARES_SUCCESS, octets(good)).addresses.size() == max_of_family);
  for (int round = 0; round < 20000; ++round) {
    auto bad = good.substr(0, 12 + random() % (good.size() - 12));
    for (auto flips = random() % 8; flips != 0; --flips)
      bad[random() % bad.size()] = static_cast<char>(random());
    for (const int type : {1, 28}) {
      const auto read = read_reply(type, ARES_SUCCESS, octets(bad));
      REQUIRE((read.outcome == outcome::addresses) == !read.addresses.empty());
      REQUIRE(read.ttl >= 0s);
    }
  }
}

TEST_CASE("two families become one answer") {
  const auto both =
      merge(family(outcome::addresses, {"192.0.2.1"}, 60s), family(outcome::addresses, {"2001:db8::1"}, 40s));
  REQUIRE(both);
  CHECK(both.addresses.size() == 2);
  CHECK(both.addresses[0] == ip("2001:db8::1"));
  CHECK(both.ttl == 40s);

  const auto only = merge(family(outcome::addresses, {"192.0.2.1"}, 60s), family(outcome::nothing));
  CHECK(only.ttl == 60s);
  for (const auto missing : {outcome::timeout, outcome::failure, outcome::open}) {
    const auto half = merge(family(missing), family(outcome::addresses, {"2001:db8::1"}, 3600s));
    REQUIRE(half);
    CHECK(half.ttl == 10s);  // to be asked again soon
    CHECK(merge(family(missing), family(outcome::addresses, {"2001:db8::1"}, 2s)).ttl == 2s);
  }

  CHECK(merge(family(outcome::nothing), family(outcome::nothing)).reason == core::reason::dns_not_found);
  CHECK(merge(family(outcome::nothing), family(outcome::failure)).reason == core::reason::dns_failure);
  CHECK(merge(family(outcome::failure), family(outcome::nothing)).reason == core::reason::dns_failure);
  CHECK(merge(family(outcome::nothing), family(outcome::timeout)).reason == core::reason::dns_timeout);
  CHECK(merge(family(outcome::open), family(outcome::open)).reason == core::reason::dns_timeout);
  CHECK(merge(family(outcome::open), family(outcome::nothing)).reason == core::reason::dns_timeout);
}

TEST_CASE("of a name's addresses none is dropped: too many are none") {
  // The guard judges what it sees: a forbidden address behind the others must not hide there.
  const auto read = [](std::size_t addresses, std::size_t repeats = 0) {
    auto reply = testing::message(1, "a.example", 1);
    for (std::size_t i = 0; i < addresses; ++i) reply.address("a.example", "192.0.2." + std::to_string(i));
    for (std::size_t i = 0; i < repeats; ++i) reply.address("a.example", "192.0.2.0");
    return read_reply(1, ARES_SUCCESS, octets(reply.octets()));
  };
  (void)ares_library_init(ARES_LIB_INIT_ALL);
  CHECK(read(max_of_family).addresses.size() == max_of_family);
  CHECK(read(max_of_family, 9).addresses.size() == max_of_family);
  for (const auto& many : {read(max_of_family + 1), read(250), read(1, 2 * max_of_family)}) {
    CHECK(many.outcome == outcome::too_many);
    CHECK(many.addresses.empty());
    const auto spoilt = merge(many, family(outcome::addresses, {"2001:db8::1"}));
    CHECK(spoilt.reason == core::reason::dns_failure);
    CHECK(spoilt.detail == too_many_addresses);
    CHECK(spoilt.addresses.empty());
    CHECK(merge(family(outcome::open), many).detail == too_many_addresses);
  }

  family_answer a = family(outcome::addresses), aaaa = family(outcome::addresses);
  for (std::uint8_t i = 0; i < max_of_family; ++i) {
    a.addresses.push_back(core::ip_address::v4(i));
    aaaa.addresses.push_back(core::ip_address::v6({0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i}));
  }
  const auto count = [](const dns_answer& of) {
    return std::ranges::count_if(of.addresses, [](const auto& address) { return address.is_v6(); });
  };
  const auto both = merge(a, aaaa);
  CHECK(both.addresses.size() == max_addresses);
  CHECK(count(both) == max_of_family);
  CHECK(count(merge(family(outcome::nothing), aaaa)) == max_of_family);
}

}  // namespace
}  // namespace exeat::proxy
