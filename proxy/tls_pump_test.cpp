// What goes through a front once the hands are shaken, and how it ends.
#include <poll.h>
#include <sys/ioctl.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <random>

#include "proxy/abrupt_end.hpp"
#include "proxy/tls_test_stage.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

namespace {

struct connected {
  authority of;
  front_stage stage{load(of.files())};
  tls_client client{stage.client};
  int plain = -1;

  connected() {
    REQUIRE(client.connect());
    plain = stage.plain();
  }
  ~connected() {
    if (plain >= 0) close_plain();
  }
  void close_plain() { stage.worker.close(std::exchange(plain, -1)); }
  bool soon_empty() { return stage.worker.soon_empty(); }
};

void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n <= 0) break;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  CHECK(text.empty());
}

// Until EOF, an error (in errno, else 0) or `most` octets.
std::string receive(int fd, std::size_t most = SIZE_MAX) {
  std::string out;
  std::vector<char> block(1 << 16);
  errno = 0;
  while (out.size() < most) {
    const auto n = ::recv(fd, block.data(), std::min(block.size(), most - out.size()), 0);
    if (n <= 0) break;
    out.append(block.data(), static_cast<std::size_t>(n));
  }
  return out;
}

}  // namespace

TEST_CASE("32 MiB each way at once arrive as they were sent") {
  connected c;
  const auto data = octets(std::size_t{32} << 20);
  // The client with its one SSL object: one thread writes while the other reads would race; so it takes
  // turns.
  std::string at_session;
  std::thread session_reads([&] { at_session = receive(c.plain, data.size()); });
  std::thread session_writes([&] { send_all(c.plain, data); });
  std::string at_client;
  constexpr std::size_t piece = 128 << 10;
  for (std::size_t at = 0; at < data.size(); at += piece) {
    if (!c.client.write(std::string_view(data).substr(at, piece))) break;
    at_client += c.client.read(piece);
  }
  session_reads.join();
  session_writes.join();
  CHECK((at_session == data));
  CHECK((at_client == data));
}

TEST_CASE("either way ends by itself, the other one goes on") {
  SUBCASE("the client first") {
    connected c;
    REQUIRE(c.client.write("request"));
    CHECK(SSL_shutdown(c.client.ssl.get()) == 0);
    CHECK(receive(c.plain) == "request");
    CHECK(errno == 0);
    CHECK_FALSE(ended_abruptly(c.plain));
    const auto data = octets(3 << 20);
    std::thread writer([&] {
      send_all(c.plain, data);
      ::shutdown(c.plain, SHUT_WR);
    });
    bool orderly = false;
    CHECK((c.client.read(SIZE_MAX, &orderly) == data));
    CHECK(orderly);
    writer.join();
    c.client.close();
    CHECK(c.soon_empty());
  }
  SUBCASE("the session first") {
    connected c;
    send_all(c.plain, "answer");
    ::shutdown(c.plain, SHUT_WR);
    bool orderly = false;
    CHECK(c.client.read(SIZE_MAX, &orderly) == "answer");
    CHECK(orderly);
    const auto data = octets(3 << 20);
    std::thread writer([&] {
      CHECK(c.client.write(data));
      SSL_shutdown(c.client.ssl.get());
    });
    CHECK((receive(c.plain) == data));
    CHECK(errno == 0);
    CHECK_FALSE(ended_abruptly(c.plain));
    writer.join();
    c.client.close();
    CHECK(c.soon_empty());
  }
}

TEST_CASE("a session that closes leaves the client everything that it wrote, and close_notify") {
  connected c;
  const auto data = octets(150 << 10);  // more than a record, less than the socketpair takes at once
  send_all(c.plain, data);
  c.close_plain();
  bool orderly = false;
  CHECK((c.client.read(SIZE_MAX, &orderly) == data));
  CHECK(orderly);
  c.client.close();
  CHECK(c.soon_empty());
}

