#include "proxy/resolver.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <filesystem>
#include <fstream>
#include <optional>

#include "proxy/dns_test_server.hpp"

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;
using testing::ip;
using testing::loop;
using testing::message;
using testing::name;
using testing::question;
using testing::scripted_server;
using clock = std::chrono::steady_clock;
using replies = std::vector<std::string>;

/// A file of the test's own.
struct scratch_file {
  explicit scratch_file(std::string_view text) {
    std::string pattern = (std::filesystem::temp_directory_path() / "exeat-net-XXXXXX").string();
    ::close(::mkstemp(pattern.data()));
    path = pattern;
    write(text);
  }
  ~scratch_file() { std::filesystem::remove(path); }
  void write(std::string_view text) const { std::ofstream(path, std::ios::trunc) << text; }
  std::string path;
};

resolver_options options(const scripted_server& server) {
  resolver_options with;
  with.servers = {server.text()};
  with.hosts_file = false;
  return with;
}

/// One IPv6 and one IPv4 address for whatever is asked.
replies both_families(const question& asked) {
  return {asked.answer()
              .address(asked.name, asked.type == testing::type_a ? "192.0.2.1" : "2001:db8::1")
              .octets()};
}
/// An IPv4 address alone.
replies one_family(const question& asked) {
  auto made = asked.answer();
  if (asked.type == testing::type_a) made.address(asked.name, "192.0.2.1");
  return {made.octets()};
}
replies silence(const question&) {
  return {};
}

TEST_CASE("A and AAAA become one answer, which is remembered") {
  loop on;
  scripted_server server(on.context, both_families);
  resolver names(on.context, on.wheel, options(server));
  const auto first = on.run(names.resolve(name("a.example")));
  REQUIRE(first.addresses);
  CHECK(*first.addresses == address_list{ip("2001:db8::1"), ip("192.0.2.1")});
  CHECK_FALSE(first.from_cache);
  const auto again = on.run(names.resolve(name("a.example")));
  CHECK(again.from_cache);
  CHECK(*again.addresses == *first.addresses);
  CHECK(server.asked().size() == 2);
  CHECK(server.asked()[0].name == "a.example");
  CHECK(names.stats().hits == 1);
  CHECK(names.stats().misses == 1);
  CHECK(names.cached_names() == 1);
  names.flush();
  CHECK_FALSE(on.run(names.resolve(name("a.example"))).from_cache);
  CHECK(server.asked().size() == 4);
}

TEST_CASE("aliases are followed") {
  loop on;
  scripted_server server(on.context, [](const question& asked) -> replies {
    auto made = asked.answer();
    made.cname(asked.name, "b.example").cname("b.example", "c.example");
    if (asked.type == testing::type_a && asked.name == "a.example") made.address("c.example", "192.0.2.3");
    return {made.octets()};
  });
  resolver names(on.context, on.wheel, options(server));
  CHECK(*on.run(names.resolve(name("a.example"))).addresses == address_list{ip("192.0.2.3")});
  const auto dangling = on.run(names.resolve(name("dangling.example")));
  CHECK(dangling.addresses.error() == core::reason::dns_not_found);
}

TEST_CASE("names that do not exist are remembered, and no search domain is tried") {
  const scratch_file resolv_conf("search corp.example\noptions ndots:5\n");
  loop on;
  scripted_server server(on.context, [](const question& asked) -> replies {
    return {asked.answer(asked.name == "empty.example" ? 0 : 3).octets()};
  });
  auto with = options(server);
  with.resolv_conf_path = resolv_conf.path;
  resolver names(on.context, on.wheel, with);
  const auto missing = on.run(names.resolve(name("no.example")));
  CHECK(missing.addresses.error() == core::reason::dns_not_found);
  CHECK(missing.detail == "the name does not exist (NXDOMAIN)");
  const auto again = on.run(names.resolve(name("no.example")));
  CHECK(again.from_cache);
  CHECK(again.addresses.error() == core::reason::dns_not_found);
  const auto empty = on.run(names.resolve(name("empty.example")));
  CHECK(empty.addresses.error() == core::reason::dns_not_found);
  CHECK(empty.detail == "the name has no address");
  on.run(names.resolve(name("single")));
  CHECK(server.asked().size() == 6);
  for (const auto& asked : server.asked())
    CHECK((asked.name == "no.example" || asked.name == "empty.example" || asked.name == "single"));
  CHECK(names.stats().not_found == 3);
  CHECK(names.stats().negative == 1);
}

