#include "proxy/dialer.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/read.hpp>
#include <filesystem>
#include <optional>
#include <vector>

#include "proxy/dialer_endpoint.hpp"
#include "proxy/dns_test_server.hpp"

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;
using testing::ip;
using testing::loop;
using clock = std::chrono::steady_clock;
using acceptor = asio::basic_socket_acceptor<asio::ip::tcp, executor>;

/// Loopback addresses of this process alone, so that a port which is free on one is free on all of them
/// whatever other tests run beside.
std::string own(int number) {
  const auto pid = static_cast<unsigned>(::getpid());
  return "127." + std::to_string(1 + pid % 250) + "." + std::to_string(pid / 250 % 250) + "." +
         std::to_string(number);
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

/// A listener that accepts into its backlog.
struct origin {
  explicit origin(loop& on, std::string_view address = own(1), std::uint16_t port = 0)
      : listener(on.context.get_executor(), endpoint_of(ip(address), port), true) {}
  std::uint16_t port() const { return listener.local_endpoint().port(); }
  bool has_visitor() {
    listener.non_blocking(true);
    error_code error;
    auto visitor = listener.accept(error);
    return !error;
  }
  acceptor listener;
};

/// An address and port that never answer: a listener whose backlog is full drops every SYN.
struct black_hole {
  explicit black_hole(loop& on, std::string_view address, std::uint16_t port = 0)
      : listener(on.context.get_executor()) {
    const auto at = endpoint_of(ip(address), port);
    listener.open(at.protocol());
    listener.set_option(asio::socket_base::reuse_address(true));
    listener.bind(at);
    listener.listen(0);
    for (int i = 0; i < 4; ++i) {
      fill.emplace_back(on.context.get_executor());
      fill.back().open(at.protocol());
      fill.back().native_non_blocking(true);
      const auto to = listener.local_endpoint();
      (void)::connect(fill.back().native_handle(), to.data(), static_cast<socklen_t>(to.size()));
    }
  }
  std::uint16_t port() const { return listener.local_endpoint().port(); }
  acceptor listener;
  std::vector<tcp_socket> fill;
};

std::uint16_t closed_port(loop& on) {
  return origin(on).port();
}

dial_result dial_all(loop& on, std::initializer_list<std::string_view> texts, std::uint16_t port,
                     dial_options with = {}, dead_addresses* dead = nullptr) {
  std::vector<core::ip_address> addresses;
  for (const auto text : texts) addresses.push_back(ip(text));
  return on.run(dial(on.context, on.wheel, addresses, port, with, dead));
}

int option(const tcp_socket& socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  auto& native = const_cast<tcp_socket&>(socket);
  REQUIRE(::getsockopt(native.native_handle(), level, name, &value, &size) == 0);
  return value;
}

TEST_CASE("a dialled socket is ready for a tunnel") {
  loop on;
  origin there(on);
  for (const bool many : {false, true}) {
    auto made = many ? dial_all(on, {own(1), own(9)}, there.port()) : dial_all(on, {own(1)}, there.port());
    REQUIRE(made);
    CHECK(made->address == ip(own(1)));
    CHECK(made->attempts == 1);
    CHECK(made->socket.remote_endpoint().port() == there.port());
    CHECK(option(made->socket, IPPROTO_TCP, TCP_NODELAY) != 0);
    CHECK(option(made->socket, SOL_SOCKET, SO_KEEPALIVE) != 0);
    CHECK(option(made->socket, IPPROTO_TCP, TCP_KEEPIDLE) == 60);
    CHECK((::fcntl(made->socket.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(made->socket.native_handle(), F_GETFL) & O_NONBLOCK) != 0);
  }
}

TEST_CASE("refused, unreachable, and which of them counts") {
  loop on;
  const auto port = closed_port(on);
  const auto one = dial_all(on, {own(1)}, port);
  REQUIRE_FALSE(one);
  CHECK(one.error().reason == core::reason::connect_refused);
  CHECK(one.error().detail == own(1) + ": Connection refused");
  CHECK(one.error().attempts == 1);

  const auto before = clock::now();
  const auto many = dial_all(on, {own(1), own(2), own(3)}, port, {.attempt_delay = 30s});
  CHECK(clock::now() - before < 20s);  // a refusal starts the next attempt at once
  CHECK(many.error().reason == core::reason::connect_refused);
  CHECK(many.error().attempts == 3);
  CHECK(many.error().detail.find(own(3)) != std::string::npos);

  // TCP to a broadcast address has no route, wherever the machine stands.
  CHECK(dial_all(on, {"255.255.255.255"}, port).error().reason == core::reason::connect_unreachable);
  CHECK(dial_all(on, {"255.255.255.255", own(1)}, port).error().reason == core::reason::connect_refused);
  CHECK(dial_all(on, {}, port).error().reason == core::reason::connect_failed);
}

TEST_CASE("the next address is tried when one fails, and the failed one is dialled last for a while") {
  loop on;
  origin there(on, own(2));
  dead_addresses dead;
  const auto first = dial_all(on, {own(1), own(2)}, there.port(), {.attempt_delay = 30s}, &dead);
  REQUIRE(first);
  CHECK(first->address == ip(own(2)));
  CHECK(first->attempts == 2);
  CHECK(dead.contains(ip(own(1)), there.port(), clock::now()));
  const auto second = dial_all(on, {own(1), own(2)}, there.port(), {}, &dead);
  REQUIRE(second);
  CHECK(second->attempts == 1);

  // Alone it is dialled all the same, and alive again it loses its mark.
  origin back(on, own(1), there.port());
  CHECK(dial_all(on, {own(1)}, there.port(), {}, &dead));
  CHECK_FALSE(dead.contains(ip(own(1)), there.port(), clock::now()));
}

TEST_CASE("an address that does not answer is overtaken, closed and remembered") {
  loop on;
  origin there(on, own(2));
  black_hole hole(on, own(1), there.port());
  dead_addresses dead;
  const auto descriptors = open_descriptors();
  {
    const auto made = dial_all(on, {own(1), own(2)}, there.port(), {.attempt_delay = 50ms}, &dead);
    REQUIRE(made);
    CHECK(made->address == ip(own(2)));
    CHECK(made->attempts == 2);
    CHECK(open_descriptors() == descriptors + 1);
  }
  CHECK(dead.contains(ip(own(1)), there.port(), clock::now()));
  CHECK(dial_all(on, {own(1), own(2)}, there.port(), {.attempt_delay = 30s}, &dead)->attempts == 1);
}

TEST_CASE("nothing is dialled beyond what is needed") {
  loop on;
  origin first(on, own(1));
  origin second(on, own(2), first.port());
  const auto made = dial_all(on, {own(1), own(2)}, first.port(), {.attempt_delay = 30s});
  REQUIRE(made);
  on.for_a_while(20ms);
  CHECK(first.has_visitor());
  CHECK_FALSE(second.has_visitor());
}

TEST_CASE("the limit holds, for one address and for many") {
  loop on;
  black_hole first(on, own(1));
  black_hole second(on, own(2), first.port());
  const auto descriptors = open_descriptors();
  dead_addresses dead;
  const auto before = clock::now();
  const auto one = dial_all(on, {own(1)}, first.port(), {.timeout = 200ms}, &dead);
  REQUIRE_FALSE(one);
  CHECK(one.error().reason == core::reason::connect_timeout);
  CHECK(clock::now() - before >= 200ms);
  CHECK(dead.contains(ip(own(1)), first.port(), clock::now()));
  const auto both = dial_all(on, {own(1), own(2)}, first.port(), {.timeout = 300ms, .attempt_delay = 10ms});
  REQUIRE_FALSE(both);
  CHECK(both.error().reason == core::reason::connect_timeout);
  CHECK(both.error().attempts == 2);
  CHECK(clock::now() - before < 30s);
  CHECK(open_descriptors() == descriptors);

  // Of a refusal and a silence the silence is reported: a path may exist there.
  const auto mixed = dial_all(on, {own(3), own(1)}, first.port(), {.timeout = 200ms});
  CHECK(mixed.error().reason == core::reason::connect_timeout);
  CHECK(mixed.error().detail.find(own(3) + ": Connection refused") != std::string::npos);
}

TEST_CASE("a process without free descriptors says so") {
  loop on;
  origin there(on);
  rlimit was{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &was) == 0);
  const int next = ::dup(0);
  ::close(next);
  rlimit none = was;
  none.rlim_cur = static_cast<rlim_t>(next);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto one = dial_all(on, {own(1)}, there.port());
  const auto many = dial_all(on, {own(1), own(2)}, there.port());
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &was) == 0);
  REQUIRE_FALSE(one);
  CHECK(one.error().reason == core::reason::out_of_descriptors);
  REQUIRE_FALSE(many);
  CHECK(many.error().reason == core::reason::out_of_descriptors);
  CHECK(dial_all(on, {own(1)}, there.port()));
}