TEST_CASE("a session that closes is noticed although the client is silent, or has shut down its way") {
  connected c;
  SUBCASE("silent") {}
  SUBCASE("shut down") {
    SSL_shutdown(c.client.ssl.get());
    CHECK(receive(c.plain).empty());
  }
  SUBCASE("the session's way had ended before") {
    ::shutdown(c.plain, SHUT_WR);
    bool orderly = false;
    CHECK(c.client.read(1, &orderly).empty());
    CHECK(orderly);
  }
  c.close_plain();
  bool orderly = false;
  c.client.read(SIZE_MAX, &orderly);
  CHECK(orderly);
  c.client.close();
  CHECK(c.soon_empty());
}

TEST_CASE("many records at once with no octet in them leave others their turn") {
  connected c;
  auto* ssl = c.client.ssl.get();
  SSL_set0_wbio(ssl, BIO_new(BIO_s_mem()));
  for (int i = 0; i < 20'000; ++i) {
    REQUIRE(SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
    REQUIRE(SSL_do_handshake(ssl) == 1);
  }
  char* data = nullptr;
  const auto size = BIO_get_mem_data(SSL_get_wbio(ssl), &data);
  const std::string flood(data, static_cast<std::size_t>(size));
  SSL_set0_wbio(ssl, BIO_new_socket(c.client.fd, BIO_NOCLOSE));

  // All there before the worker has looked at any of it.
  std::size_t sent = 0;
  const auto unread = [&] {
    int octets = 0;
    ::ioctl(c.stage.server, FIONREAD, &octets);
    return octets;
  };
  int before = 0;
  int turns = 0;  // of another handler between two of the front's
  std::promise<void> empty;
  const std::function<void()> look = [&] {
    const int now = unread();
    if (now == 0) return empty.set_value();
    if (now < before) ++turns;
    asio::post(c.stage.worker.context, look);
  };
  c.stage.worker.on_thread([&] {
    const auto n = ::send(c.client.fd, flood.data(), flood.size(), MSG_DONTWAIT);
    if (n > 0) sent = static_cast<std::size_t>(n);
    before = unread();
    asio::post(c.stage.worker.context, look);
  });
  REQUIRE(before > static_cast<int>(live_fronts::scratch_size));
  empty.get_future().get();
  CHECK(turns > 0);
  send_all(c.client.fd, std::string_view(flood).substr(sent));
  REQUIRE(c.client.write("after all"));
  CHECK(receive(c.plain, 9) == "after all");
}

TEST_CASE("a client that ends without close_notify is a reset to the session") {
  connected c;
  REQUIRE(c.client.write("half a requ"));
  CHECK(receive(c.plain, 11) == "half a requ");
  SUBCASE("FIN") {
    c.client.close();
  }
  SUBCASE("half close of TCP") {
    ::shutdown(c.client.fd, SHUT_WR);
  }
  SUBCASE("RST") {
    end_abruptly_on_close(c.client.fd);
    c.client.close();
  }
  SUBCASE("octets that are no TLS") {
    send_all(c.client.fd, "garbage that is longer than the header of a record");
  }
  CHECK(receive(c.plain).empty());
  CHECK(errno == ECONNRESET);
  CHECK(ended_abruptly(c.plain));
  CHECK(c.soon_empty());
}

TEST_CASE("an abrupt end shows also where the session has shut down its own way") {
  connected c;
  ::shutdown(c.plain, SHUT_WR);
  bool orderly = false;
  CHECK(c.client.read(1, &orderly).empty());
  CHECK(orderly);
  c.client.close();
  CHECK(receive(c.plain).empty());
  CHECK(ended_abruptly(c.plain));
}

TEST_CASE("a session that ends abruptly is a reset to the client") {
  connected c;
  send_all(c.plain, "half an ans");
  CHECK(c.client.read(11) == "half an ans");
  end_abruptly_on_close(c.plain);
  c.close_plain();
  bool orderly = true;
  CHECK(c.client.read(SIZE_MAX, &orderly).empty());
  CHECK_FALSE(orderly);
  CHECK(c.soon_empty());
}

TEST_CASE("who does not read stops who writes, and nothing spins") {
  connected c;
  const auto cpu_of_worker = [&] {
    timespec now{};
    c.stage.worker.on_thread([&] { ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); });
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
  };
  ::fcntl(c.plain, F_SETFL, O_NONBLOCK);
  const std::string block(1 << 16, 'x');
  std::size_t sent = 0;
  // Full, and still full after a moment in which the front could have taken more.
  for (int quiet = 0; quiet < 40;) {
    const auto n = ::send(c.plain, block.data(), block.size(), MSG_NOSIGNAL);
    quiet = n > 0 ? 0 : quiet + 1;
    if (n > 0) sent += static_cast<std::size_t>(n);
    REQUIRE(sent < (std::size_t{256} << 20));
    if (n <= 0) std::this_thread::sleep_for(5ms);
  }
  const auto before = cpu_of_worker();
  std::this_thread::sleep_for(300ms);
  CHECK(cpu_of_worker() - before < 0.15);  // a spin would have taken all of it
  CHECK(c.client.read(sent).size() == sent);
}