TEST_CASE("failing servers: the next one is asked, and failure is not absence") {
  for (const int rcode : {2, 4, 5}) {
    CAPTURE(rcode);
    loop on;
    scripted_server bad(on.context,
                        [&](const question& asked) -> replies { return {asked.answer(rcode).octets()}; });
    resolver alone(on.context, on.wheel, options(bad));
    const auto failed = on.run(alone.resolve(name("a.example")));
    CHECK(failed.addresses.error() == core::reason::dns_failure);
    CHECK_FALSE(failed.detail.empty());
    CHECK(alone.stats().failures == 1);

    scripted_server good(on.context, both_families);
    auto with = options(bad);
    with.servers.push_back(good.text());
    resolver names(on.context, on.wheel, with);
    CHECK(on.run(names.resolve(name("a.example"))).addresses);
  }
}

TEST_CASE("one family that fails does not hide the other") {
  loop on;
  scripted_server server(on.context, [](const question& asked) -> replies {
    if (asked.type == testing::type_a) return {asked.answer(2).octets()};
    return both_families(asked);
  });
  resolver names(on.context, on.wheel, options(server));
  CHECK(*on.run(names.resolve(name("a.example"))).addresses == address_list{ip("2001:db8::1")});
}

TEST_CASE("a server that never answers AAAA costs a part of the limit only") {
  loop on;
  scripted_server server(on.context, [](const question& asked) {
    return asked.type == testing::type_a ? one_family(asked) : silence(asked);
  });
  auto with = options(server);
  with.timeout = 10s;
  resolver names(on.context, on.wheel, with);
  const auto before = clock::now();
  CHECK(*on.run(names.resolve(name("a.example"))).addresses == address_list{ip("192.0.2.1")});
  CHECK(clock::now() - before < 8s);  // 2 s are meant; without the shorter limit it takes 9 s
}

TEST_CASE("silence ends in a timeout, a closed port in a failure") {
  loop on;
  std::uint16_t closed = 0;
  {
    scripted_server server(on.context, silence);
    closed = server.port();
    auto with = options(server);
    with.timeout = 400ms;
    resolver names(on.context, on.wheel, with);
    const auto before = clock::now();
    const auto result = on.run(names.resolve(name("a.example")));
    CHECK(result.addresses.error() == core::reason::dns_timeout);
    CHECK(clock::now() - before < 20s);
    CHECK(server.asked().size() >= 4);  // both questions twice
    CHECK(names.stats().timeouts == 1);
    with.tries = 1;
    resolver once(on.context, on.wheel, with);
    CHECK(on.run(once.resolve(name("a.example"))).addresses.error() == core::reason::dns_timeout);
  }
  resolver_options with;
  with.hosts_file = false;
  with.servers = {"127.0.0.1:" + std::to_string(closed)};
  resolver names(on.context, on.wheel, with);
  on.for_a_while(10ms);
  const auto result = on.run(names.resolve(name("a.example")));
  CHECK(result.addresses.error() == core::reason::dns_failure);
}

TEST_CASE("garbage, foreign answers and wrong numbers are no answers") {
  loop on;
  scripted_server garbage(on.context, [](const question& asked) -> replies {
    return {"",
            "x",
            std::string(11, '\0'),
            std::string(512, '\xff'),
            message(asked.id, "other.example", asked.type).address("other.example", "192.0.2.66").octets(),
            message(static_cast<std::uint16_t>(asked.id + 1), asked.name, asked.type)
                .address(asked.name, asked.type == testing::type_a ? "192.0.2.66" : "2001:db8::66")
                .octets()};
  });
  auto with = options(garbage);
  with.timeout = 500ms;
  resolver names(on.context, on.wheel, with);
  CHECK(on.run(names.resolve(name("a.example"))).addresses.error() == core::reason::dns_timeout);

  // The right answer behind them still counts.
  scripted_server late(on.context, [](const question& asked) -> replies {
    auto all = replies{
        message(static_cast<std::uint16_t>(asked.id + 1), asked.name, asked.type)
            .address(asked.name, "192.0.2.66")
            .octets(),
        message(asked.id, "other.example", asked.type).address("other.example", "192.0.2.66").octets()};
    all.push_back(both_families(asked)[0]);
    return all;
  });
  resolver patient(on.context, on.wheel, options(late));
  CHECK(*on.run(patient.resolve(name("a.example"))).addresses ==
        address_list{ip("2001:db8::1"), ip("192.0.2.1")});

  // A head of the right number with a broken body.
  scripted_server broken(on.context, [](const question& asked) -> replies {
    const auto good = both_families(asked)[0];
    return {good.substr(0, good.size() - 2)};
  });
  resolver strict(on.context, on.wheel, options(broken));
  CHECK(on.run(strict.resolve(name("a.example"))).addresses.error() == core::reason::dns_failure);
}

