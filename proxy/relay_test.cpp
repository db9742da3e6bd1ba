#include "proxy/relay.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <thread>

using namespace exeat;
using namespace exeat::proxy;
using namespace std::chrono_literals;

namespace {

struct outcome_seen {
  std::optional<tunnel_end> end;
  std::uint64_t up = 0;
  std::uint64_t down = 0;
};

class recording_owner final : public tunnel_owner {
 public:
  explicit recording_owner(outcome_seen& seen) : seen_(seen) {}
  void moved(std::uint64_t up, std::uint64_t down) noexcept override {
    seen_.up += up;
    seen_.down += down;
  }
  void ended(const tunnel_end& end) noexcept override { seen_.end = end; }

 private:
  outcome_seen& seen_;
};

/// A connected TCP pair on loopback: resets and back-pressure are those of the real thing.
std::pair<int, int> tcp_pair() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(listener, 1) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  const int a = ::socket(AF_INET, SOCK_STREAM, 0);
  REQUIRE(::connect(a, reinterpret_cast<sockaddr*>(&at), size) == 0);
  const int b = ::accept(listener, nullptr, nullptr);
  ::close(listener);
  return {a, b};
}

void non_blocking(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/// One tunnel with a thread that runs the worker; the test plays client and origin with blocking calls.
struct stage {
  asio::io_context context{1};
  timer_wheel wheel{context};
  std::optional<relay> moving;
  outcome_seen seen;
  int client = -1;
  int origin = -1;
  std::thread thread;
  asio::executor_work_guard<executor> work{context.get_executor()};

  explicit stage(relay::options options = {}, std::string early_up = {}, std::string early_down = {}) {
    moving.emplace(context, wheel, options);
    wheel.start();
    auto [c, proxy_client] = tcp_pair();
    auto [proxy_origin, o] = tcp_pair();
    client = c;
    origin = o;
    non_blocking(proxy_client);
    non_blocking(proxy_origin);
    REQUIRE(moving->add(std::make_unique<recording_owner>(seen), proxy_client, proxy_origin,
                        {.early_up = early_up, .early_down = early_down}));
    thread = std::thread([this] { context.run(); });
  }
  ~stage() {
    finish();
    if (client >= 0) ::close(client);
    if (origin >= 0) ::close(origin);
  }
  void finish() {
    if (!thread.joinable()) return;
    context.stop();
    thread.join();
  }
  /// Waits, bounded, until the tunnel has ended, then joins the worker.
  bool ended() {
    for (int i = 0; i < 1000; ++i) {
      std::size_t live = 1;
      std::atomic<bool> asked = false;
      asio::post(context, [&] {
        live = moving->size();
        asked.store(true, std::memory_order_release);
      });
      while (!asked.load(std::memory_order_acquire)) std::this_thread::sleep_for(1ms);
      if (live == 0) {
        finish();
        return true;
      }
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
};

void send_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const auto n = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    REQUIRE(n > 0);
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

/// Until EOF or `most` octets; a reset ends it, too.
std::string receive(int fd, std::size_t most = SIZE_MAX) {
  std::string out;
  std::string block(1 << 16, '\0');
  while (out.size() < most) {
    const auto n = ::recv(fd, block.data(), std::min(block.size(), most - out.size()), 0);
    if (n <= 0) break;
    out.append(block.data(), static_cast<std::size_t>(n));
  }
  return out;
}

std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  std::uint32_t x = 1;
  for (auto& c : out) {
    x = x * 1664525 + 1013904223;
    c = static_cast<char>(x >> 24);
  }
  return out;
}

}  // namespace

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
    std::string got_up;
    std::thread origin_reads([&] { got_up = receive(s.origin); });
    std::thread origin_writes([&] {
      send_all(s.origin, down);
      ::shutdown(s.origin, SHUT_WR);
    });
    std::thread client_writes([&] {
      send_all(s.client, up);
      ::shutdown(s.client, SHUT_WR);
    });
    const auto got_down = receive(s.client);
    origin_reads.join();
    origin_writes.join();
    client_writes.join();
    CHECK((got_up == up));
    CHECK((got_down == down));
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
