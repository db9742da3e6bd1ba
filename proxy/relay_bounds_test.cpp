// What ends a tunnel that neither side ends, and what one may keep while its target takes nothing.
#include <sys/ioctl.h>

#include "proxy/relay_test_stage.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

TEST_CASE("a tunnel ends when its time is over, whatever passes through it") {
  stage s({.total = 200ms});
  std::thread talks([&] {
    char octet = 0;
    while (::send(s.client, "x", 1, MSG_NOSIGNAL) == 1 && ::recv(s.origin, &octet, 1, 0) == 1) {
    }
  });
  CHECK(s.ended());
  talks.join();
  CHECK(s.seen.end->reason == core::reason::tunnel_timeout);
}

TEST_CASE("a side that takes nothing of what waits ends the tunnel") {
  for (const bool much : {true, false}) {
    CAPTURE(much);  // beyond what the kernel takes, or all of it in the kernel's queue
    stage s({.stall = 300ms});
    const int small = 2048;
    ::setsockopt(s.client, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    const auto octets = pattern(much ? 32 << 20 : 256 << 10);
    std::thread pours([&] { pour(s.origin, octets); });
    CHECK(s.ended());
    pours.join();
    REQUIRE(s.seen.end);
    CHECK(s.seen.end->reason == core::reason::tunnel_stalled);
    CHECK(s.seen.end->error.starts_with("the client"));
  }
}

TEST_CASE("who takes a little now and then, or has nothing to take, is left alone") {
  stage s({.stall = 400ms});
  send_all(s.client, "ping");
  CHECK(receive(s.origin, 4) == "ping");
  std::this_thread::sleep_for(900ms);
  const auto octets = pattern(4 << 20);
  std::thread pours([&] {
    send_all(s.origin, octets);
    ::shutdown(s.origin, SHUT_WR);
  });
  std::string got;
  for (int i = 0; i < 20; ++i) {
    got += receive(s.client, 64 << 10);
    std::this_thread::sleep_for(60ms);
  }
  got += receive(s.client);
  pours.join();
  CHECK((got == octets));
  ::shutdown(s.client, SHUT_WR);
  CHECK(s.ended());
  CHECK(s.seen.end->reason == core::reason::allowed);
}

TEST_CASE("with the memory used up nothing is kept, and nothing is lost") {
  memory_budget budget(100'000, 1);
  auto lease = std::make_shared<memory_lease>(budget);
  REQUIRE(lease->take(60'000));  // what is left holds no full read
  stage s({.memory = lease}, "early ");
  CHECK(receive(s.origin, 6) == "early ");
  const auto up = pattern(9 << 20);
  const auto down = pattern((5 << 20) + 321);
  const auto got = exchange(s, up, down);
  CHECK((got.up == up));
  CHECK((got.down == down));
  REQUIRE(s.ended());
  CHECK(s.seen.end->bytes_up == up.size() + 6);
  CHECK(lease->has(40'000));
}

TEST_CASE("what is kept is charged, and given back when the tunnel ends") {
  memory_budget budget(1 << 20, 1);
  auto lease = std::make_shared<memory_lease>(budget);
  {
    stage s({.pipes = 0, .memory = lease});
    const auto octets = pattern(32 << 20);
    std::thread pours([&] { pour(s.origin, octets); });
    std::this_thread::sleep_for(300ms);
    ::shutdown(s.client, SHUT_RDWR);
    ::close(s.client);
    s.client = -1;
    CHECK(s.ended());
    pours.join();
  }
  CHECK(lease->has(1 << 20));
}

TEST_CASE("what came in advance and finds no memory ends the tunnel, and says so") {
  memory_budget budget(100, 1);
  auto lease = std::make_shared<memory_lease>(budget);
  asio::io_context context(1);
  timer_wheel wheel(context);
  relay moving(context, wheel, {.memory = lease});
  outcome_seen seen;
  auto [client, proxy_client] = tcp_pair();
  auto [proxy_origin, origin] = tcp_pair();
  const auto early = pattern(1000);
  CHECK_FALSE(
      moving.add(std::make_unique<recording_owner>(seen), proxy_client, proxy_origin, {.early_up = early}));
  CHECK(seen.end->reason == core::reason::out_of_buffers);
  CHECK(lease->has(100));
  ::close(client);
  ::close(origin);
}