TEST_CASE("a truncated answer is fetched over TCP") {
  loop on;
  scripted_server server(on.context, [](const question& asked) -> replies {
    if (!asked.tcp) return {message(asked.id, asked.name, asked.type, 0, true).octets()};
    auto made = asked.answer();
    for (int i = 1; i <= (asked.name == "many.example" ? 199 : 60); ++i)
      made.address(asked.name,
                   (asked.type == testing::type_a ? "192.0.2." : "2001:db8::") + std::to_string(i));
    return {made.octets()};
  });
  resolver names(on.context, on.wheel, options(server));
  const auto result = on.run(names.resolve(name("a.example")));
  REQUIRE(result.addresses);
  CHECK(result.addresses->size() == 120);
  const auto over_tcp = std::ranges::count_if(server.asked(), [](const auto& asked) { return asked.tcp; });
  CHECK(over_tcp == 2);
  CHECK(server.asked()[0].edns);

  // More than are checked: none of them is used.
  const auto many = on.run(names.resolve(name("many.example")));
  CHECK(many.addresses.error() == core::reason::dns_failure);
  CHECK(many.detail == too_many_addresses);
}

TEST_CASE("a server that does not know EDNS is asked without it") {
  loop on;
  scripted_server server(on.context, [](const question& asked) -> replies {
    if (asked.edns) return {asked.answer(1).octets()};
    return both_families(asked);
  });
  resolver names(on.context, on.wheel, options(server));
  CHECK(on.run(names.resolve(name("a.example"))).addresses);
}

TEST_CASE("many who ask at once share one look-up") {
  loop on;
  scripted_server server(on.context, both_families);
  resolver names(on.context, on.wheel, options(server));
  std::vector<std::optional<resolve_result>> results(50);
  for (auto& result : results)
    asio::co_spawn(on.context, loop::keep(names.resolve(name("a.example")), result), asio::detached);
  on.until(
      [&] { return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); }); });
  for (const auto& result : results) CHECK(result->addresses);
  CHECK(server.asked().size() == 2);
  CHECK(names.stats().misses == 1);
  CHECK(names.stats().shared == 49);
}

TEST_CASE("hundreds of names at once, and the bound on them") {
  loop on;
  scripted_server server(on.context, both_families);
  auto with = options(server);
  with.in_flight = 200;
  resolver names(on.context, on.wheel, with);
  std::vector<std::optional<resolve_result>> results(300);
  for (std::size_t i = 0; i < results.size(); ++i)
    asio::co_spawn(on.context,
                   loop::keep(names.resolve(name("n" + std::to_string(i) + ".example")), results[i]),
                   asio::detached);
  on.until(
      [&] { return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); }); });
  const auto good =
      std::ranges::count_if(results, [](const auto& result) { return result->addresses.has_value(); });
  CHECK(good == 200);
  CHECK(names.stats().misses == 200);
  for (const auto& result : results)
    if (!result->addresses) CHECK(result->detail == "too many look-ups are under way");
}

TEST_CASE("one who is cancelled leaves; the look-up goes on for the others and the cache") {
  loop on;
  std::vector<question> held;
  scripted_server server(on.context, [&](const question& asked) {
    held.push_back(asked);
    return asked.tcp || held.size() > 2 ? both_families(asked) : replies{};  // the first tries get lost
  });
  auto with = options(server);
  with.timeout = 3s;
  resolver names(on.context, on.wheel, with);
  asio::cancellation_signal stop;
  std::optional<resolve_result> first, second;
  asio::co_spawn(on.context, loop::keep(names.resolve(name("a.example")), first),
                 asio::bind_cancellation_slot(stop.slot(), asio::detached));
  asio::co_spawn(on.context, loop::keep(names.resolve(name("a.example")), second), asio::detached);
  on.until([&] { return held.size() == 2; });
  stop.emit(asio::cancellation_type::terminal);
  on.until([&] { return second.has_value(); });
  CHECK(second->addresses);
  CHECK_FALSE((first && first->addresses));
  CHECK(on.run(names.resolve(name("a.example"))).from_cache);
}

TEST_CASE("the resolver may go while questions are open") {
  loop on;
  scripted_server server(on.context, silence);
  auto names = std::make_unique<resolver>(on.context, on.wheel, options(server));
  std::vector<std::optional<resolve_result>> results(3);
  for (std::size_t i = 0; i < results.size(); ++i)
    asio::co_spawn(on.context,
                   loop::keep(names->resolve(name(i == 0 ? "a.example" : "b.example")), results[i]),
                   asio::detached);
  on.until([&] { return server.asked().size() == 4; });
  names.reset();
  on.until(
      [&] { return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); }); });
  for (const auto& result : results) CHECK(result->addresses.error() == core::reason::dns_failure);
}

TEST_CASE("the loop may end while questions are open") {
  std::optional<resolve_result> result;
  {
    loop on;
    scripted_server server(on.context, silence);
    resolver names(on.context, on.wheel, options(server));
    asio::co_spawn(on.context, loop::keep(names.resolve(name("a.example")), result), asio::detached);
    on.until([&] { return server.asked().size() == 2; });
  }
  CHECK_FALSE(result);
}

