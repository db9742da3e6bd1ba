#include "proxy/relay_test_stage.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

TEST_CASE("small messages go both ways and are counted") {
  stage s;
  for (int i = 0; i < 100; ++i) {
    send_all(s.client, "ping");
    CHECK(receive(s.origin, 4) == "ping");
    send_all(s.origin, "pong!");
    CHECK(receive(s.client, 5) == "pong!");
  }
  ::shutdown(s.client, SHUT_WR);
  ::shutdown(s.origin, SHUT_WR);
  REQUIRE(s.ended());
  CHECK(s.seen.end->bytes_up == 400);
  CHECK(s.seen.end->bytes_down == 500);
  CHECK(s.seen.up == 400);
  CHECK(s.seen.down == 500);
  CHECK(s.seen.end->reason == core::reason::allowed);
  CHECK(s.seen.end->error.empty());
}

TEST_CASE("what was read in advance arrives first, and a half-close keeps the answer") {
  stage s({}, "early ", "banner ");
  send_all(s.client, "late");
  ::shutdown(s.client, SHUT_WR);
  CHECK(receive(s.origin) == "early late");
  send_all(s.origin, "the answer");
  ::shutdown(s.origin, SHUT_WR);
  CHECK(receive(s.client) == "banner the answer");
  CHECK(s.ended());
}

TEST_CASE("bulk both ways at once, by splice and by copy, is not truncated") {
  for (const std::size_t pipes : {std::size_t{8}, std::size_t{0}}) {
    CAPTURE(pipes);
    stage s({.pipes = pipes});
    const auto up = pattern(24 << 20);
    const auto down = pattern((16 << 20) + 12345);
    const auto got = exchange(s, up, down);
    CHECK((got.up == up));
    CHECK((got.down == down));
    REQUIRE(s.ended());
    CHECK(s.seen.end->bytes_up == up.size());
    CHECK(s.seen.end->bytes_down == down.size());
  }
}

TEST_CASE("a reader that stands still holds the writer, and loses nothing") {
  stage s;
  const auto data = pattern(8 << 20);
  std::thread writer([&] {
    send_all(s.client, data);
    ::shutdown(s.client, SHUT_WR);
  });
  std::this_thread::sleep_for(100ms);
  CHECK((receive(s.origin, 1000) + receive(s.origin) == data));
  writer.join();
  ::shutdown(s.origin, SHUT_WR);
  CHECK(s.ended());
}

TEST_CASE("a reset on one side is a reset on the other, never an orderly end") {
  stage s;
  send_all(s.client, "hello");
  CHECK(receive(s.origin, 5) == "hello");
  const linger now{1, 0};
  ::setsockopt(s.origin, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(std::exchange(s.origin, -1));
  char octet = 0;
  CHECK(::recv(s.client, &octet, 1, 0) == -1);
  CHECK(errno == ECONNRESET);
  REQUIRE(s.ended());
  CHECK(s.seen.end->error == "the origin's connection failed");
}

TEST_CASE("a cut resets both sides and tells why") {
  stage s;
  asio::post(s.context, [&] {
    s.moving->for_each([&](tunnel& t) { s.moving->cut(t, core::reason::draining, "stopping"); });
  });
  char octet = 0;
  CHECK(::recv(s.client, &octet, 1, 0) == -1);
  CHECK(::recv(s.origin, &octet, 1, 0) == -1);
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::draining);
  CHECK(s.seen.end->error == "stopping");
}

TEST_CASE("an idle limit cuts a silent tunnel and spares a busy one") {
  stage s({.idle = 300ms});
  for (int i = 0; i < 8; ++i) {
    send_all(s.client, "x");
    CHECK(receive(s.origin, 1) == "x");
    std::this_thread::sleep_for(60ms);
  }
  REQUIRE(s.ended());
  CHECK(s.seen.end->reason == core::reason::idle_timeout);
  CHECK(s.seen.end->bytes_up == 8);
}

TEST_CASE("pipes are capped, kept, and never handed on with somebody's octets in them") {
  pipe_pool pool(2);
  auto a = pool.borrow();
  auto b = pool.borrow();
  REQUIRE(a.valid());
  REQUIRE(b.valid());
  CHECK_FALSE(pool.borrow().valid());
  CHECK(::write(a.write_end, "secret", 6) == 6);
  a.filled = 6;
  pool.give_back(a);
  auto c = pool.borrow();
  REQUIRE(c.valid());
  char octet = 0;
  CHECK(::read(c.read_end, &octet, 1) == -1);
  pool.give_back(b);
  pool.give_back(c);
}
