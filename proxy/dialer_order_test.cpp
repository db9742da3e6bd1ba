#include "proxy/dialer_order.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string_view>
#include <vector>

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;

core::ip_address ip(std::string_view text) {
  return core::ip_address::parse(text).value();
}
std::vector<core::ip_address> ips(std::initializer_list<std::string_view> texts) {
  std::vector<core::ip_address> all;
  for (const auto text : texts) all.push_back(ip(text));
  return all;
}
std::vector<core::ip_address> order(const std::vector<core::ip_address>& of,
                                    const dead_addresses* dead = nullptr,
                                    dead_addresses::clock::time_point now = {}) {
  const auto made = dial_order(of, 443, dead, now);
  return {made.begin(), made.end()};
}

const dead_addresses::clock::time_point start{1000h};

TEST_CASE("the families take turns, IPv6 first, each in its order") {
  CHECK(order(ips({"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"})) ==
        ips({"2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.3"}));
  CHECK(order(ips({"192.0.2.2", "192.0.2.1"})) == ips({"192.0.2.2", "192.0.2.1"}));
  CHECK(order(ips({"2001:db8::1", "2001:db8::1", "192.0.2.1", "192.0.2.1"})) ==
        ips({"2001:db8::1", "192.0.2.1"}));
  CHECK(order({}).empty());
}

TEST_CASE("the dead come last, for a while, on their port") {
  dead_addresses dead;
  const auto all = ips({"2001:db8::1", "192.0.2.1", "192.0.2.2"});
  dead.add(ip("2001:db8::1"), 443, start);
  dead.add(ip("192.0.2.1"), 80, start);
  CHECK(order(all, &dead, start) == ips({"192.0.2.1", "192.0.2.2", "2001:db8::1"}));
  dead.add(ip("192.0.2.1"), 443, start);
  dead.add(ip("192.0.2.2"), 443, start);
  CHECK(order(all, &dead, start).size() == 3);
  CHECK(order(all, &dead, start + dead_addresses::lifetime) == all);
  dead.remove(ip("2001:db8::1"), 443);
  CHECK(order(all, &dead, start).front() == ip("2001:db8::1"));
  dead.remove(ip("2001:db8::9"), 443);
}

TEST_CASE("the memory is bounded and forgets the oldest") {
  dead_addresses dead;
  const auto address = [](std::size_t i) { return core::ip_address::v4(static_cast<std::uint32_t>(i)); };
  constexpr auto capacity = dead_addresses::capacity;
  for (std::size_t i = 0; i < capacity + 10; ++i) dead.add(address(i), 443, start);
  CHECK_FALSE(dead.contains(address(0), 443, start));
  CHECK_FALSE(dead.contains(address(9), 443, start));
  CHECK(dead.contains(address(10), 443, start));
  CHECK(dead.contains(address(capacity + 9), 443, start));
  for (std::size_t i = 0; i < capacity + 10; ++i) dead.remove(address(i), 443);
  for (std::size_t i = 0; i < capacity + 10; ++i) CHECK_FALSE(dead.contains(address(i), 443, start));
  dead.add(address(1), 443, start);
  dead.add(address(1), 443, start + 5s);  // counts from the last failure
  CHECK(dead.contains(address(1), 443, start + 12s));
  dead.remove(address(1), 443);
  CHECK_FALSE(dead.contains(address(1), 443, start));
}

TEST_CASE("of very many addresses some of each family are dialled") {
  std::vector<core::ip_address> many;
  for (std::uint32_t i = 0; i < 100; ++i) many.push_back(core::ip_address::v4(i));
  CHECK(order(many).size() == max_dialled);
  for (std::uint8_t i = 0; i < 100; ++i)
    many.push_back(core::ip_address::v6({0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i}));
  const auto mixed = order(many);
  CHECK(mixed.size() == max_dialled);
  CHECK(std::ranges::count_if(mixed, [](const auto& a) { return a.is_v4(); }) == max_dialled / 2);
}

}  // namespace
}  // namespace exeat::proxy