TEST_CASE("the hosts file comes first and is read again when it changes") {
  const scratch_file hosts("192.0.2.50 listed.example localhost\n");
  loop on;
  scripted_server server(on.context, one_family);
  auto with = options(server);
  with.hosts_file = true;
  with.hosts_path = hosts.path;
  resolver names(on.context, on.wheel, with);
  CHECK(*on.run(names.resolve(name("listed.example"))).addresses == address_list{ip("192.0.2.50")});
  CHECK(*on.run(names.resolve(name("localhost"))).addresses == address_list{ip("192.0.2.50")});
  CHECK(server.asked().empty());
  CHECK(names.stats().hits == 2);

  hosts.write("192.0.2.51 listed.example\n192.0.2.52 other.example\n");
  const auto fresh = [&] { return *on.run(names.resolve(name("listed.example"))).addresses; };
  const auto limit = clock::now() + 30s;
  while (fresh() != address_list{ip("192.0.2.51")} && clock::now() < limit) on.for_a_while(100ms);
  CHECK(fresh() == address_list{ip("192.0.2.51")});
  CHECK(server.asked().empty());

  with.hosts_file = false;
  resolver without(on.context, on.wheel, with);
  CHECK(*on.run(without.resolve(name("listed.example"))).addresses == address_list{ip("192.0.2.1")});
  with.hosts_file = true;
  with.hosts_path = "/nonexistent/hosts";
  resolver missing(on.context, on.wheel, with);
  CHECK(*on.run(missing.resolve(name("listed.example"))).addresses == address_list{ip("192.0.2.1")});
}

TEST_CASE("resolv.conf names the servers and is read again when it changes") {
  loop on;
  scripted_server first(on.context, one_family);
  scripted_server second(on.context, [](const question& asked) -> replies {
    auto made = asked.answer();
    if (asked.type == testing::type_a) made.address(asked.name, "192.0.2.2");
    return {made.octets()};
  });
  const scratch_file resolv_conf("nameserver " + first.text() + "\n");
  resolver_options with;
  with.hosts_file = false;
  with.resolv_conf_path = resolv_conf.path;
  resolver names(on.context, on.wheel, with);
  CHECK(*on.run(names.resolve(name("a.example"))).addresses == address_list{ip("192.0.2.1")});

  resolv_conf.write("# changed\nnameserver " + second.text() + "\n");
  const auto limit = clock::now() + 30s;
  address_list got;
  for (int i = 0; got != address_list{ip("192.0.2.2")} && clock::now() < limit; ++i) {
    got = *on.run(names.resolve(name("n" + std::to_string(i) + ".example"))).addresses;
    on.for_a_while(100ms);
  }
  CHECK(got == address_list{ip("192.0.2.2")});
}

TEST_CASE("names of fixed meaning are never asked for") {
  loop on;
  scripted_server server(on.context, both_families);
  resolver names(on.context, on.wheel, options(server));
  for (const auto* text : {"localhost", "some.localhost"})
    CHECK(*on.run(names.resolve(name(text))).addresses == address_list{ip("::1"), ip("127.0.0.1")});
  for (const auto* text : {"onion", "abc.onion"})
    CHECK(on.run(names.resolve(name(text))).addresses.error() == core::reason::dns_not_found);
  CHECK(server.asked().empty());
  CHECK(on.run(names.resolve(name("notlocalhost"))).addresses);
  CHECK(on.run(names.resolve(name("notonion"))).addresses);
}

TEST_CASE("options that cannot work stop the start") {
  CHECK(name_server_error("192.0.2.53:53") == nullptr);
  CHECK(name_server_error("dns.example") != nullptr);
  loop on;
  resolver_options with;
  with.servers = {"192.0.2.53", "dns.example"};
  CHECK_THROWS_AS(resolver(on.context, on.wheel, with), std::runtime_error);
  with.servers.clear();
  with.timeout = 0ms;
  CHECK_THROWS_AS(resolver(on.context, on.wheel, with), std::runtime_error);
  with.timeout = 1s;
  with.system = true;
  CHECK_THROWS_AS(resolver(on.context, on.wheel, with), std::runtime_error);
}

TEST_CASE("a server over IPv6") {
  loop on;
  std::optional<scripted_server> server;
  try {
    server.emplace(on.context, both_families, "::1");
  } catch (const boost::system::system_error&) {
    MESSAGE("no IPv6 loopback here");
    return;
  }
  resolver_options with;
  with.hosts_file = false;
  with.servers = {"[::1]:" + std::to_string(server->port())};
  resolver names(on.context, on.wheel, with);
  CHECK(on.run(names.resolve(name("a.example"))).addresses);
}

}  // namespace
}  // namespace exeat::proxy
