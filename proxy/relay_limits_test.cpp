// The relay under limits: never an octet too many, and a cut that looks like one.
#include <array>
#include <vector>

#include "proxy/relay_test_stage.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

namespace {

struct limits {
  budget_book book;
  meter of;
  explicit limits(allowlist::transfer_limits l, bool enforced = true) : of(enforced) {
    of.add(l, book, "rule/r", "agent/a.example:443");
  }
  std::uint64_t used(way way) { return book.octets("rule/r", way)->used(); }
};

/// The last recv of a connection that was reset.
bool is_reset(int fd) {
  char octet = 0;
  ssize_t n = 0;
  while ((n = ::recv(fd, &octet, 1, 0)) > 0) {
  }
  return n < 0 && errno == ECONNRESET;
}

}  // namespace

TEST_CASE("an upload ends at its limit with a reset, by splice and by copy") {
  for (const std::size_t pipes : {std::size_t{8}, std::size_t{0}}) {
    CAPTURE(pipes);
    constexpr std::uint64_t most = (1 << 20) + 17;
    limits l({.upload = most, .download = {}});
    stage s({.pipes = pipes}, {}, {}, &l.of);
    const auto data = pattern(3 << 20);
    bool reset_in_send = false;  // whoever is told of a reset first is the only one
    std::thread writer([&] {
      for (std::string_view left = data; !left.empty();) {
        const auto n = ::send(s.client, left.data(), left.size(), MSG_NOSIGNAL);
        if (n <= 0) {
          reset_in_send = errno == ECONNRESET;
          break;
        }
        left.remove_prefix(static_cast<std::size_t>(n));
      }
    });
    const auto got = receive(s.origin);
    writer.join();
    CHECK(got.size() <= most);
    CHECK((got == data.substr(0, got.size())));
    REQUIRE(s.ended());
    CHECK(s.seen.end->reason == core::reason::upload_limit);
    CHECK(s.seen.end->bytes_up == most);
    CHECK(l.used(way::up) == most);
    CHECK((reset_in_send || is_reset(s.client)));
  }
}

TEST_CASE("a download ends at its limit, and the client cannot take it for whole") {
  limits l({.upload = {}, .download = 1000});
  stage s({}, {}, {}, &l.of);
  send_all(s.client, std::string(5000, 'u'));  // not limited
  CHECK(receive(s.origin, 5000).size() == 5000);
  send_all(s.origin, std::string(1001, 'd'));
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::download_limit);
  CHECK(s.seen.end->bytes_down == 1000);
  CHECK(is_reset(s.client));
  CHECK(is_reset(s.origin));
}

TEST_CASE("the last octet of a limit is one that passes, and an end costs nothing") {
  limits l({.upload = 1000, .download = {}});
  stage s({}, {}, {}, &l.of);
  send_all(s.client, std::string(1000, 'u'));
  CHECK(receive(s.origin, 1000).size() == 1000);
  // Nothing is left, but nothing more is asked for: the answer still comes.
  for (int i = 0; i < 10; ++i) {
    send_all(s.origin, "answer");
    CHECK(receive(s.client, 6) == "answer");
  }
  ::shutdown(s.client, SHUT_WR);
  CHECK(receive(s.origin).empty());
  ::shutdown(s.origin, SHUT_WR);
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::allowed);
  CHECK(s.seen.end->bytes_up == 1000);
}

TEST_CASE("one octet too many ends the tunnel") {
  limits l({.upload = 1000, .download = {}});
  stage s({}, {}, {}, &l.of);
  send_all(s.client, std::string(1000, 'u'));
  CHECK(receive(s.origin, 1000).size() == 1000);
  send_all(s.client, "x");
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::upload_limit);
  CHECK(s.seen.end->bytes_up == 1000);
}

TEST_CASE("a tunnel waits for what another worker holds, and goes on with what comes back") {
  limits l({.upload = 1000, .download = {}});
  auto budget = l.book.octets("rule/r", way::up);
  REQUIRE(budget->claim(1000, 1000) == 1000);
  stage s({}, {}, {}, &l.of);
  send_all(s.client, std::string(600, 'u'));
  pollfd readable{s.origin, POLLIN, 0};
  CHECK(::poll(&readable, 1, 200) == 0);
  budget->settle(1000, 400);
  CHECK(receive(s.origin, 600).size() == 600);
  send_all(s.client, "x");
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::upload_limit);
  CHECK(budget->used() == 1000);
}

TEST_CASE("tunnels of several workers share one limit exactly") {
  constexpr std::uint64_t most = 2 << 20;
  limits l({.upload = most, .download = {}});
  std::atomic<std::uint64_t> arrived{0};
  {
    std::array<std::optional<stage>, 3> stages;
    std::vector<std::thread> threads;
    const auto data = pattern(2 << 20);
    for (auto& s : stages) {
      s.emplace(relay::options{}, std::string{}, std::string{}, &l.of);
      threads.emplace_back([&] {
        for (std::string_view left = data; !left.empty();) {
          const auto n = ::send(s->client, left.data(), left.size(), MSG_NOSIGNAL);
          if (n <= 0) break;
          left.remove_prefix(static_cast<std::size_t>(n));
        }
        ::shutdown(s->client, SHUT_WR);
      });
      threads.emplace_back([&] {
        arrived += receive(s->origin).size();
        ::shutdown(s->origin, SHUT_WR);
      });
    }
    for (auto& t : threads) t.join();
    std::uint64_t forwarded = 0;
    for (auto& s : stages) {
      REQUIRE(s->ended());
      forwarded += s->seen.end->bytes_up;
    }
    CHECK(forwarded == most);
  }
  CHECK(arrived <= most);
  CHECK(l.used(way::up) == most);
}

TEST_CASE("a limit set on a live tunnel counts from then on") {
  limits l({.upload = 100, .download = {}});
  stage s;
  send_all(s.client, std::string(500, 'u'));
  CHECK(receive(s.origin, 500).size() == 500);
  asio::post(s.context, [&] { s.moving->for_each([&](tunnel& t) { t.set_meter(&l.of); }); });
  std::atomic<bool> set = false;
  asio::post(s.context, [&] { set = true; });
  while (!set) std::this_thread::sleep_for(1ms);
  send_all(s.client, std::string(101, 'u'));
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::upload_limit);
  CHECK(s.seen.end->bytes_up == 600);
}

TEST_CASE("in audit a limit keeps nothing back") {
  limits l({.upload = 100, .download = {}}, false);
  stage s({}, {}, {}, &l.of);
  const auto data = pattern(1 << 20);
  std::thread writer([&] {
    send_all(s.client, data);
    ::shutdown(s.client, SHUT_WR);
  });
  CHECK((receive(s.origin) == data));
  writer.join();
  ::shutdown(s.origin, SHUT_WR);
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::allowed);
  CHECK(l.used(way::up) == data.size());
}
