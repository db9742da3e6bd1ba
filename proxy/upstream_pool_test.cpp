#include "proxy/upstream_pool.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

using namespace exeat;
using namespace exeat::proxy;
using namespace std::chrono_literals;

namespace {

struct stage {
  asio::io_context context{1};
  timer_wheel wheel{context};
  upstream_pool pool{wheel, {.per_key = 2, .total = 3, .idle = 1s}};

  upstream_key key(std::string origin) const {
    return {.phase = {}, .job = "a-job-with-a-long-name", .origin = std::move(origin), .via = nullptr};
  }
  /// The origin's end of it stays open in `ends`.
  upstream_connection connection() {
    std::array<int, 2> made{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, made.data()) == 0);
    stream_socket socket(context.get_executor());
    socket.assign(asio::generic::stream_protocol(AF_UNIX, 0), made[0]);
    ends.push_back(made[1]);
    return {.socket = std::move(socket), .address = {}, .via = nullptr};
  }
  /// Gives a connection to the pool; its descriptor.
  int put(const upstream_key& to) {
    auto made = connection();
    const int fd = made.socket.native_handle();
    pool.put(to, std::move(made), pool.generation());
    return fd;
  }
  int take(const upstream_key& from) {
    auto got = pool.take(from);
    return got ? got->socket.release() : -1;
  }
  /// Whether our end of the `i`th connection is gone.
  bool is_closed(std::size_t i) {
    char octet = 0;
    return ::recv(ends[i], &octet, 1, MSG_DONTWAIT) == 0;
  }
  ~stage() {
    for (const int fd : ends) ::close(fd);
  }
  std::vector<int> ends;
};

}  // namespace

TEST_CASE("an idle connection serves its own key alone, the latest first") {
  stage s;
  const auto a = s.key("origin-a.corp.example:80");
  const auto b = s.key("origin-b.corp.example:80");
  CHECK(s.take(a) == -1);
  const int first = s.put(a);
  const int second = s.put(a);
  CHECK(s.take(b) == -1);
  auto other_job = a;
  other_job.job = "another";
  CHECK(s.take(other_job) == -1);
  auto other_phase = a;
  other_phase.phase = static_cast<metrics::phase_slot>(1);
  CHECK(s.take(other_phase) == -1);
  CHECK(s.pool.size() == 2);
  const int got = s.take(a);
  CHECK(got == second);
  ::close(got);
  const int left = s.take(a);
  CHECK(left == first);
  ::close(left);
  CHECK(s.take(a) == -1);
  CHECK(s.pool.size() == 0);
}

TEST_CASE("no more connections are kept than the limits say") {
  stage s;
  const auto a = s.key("a:80");
  s.put(a);
  s.put(a);
  s.put(a);
  CHECK(s.pool.size() == 2);
  CHECK(s.is_closed(2));
  s.put(s.key("b:80"));
  s.put(s.key("c:80"));
  CHECK(s.pool.size() == 3);
  CHECK(s.is_closed(4));
  CHECK_FALSE(s.is_closed(3));
}

TEST_CASE("a connection that has closed, or on which something came unasked, is not used") {
  stage s;
  const auto a = s.key("a:80");
  s.put(a);
  s.put(a);
  CHECK(::send(s.ends[1], "x", 1, MSG_NOSIGNAL) == 1);
  ::shutdown(s.ends[0], SHUT_WR);
  CHECK(s.take(a) == -1);
  CHECK(s.pool.size() == 0);
  CHECK(s.is_closed(0));
}

TEST_CASE("a connection expires, and its place is used again for another key") {
  stage s;
  const auto a = s.key("a:80");
  const auto b = s.key("b:80");
  const auto now = std::chrono::steady_clock::now();
  s.put(a);
  s.wheel.advance(now + 2s);
  CHECK(s.pool.size() == 0);
  CHECK(s.is_closed(0));
  CHECK(s.take(a) == -1);
  const int fd = s.put(b);
  CHECK(s.take(a) == -1);
  const int got = s.take(b);
  CHECK(got == fd);
  ::close(got);
  // What was taken has no deadline any more.
  s.wheel.advance(now + 10s);
  CHECK(s.pool.size() == 0);
}

TEST_CASE("after a reload nothing that was dialled before it is used") {
  stage s;
  const auto a = s.key("a:80");
  s.put(a);
  const auto before = s.pool.generation();
  s.pool.clear();
  CHECK(s.is_closed(0));
  s.pool.put(a, s.connection(), before);
  CHECK(s.pool.size() == 0);
  CHECK(s.take(a) == -1);
}