TEST_CASE("a session that does not read stops the client, and then gets everything") {
  connected c;
  const auto data = octets(std::size_t{24} << 20);  // more than all buffers of the kernel on the way
  std::atomic<bool> written = false;
  std::thread writer([&] {
    CHECK(c.client.write(data));
    SSL_shutdown(c.client.ssl.get());
    written = true;
  });
  std::this_thread::sleep_for(100ms);
  CHECK_FALSE(written);
  CHECK((receive(c.plain) == data));
  CHECK(errno == 0);
  writer.join();
}

TEST_CASE("a client that does not read cannot keep a session's cut from it") {
  connected c;
  ::fcntl(c.plain, F_SETFL, O_NONBLOCK);
  const std::string block(1 << 16, 'x');
  for (int quiet = 0; quiet < 20;) {
    const auto n = ::send(c.plain, block.data(), block.size(), MSG_NOSIGNAL);
    quiet = n > 0 ? 0 : quiet + 1;
    if (n <= 0) std::this_thread::sleep_for(5ms);
  }
  end_abruptly_on_close(c.plain);
  c.close_plain();
  CHECK(c.soon_empty());
  bool orderly = true;
  c.client.read(SIZE_MAX, &orderly);
  CHECK_FALSE(orderly);
}

TEST_CASE("abort ends both sides at once") {
  connected c;
  c.stage.worker.on_thread([&] { c.stage.worker.fronts.abort_all(); });
  CHECK(receive(c.plain).empty());
  CHECK(errno == ECONNRESET);
  bool orderly = true;
  CHECK(c.client.read(SIZE_MAX, &orderly).empty());
  CHECK_FALSE(orderly);
  CHECK(c.soon_empty());
}

TEST_CASE("a descriptor of the session that was used again is left alone") {
  connected c;
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  // The session's end is closed, and another socket has its number, at one stroke.
  const int again = std::exchange(c.plain, -1);
  c.stage.worker.on_thread([&] { REQUIRE(::dup2(pair[0], again) == again); });
  c.client.close();
  c.stage.worker.on_thread([&] { c.stage.worker.fronts.abort_all(); });
  CHECK(c.soon_empty());
  pollfd now{.fd = pair[1], .events = POLLIN, .revents = 0};
  CHECK(::poll(&now, 1, 0) == 0);
  for (const int fd : {pair[0], pair[1], again}) ::close(fd);
}

TEST_CASE("those who leave make room for one another") {
  authority of;
  const auto tls = load(of.files());
  worker_stage worker;
  std::vector<std::unique_ptr<tls_client>> clients;
  constexpr std::size_t beyond = 8;
  for (std::size_t i = 0; i < live_fronts::most_leaving + beyond; ++i) {
    const auto [c, s] = connected_pair();
    std::promise<int> plain;
    worker.on_thread([&, server = s] {
      start_tls(worker.context, worker.wheel, tls, server, 20s, worker.fronts,
                [&](auto outcome) { plain.set_value(outcome ? outcome->fd : -1); });
    });
    clients.push_back(std::make_unique<tls_client>(c));
    REQUIRE(clients.back()->connect());
    const int fd = plain.get_future().get();
    REQUIRE(fd >= 0);
    worker.close(fd);
    // The front leaves; its client never does. Wait until it is among them.
    bool orderly = false;
    if (i < beyond) CHECK(clients.back()->read(1, &orderly).empty());
  }
  std::size_t leaving = 0;
  for (int i = 0; i < 400 && leaving != live_fronts::most_leaving; ++i) {
    worker.on_thread([&] { leaving = worker.fronts.state()->leaving_count; });
    std::this_thread::sleep_for(5ms);
  }
  CHECK(leaving <= live_fronts::most_leaving);
  worker.on_thread([&] { CHECK(worker.fronts.state()->all.empty()); });
}

