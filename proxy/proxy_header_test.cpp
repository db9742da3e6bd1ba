#include "proxy/proxy_header.hpp"

#include "proxy/tls_test_stage.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

namespace {

struct header_stage {
  worker_stage worker;
  int client = -1;
  std::future<std::expected<proxied, front_failure>> result;

  explicit header_stage(std::chrono::milliseconds timeout = 20s) {
    const auto [c, s] = connected_pair();
    client = c;
    auto promise = std::make_shared<std::promise<std::expected<proxied, front_failure>>>();
    result = promise->get_future();
    worker.on_thread([&, server = s] {
      read_proxy_header(worker.context, worker.wheel, server, timeout, worker.fronts,
                        [promise](auto outcome) { promise->set_value(std::move(outcome)); });
    });
  }
  ~header_stage() {
    if (client >= 0) ::close(client);
  }
  void say(std::string_view text) {
    REQUIRE(::send(client, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<::ssize_t>(text.size()));
  }
  std::expected<proxied, front_failure> outcome() {
    REQUIRE(result.wait_for(20s) == std::future_status::ready);
    return result.get();
  }
};

const std::string v2 = std::string("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 16) +
                       std::string("\x0a\x00\x00\x01\xc0\x00\x02\x07\x30\x39\x01\xbb", 12);

}  // namespace

TEST_CASE("the header is read, and not an octet more") {
  for (const std::string& header : {std::string("PROXY TCP4 10.0.0.1 192.0.2.7 12345 443\r\n"), v2}) {
    for (const bool at_once : {true, false}) {
      header_stage stage;
      const std::string behind = "CONNECT a.example:443 HTTP/1.1\r\n";
      if (at_once) {
        stage.say(header + behind);
      } else {
        for (const char c : header) {
          stage.say(std::string_view(&c, 1));
          std::this_thread::sleep_for(1ms);
        }
        stage.say(behind);
      }
      const auto out = stage.outcome();
      REQUIRE(out);
      REQUIRE(out->header.source);
      CHECK(out->header.source->address.to_string() == "10.0.0.1");
      CHECK(out->header.source->port == 12345);
      ::fcntl(out->fd, F_SETFL, 0);
      std::string left(behind.size(), '\0');
      CHECK(::recv(out->fd, left.data(), left.size(), MSG_WAITALL) == static_cast<::ssize_t>(left.size()));
      CHECK(left == behind);
      CHECK(stage.worker.soon_empty());
      ::close(out->fd);
    }
  }
}

TEST_CASE("what is no header closes the connection") {
  header_stage stage;
  stage.say("GET / HTTP/1.1\r\n\r\n");
  const auto out = stage.outcome();
  REQUIRE_FALSE(out);
  CHECK(out.error().reason == core::reason::bad_proxy_protocol);
  CHECK(out.error().text == "the connection does not begin with a PROXY header");
  CHECK_FALSE(out.error().silent);
  char octet = 0;
  CHECK(::recv(stage.client, &octet, 1, 0) <= 0);
  CHECK(stage.worker.soon_empty());
}

TEST_CASE("an end before or within the header") {
  for (const std::string_view sent : {"", "PROXY TCP4"}) {
    header_stage stage;
    stage.say(sent);
    ::close(std::exchange(stage.client, -1));
    const auto out = stage.outcome();
    REQUIRE_FALSE(out);
    CHECK(out.error().reason == core::reason::bad_proxy_protocol);
    CHECK(out.error().silent == sent.empty());
  }
}

TEST_CASE("a header has a deadline, and a part of one does not make it spin") {
  header_stage stage(400ms);
  stage.say("PROXY TCP4 ");
  const auto out = stage.outcome();
  REQUIRE_FALSE(out);
  CHECK(out.error().reason == core::reason::bad_proxy_protocol);
  CHECK(out.error().text.contains("timeouts.head"));
  timespec used{};
  stage.worker.on_thread([&] { ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used); });
  CHECK(static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9 < 0.25);
}

TEST_CASE("an aborted reader calls nobody") {
  header_stage stage;
  stage.worker.on_thread([&] { stage.worker.fronts.abort_all(); });
  char octet = 0;
  CHECK(::recv(stage.client, &octet, 1, 0) <= 0);
  REQUIRE(stage.result.wait_for(20s) == std::future_status::ready);
  CHECK_THROWS_AS(stage.result.get(), std::future_error);
  CHECK(stage.worker.soon_empty());
}
