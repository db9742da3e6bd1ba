// Keep-alive of both sides of a tunnel: the client's comes from its listener, the origin's from the relay.
#include "proxy/keep_alive.hpp"

#include "proxy/listen_socket.hpp"
#include "proxy/relay_test_stage.hpp"
#include "proxy/socket_address.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

namespace {

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(fd, level, name, &value, &size) == 0);
  return value;
}

bool is_kept_alive(int fd) {
  return option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1 && option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 60 &&
         option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 15 && option(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4;
}

}  // namespace

TEST_CASE("what a listener accepts is kept alive, and sends small pieces at once") {
  for (const auto* address : {"127.0.0.1", "::1"}) {
    config::listener wanted;
    wanted.endpoint = config::tcp_endpoint{core::ip_address::parse(address).value(), 0};
    wanted.phase = "agent";
    auto bound = bind_listener(wanted, 2);
    if (!bound && std::string_view(address) == "::1") continue;  // no IPv6 here
    REQUIRE(bound);
    const auto& at = std::get<config::tcp_endpoint>(bound->bound);
    sockaddr_storage to{};
    socklen_t size = sizeof(sockaddr_in);
    if (at.address.is_v4()) {
      auto& in = reinterpret_cast<sockaddr_in&>(to);
      in.sin_family = AF_INET;
      in.sin_port = htons(at.port);
      in.sin_addr.s_addr = htonl(at.address.v4_value());
    } else {
      auto& in = reinterpret_cast<sockaddr_in6&>(to);
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(at.port);
      in.sin6_addr = in6addr_loopback;
      size = sizeof in;
    }
    // The kernel chooses among the workers' sockets; one of some connections reaches each.
    std::array<bool, 2> reached{};
    for (int i = 0; i < 200 && !(reached[0] && reached[1]); ++i) {
      const int client = ::socket(to.ss_family, SOCK_STREAM, 0);
      REQUIRE(::connect(client, reinterpret_cast<const sockaddr*>(&to), size) == 0);
      for (std::size_t worker = 0; worker < 2; ++worker) {
        const int accepted = ::accept4(bound->descriptors[worker], nullptr, nullptr, SOCK_NONBLOCK);
        if (accepted < 0) continue;
        reached[worker] = true;
        CHECK(is_kept_alive(accepted));
        CHECK(option(accepted, IPPROTO_TCP, TCP_NODELAY) != 0);
        ::close(accepted);
      }
      ::close(client);
    }
    CHECK(reached[0]);
    CHECK(reached[1]);
    close_listener(*bound);
  }
}

TEST_CASE("the relay keeps the origin's connection alive once a tunnel lives long enough to need it") {
  stage late({.stall = 400ms});
  CHECK_FALSE(is_kept_alive(late.toward_origin));
  for (int i = 0; i < 1000 && !is_kept_alive(late.toward_origin); ++i) std::this_thread::sleep_for(10ms);
  CHECK(is_kept_alive(late.toward_origin));

  const stage at_once({.stall = 0ms});
  CHECK(is_kept_alive(at_once.toward_origin));
}
