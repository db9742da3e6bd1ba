#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "cli/connect_bridge.hpp"

using namespace exeat;
using cli::owned_fd;

namespace {

std::string read_to_end(int fd) {
  std::string out;
  char buffer[65536];
  for (;;) {
    const auto got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return got < 0 ? out + "<aborted>" : out;
    out.append(buffer, static_cast<std::size_t>(got));
  }
}

void write_all(int fd, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const auto n = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;
    sent += static_cast<std::size_t>(n);
  }
}

// A unix socket that listens, in a directory of its own.
struct unix_listener {
  unix_listener() {
    std::string name = (std::filesystem::temp_directory_path() / "exeat-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    directory = name;
    path = name + "/s";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
  }
  ~unix_listener() { std::filesystem::remove_all(directory); }
  owned_fd accept() const { return owned_fd(::accept(fd.get(), nullptr, nullptr)); }

  owned_fd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string directory;
  std::string path;
};

// A loopback TCP port that listens.
struct tcp_listener {
  tcp_listener() {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
    REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  }
  owned_fd connect() const {
    owned_fd out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(out.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return out;
  }
  owned_fd accept() const { return owned_fd(::accept(fd.get(), nullptr, nullptr)); }

  owned_fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
};

}  // namespace

TEST_CASE("the bridge carries both directions whole, and the end of one before the end of the other") {
  const unix_listener proxy;
  const tcp_listener port;
  const std::string question(3'000'000, 'q');
  const std::string answer(2'000'000, 'a');
  std::string heard;
  std::thread server([&] {
    const auto peer = proxy.accept();
    heard = read_to_end(peer.get());  // returns only once the client's half is closed
    write_all(peer.get(), answer);
  });
  const auto client = port.connect();
  std::thread bridge([&] { cli::bridge(port.accept(), proxy.path); });
  write_all(client.get(), question);
  ::shutdown(client.get(), SHUT_WR);
  const auto got = read_to_end(client.get());
  server.join();
  bridge.join();
  CHECK(heard.size() == question.size());
  CHECK(heard == question);
  CHECK(got == answer);
}

TEST_CASE("an answer arrives although the proxy no longer reads") {
  const unix_listener proxy;
  const tcp_listener port;
  std::thread server([&] {
    const auto peer = proxy.accept();
    ::shutdown(peer.get(), SHUT_RD);
    write_all(peer.get(), "HTTP/1.1 403 egress-denied no-rule\r\n\r\n");
  });
  const auto client = port.connect();
  std::thread bridge([&] { cli::bridge(port.accept(), proxy.path); });
  CHECK(read_to_end(client.get()) == "HTTP/1.1 403 egress-denied no-rule\r\n\r\n");
  ::shutdown(client.get(), SHUT_RDWR);
  server.join();
  bridge.join();
}

TEST_CASE("without a proxy behind the socket the client is let go") {
  const tcp_listener port;
  const auto client = port.connect();
  cli::bridge(port.accept(), "/nonexistent/socket");
  CHECK(read_to_end(client.get()).empty());
  CHECK(cli::connect_unix("/nonexistent/socket").get() < 0);
  CHECK(cli::connect_unix(std::string(200, 'x')).get() < 0);
  CHECK(cli::connect_unix("").get() < 0);
}

TEST_CASE("a process of another user is turned away") {
  const tcp_listener port;
  const auto client = port.connect();
  const auto accepted = port.accept();
  CHECK(cli::peer_is_ours(accepted.get()));
  if (::geteuid() != 0) {
    MESSAGE("not root: the case with another user is left out");
    return;
  }
  int gate[2];
  REQUIRE(::pipe(gate) == 0);
  const ::pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(12345) != 0) ::_exit(1);
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&port.address), sizeof port.address) != 0) ::_exit(1);
    ::close(gate[1]);
    char octet = 0;
    // Lives until the test has looked at the connection.
    while (::read(gate[0], &octet, 1) > 0) {
    }
    ::_exit(0);
  }
  const auto foreign = port.accept();
  CHECK_FALSE(cli::peer_is_ours(foreign.get()));
  ::close(gate[0]);
  ::close(gate[1]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  // Closed by now, its row shows uid 0: still not ours.
  CHECK_FALSE(cli::peer_is_ours(foreign.get()));
}

TEST_CASE("a connection that its process has closed already is nobody's") {
  const tcp_listener port;
  auto client = port.connect();
  const auto accepted = port.accept();
  client = owned_fd(-1);
  CHECK_FALSE(cli::peer_is_ours(accepted.get()));
}
