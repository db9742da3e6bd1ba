// Live tunnels for the relay's tests: the relay on a thread of its own, real sockets on both sides.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "proxy/relay.hpp"

namespace exeat::proxy::testing {

using namespace std::chrono_literals;

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
inline std::pair<int, int> tcp_pair() {
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

inline void non_blocking(int fd) {
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
  int toward_origin = -1;  ///< the relay's; only to be looked at
  std::thread thread;
  asio::executor_work_guard<executor> work{context.get_executor()};

  explicit stage(relay::options options = {}, std::string early_up = {}, std::string early_down = {},
                 const meter* limits = nullptr) {
    moving.emplace(context, wheel, options);
    wheel.start();
    auto [c, proxy_client] = tcp_pair();
    auto [proxy_origin, o] = tcp_pair();
    client = c;
    origin = o;
    toward_origin = proxy_origin;
    non_blocking(proxy_client);
    non_blocking(proxy_origin);
    REQUIRE(moving->add(std::make_unique<recording_owner>(seen), proxy_client, proxy_origin,
                        {.early_up = early_up, .early_down = early_down, .limits = limits}));
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

inline void send_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const auto n = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    REQUIRE(n > 0);
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

/// Until EOF or `most` octets; a reset ends it, too.
inline std::string receive(int fd, std::size_t most = SIZE_MAX) {
  std::string out;
  std::string block(1 << 16, '\0');
  while (out.size() < most) {
    const auto n = ::recv(fd, block.data(), std::min(block.size(), most - out.size()), 0);
    if (n <= 0) break;
    out.append(block.data(), static_cast<std::size_t>(n));
  }
  return out;
}

/// Sends for as long as the other side takes it.
inline void pour(int fd, std::string_view data) {
  while (!data.empty()) {
    const auto n = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (n <= 0) return;
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}

struct exchanged {
  std::string up, down;
};

/// Both ways at once, each with a FIN behind it; gives what arrived.
inline exchanged exchange(stage& s, std::string_view up, std::string_view down) {
  exchanged got;
  const auto send_and_end = [](int fd, std::string_view data) {
    send_all(fd, data);
    ::shutdown(fd, SHUT_WR);
  };
  std::thread origin_reads([&] { got.up = receive(s.origin); });
  std::thread origin_writes([&] { send_and_end(s.origin, down); });
  std::thread client_writes([&] { send_and_end(s.client, up); });
  got.down = receive(s.client);
  origin_reads.join();
  origin_writes.join();
  client_writes.join();
  return got;
}

inline std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  std::uint32_t x = 1;
  for (auto& c : out) {
    x = x * 1664525 + 1013904223;
    c = static_cast<char>(x >> 24);
  }
  return out;
}

}  // namespace exeat::proxy::testing