TEST_CASE("a caller that is cancelled leaves no socket behind") {
  for (const bool many : {false, true}) {
    loop on;
    black_hole first(on, own(1));
    black_hole second(on, own(2), first.port());
    const auto descriptors = open_descriptors();
    asio::cancellation_signal stop;
    std::optional<dial_result> result;
    bool ended = false;
    std::vector<core::ip_address> addresses{ip(own(1))};
    if (many) addresses.push_back(ip(own(2)));
    asio::co_spawn(on.context,
                   loop::keep(dial(on.context, on.wheel, addresses, first.port(),
                                   {.timeout = 0ms, .attempt_delay = 1ms}),
                              result),
                   asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr) { ended = true; }));
    on.until([&] { return open_descriptors() == descriptors + addresses.size(); });
    stop.emit(asio::cancellation_type::terminal);
    on.until([&] { return ended; });
    CHECK_FALSE((result && result->has_value()));
    CHECK(open_descriptors() == descriptors);
  }
}

TEST_CASE("the loop may end in the middle of a dial") {
  for (const bool many : {false, true}) {
    const auto descriptors = open_descriptors();
    std::optional<dial_result> result;
    {
      loop on;
      black_hole first(on, own(1));
      black_hole second(on, own(2), first.port());
      std::vector<core::ip_address> addresses{ip(own(1))};
      if (many) addresses.push_back(ip(own(2)));
      asio::co_spawn(
          on.context,
          loop::keep(dial(on.context, on.wheel, addresses, first.port(), {.attempt_delay = 1ms}), result),
          asio::detached);
      on.for_a_while(100ms);
    }
    CHECK_FALSE(result);
    CHECK(open_descriptors() == descriptors);
  }
}

