#include "cli/admin_client.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>

#include "cli/connect_bridge.hpp"

using namespace exeat;
using namespace exeat::cli;

namespace {

/// Answers one connection to a unix socket with these octets, and closes it.
class one_answer {
 public:
  explicit one_answer(std::string octets) {
    std::string name = std::filesystem::temp_directory_path() / "exeat-test-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    listener_ = owned_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
    thread_ = std::thread([this, octets = std::move(octets)] {
      const owned_fd client(::accept(listener_.get(), nullptr, nullptr));
      char buffer[4096];
      while (!asked_.contains("\r\n\r\n")) {
        const auto got = ::recv(client.get(), buffer, sizeof buffer, 0);
        if (got <= 0) return;
        asked_.append(buffer, static_cast<std::size_t>(got));
      }
      ::send(client.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
    });
  }
  ~one_answer() {
    if (thread_.joinable()) thread_.join();
    std::filesystem::remove_all(folder_);
  }
  one_answer(const one_answer&) = delete;
  one_answer& operator=(const one_answer&) = delete;

  std::string path() const { return folder_ / "s"; }
  /// What the client sent; once it has been answered.
  const std::string& asked() {
    thread_.join();
    return asked_;
  }

 private:
  std::filesystem::path folder_;
  owned_fd listener_{-1};
  std::string asked_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("an admin URL is http, a host and a port") {
  const auto is = [](std::string_view text, std::string_view host, std::string_view port) {
    const auto url = parse_admin_url(text);
    return url && url->host == host && url->port == port;
  };
  CHECK(is("http://127.0.0.1:9400", "127.0.0.1", "9400"));
  CHECK(is("http://metrics.corp.example/", "metrics.corp.example", "80"));
  CHECK(is("http://[::1]:9400/", "::1", "9400"));
  CHECK(is("http://[::1]", "::1", "80"));
  for (const char* wrong : {"", "127.0.0.1:9400", "https://127.0.0.1", "http://", "http://:80",
                            "http://a:", "http://a:x", "http://a:123456", "http://a/b", "http://u@a:1",
                            "http://[::1", "http://[::1]x:1", "http://a\r\nb:1", "http://a b"})
    CHECK_MESSAGE(!parse_admin_url(wrong), wrong);
}

TEST_CASE("one request, one answer") {
  one_answer server("HTTP/1.1 409 Conflict\r\nContent-Length: 3\r\n\r\nno\nrest");
  const auto reply =
      ask(server.path(), {.method = "POST", .target = "/-/x", .body = "{}", .bearer = "secret"});
  REQUIRE_MESSAGE(reply, reply.error());
  CHECK(reply->status == 409);
  CHECK(reply->body == "no\n");
  CHECK(server.asked() ==
        "POST /-/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer secret\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
}

TEST_CASE("what is no answer is an error") {
  for (const char* octets :
       {"", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"}) {
    CAPTURE(octets);
    one_answer server(octets);
    const auto reply = ask(server.path(), {.target = "/", .body = {}, .bearer = {}});
    CHECK_FALSE(reply);
  }
}

TEST_CASE("no process: the error says what to do") {
  const auto nowhere = ask(std::string("/nonexistent/exeat.sock"), {.target = "/", .body = {}, .bearer = {}});
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().contains("no `exeat serve` runs"));
  const auto choice = find_process({.control = "/x", .config_file = {}, .url = {}});
  REQUIRE(choice);
  CHECK(std::get<std::string>(*choice) == "/x");
  CHECK_FALSE(find_process({.control = {}, .config_file = "/nonexistent/exeat.yaml", .url = {}}));
}