TEST_CASE("whatever both sides do, nothing is left and no descriptor is lost") {
  const authority of;
  const auto tls = load(of.files());
  const auto open_descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                         std::filesystem::directory_iterator{});
  };
  std::mt19937 random(4);
  const auto pick = [&](unsigned n) { return static_cast<unsigned>(random()) % n; };
  const auto data = octets(1 << 20);
  worker_stage worker;
  const auto before = open_descriptors();
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    const auto [c, s] = connected_pair();
    std::promise<int> promise;
    worker.on_thread([&, server = s] {
      start_tls(worker.context, worker.wheel, tls, server, 20s, worker.fronts,
                [&](auto outcome) { promise.set_value(outcome ? outcome->fd : -1); });
    });
    tls_client client(c);
    REQUIRE(client.connect());
    int plain = promise.get_future().get();
    REQUIRE(plain >= 0);
    ::fcntl(client.fd, F_SETFL, O_NONBLOCK);
    std::vector<char> block(1 << 17);
    std::size_t up = 0;
    std::size_t down = 0;
    std::size_t up_seen = 0;
    std::size_t down_seen = 0;
    bool client_done = false;
    bool session_done = false;
    std::size_t pending = 0;  // of a write that OpenSSL wants to see again
    for (int steps = 0; steps < 60 && client.fd >= 0 && plain >= 0; ++steps) {
      const auto size = std::size_t{1} << pick(17);
      switch (pick(12)) {
        case 0:
        case 1:
        case 2: {
          if (client_done || up + (1 << 17) > data.size()) break;
          SSL_set_mode(client.ssl.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
          const auto most = pending != 0 ? pending : size;
          const int n = SSL_write(client.ssl.get(), data.data() + up, static_cast<int>(most));
          pending = n > 0 ? 0 : most;
          if (n > 0) up += static_cast<std::size_t>(n);
          break;
        }
        case 3:
        case 4:
        case 5: {
          if (session_done || down + size > data.size()) break;
          const auto n = ::send(plain, data.data() + down, size, MSG_NOSIGNAL | MSG_DONTWAIT);
          if (n > 0) down += static_cast<std::size_t>(n);
          break;
        }
        case 6:
        case 7: {
          const auto n = ::recv(plain, block.data(), block.size(), MSG_DONTWAIT);
          if (n <= 0) break;
          CHECK(std::memcmp(block.data(), data.data() + up_seen, static_cast<std::size_t>(n)) == 0);
          up_seen += static_cast<std::size_t>(n);
          CHECK(up_seen <= up + pending);
          break;
        }
        case 8:
        case 9: {
          const int n = SSL_read(client.ssl.get(), block.data(), static_cast<int>(block.size()));
          if (n <= 0) break;
          CHECK(std::memcmp(block.data(), data.data() + down_seen, static_cast<std::size_t>(n)) == 0);
          down_seen += static_cast<std::size_t>(n);
          CHECK(down_seen <= down);
          break;
        }
        case 10:
          if (pick(4) != 0) break;
          if (pick(2) == 0 && pending == 0 && !std::exchange(client_done, true))
            SSL_shutdown(client.ssl.get());
          if (pick(2) == 0 && !std::exchange(session_done, true)) ::shutdown(plain, SHUT_WR);
          break;
        default:
          if (pick(12) != 0) break;
          if (pick(2) == 0) end_abruptly_on_close(plain);
          if (pick(2) == 0) end_abruptly_on_close(client.fd);
          if (pick(2) == 0)
            client.close();
          else
            worker.close(std::exchange(plain, -1));
      }
    }
    if (plain >= 0) worker.close(plain);
    client.close();
  }
  CHECK(worker.soon_empty());
  CHECK(open_descriptors() == before);
}