TEST_CASE("both families: IPv6 first, IPv4 where IPv6 is closed") {
  loop on;
  origin v4(on, "127.0.0.1");
  std::optional<origin> v6;
  const auto first = dial_all(on, {"127.0.0.1", "::1"}, v4.port(), {.attempt_delay = 30s});
  REQUIRE(first);
  CHECK(first->address == ip("127.0.0.1"));
  CHECK(first->attempts <= 2);
  try {
    v6.emplace(on, "::1", v4.port());
  } catch (const boost::system::system_error&) {
    MESSAGE("no IPv6 loopback here");
    return;
  }
  const auto second = dial_all(on, {"127.0.0.1", "::1"}, v4.port(), {.attempt_delay = 30s});
  REQUIRE(second);
  CHECK(second->address == ip("::1"));
  CHECK(second->attempts == 1);
}

TEST_CASE("many dials at a time") {
  loop on;
  origin there(on, own(2));
  dead_addresses dead;
  const std::vector<core::ip_address> addresses{ip(own(1)), ip(own(2))};
  std::vector<std::optional<dial_result>> results(100);
  for (auto& result : results)
    asio::co_spawn(on.context,
                   loop::keep(dial(on.context, on.wheel, addresses, there.port(), {}, &dead), result),
                   asio::detached);
  on.until(
      [&] { return std::ranges::all_of(results, [](const auto& result) { return result.has_value(); }); });
  for (const auto& result : results) {
    REQUIRE(*result);
    CHECK((*result)->address == ip(own(2)));
  }
}

TEST_CASE("a socket that met itself is known") {
  loop on;
  tcp_socket socket(on.context.get_executor(), endpoint_of(ip(own(1)), 0));
  const auto itself = socket.local_endpoint();
  socket.connect(itself);  // simultaneous open
  CHECK(connected_to_itself(socket, ip(own(1)), itself.port()));
  origin there(on);
  const auto other = dial_all(on, {own(1)}, there.port());
  REQUIRE(other);
  CHECK_FALSE(connected_to_itself(other->socket, ip(own(1)), there.port()));
}

}  // namespace
}  // namespace exeat::proxy
