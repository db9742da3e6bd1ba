#include "proxy/hop_connect.hpp"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "config/load.hpp"
#include "config/temporary_directory.hpp"
#include "metrics/registry.hpp"
#include "proxy/worker.hpp"
#include "wire/response_head.hpp"

// Over TLS, and behind a whole proxy: tests/e2e/test_upstream.py.

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;

core::ip_address ip(std::string_view text) {
  return core::ip_address::parse(text).value();
}

/// A worker without listeners, jobs or policy, and the upstreams of a configuration.
struct stage {
  explicit stage(const std::string& proxies, config::settings with = {}) {
    const auto read = config::parse_settings("version: 1\nupstream:\n  proxies:\n" + proxies, "e",
                                             directory.path().string());
    if (!read) FAIL(config::to_string(read.error()));
    with.upstream = read->upstream;
    with.via = "exeat-test";
    with.dns.servers = {{.address = ip("127.0.0.1"), .port = 1}};  // nobody is there
    with.dns.hosts_file = false;
    process.settings = std::move(with);
    process.budget = &budget;
    process.memory = &memory;
    process.requests = &requests;
    auto loaded = next_hops::load(process.settings.upstream);
    if (!loaded) FAIL(loaded.error());
    process.hops = std::move(*loaded);
    here.emplace(0, process, counters.worker(0), nullptr);
    here->wheel().start();
  }
  ~stage() { here->wheel().stop(); }

  const next_hop& hop() const { return process.hops.all().front(); }

  template <typename T>
  T run(task<T> work) {
    std::optional<T> result;
    asio::co_spawn(here->context(), keep(std::move(work), result), asio::detached);
    const auto limit = std::chrono::steady_clock::now() + 60s;
    while (!result && std::chrono::steady_clock::now() < limit) here->context().run_one_for(100ms);
    REQUIRE(result);
    return std::move(*result);
  }
  template <typename T>
  static task<void> keep(task<T> work, std::optional<T>& result) {
    result.emplace(co_await std::move(work));
  }

  config::temporary_directory directory;
  metrics::registry counters{1};
  connection_budget budget{100, 100, 1};
  memory_budget memory{std::uint64_t{64} << 20, 1};
  request_rate requests{0, 1, 1};
  process_state process;
  std::optional<worker> here;
};

constexpr auto plain = "    - {hosts: ['*'], proxy: 'http://127.0.0.1:3128'}\n";

/// What the upstream says is there before it is asked; what it was asked, and what is left of its answer, is
/// there afterwards.
struct asked {
  std::expected<void, hop_failure> result;
  std::string request, left;
};

enum class then : std::uint8_t { waits, ends };

asked ask(stage& on, std::string_view answer, then what = then::waits,
          const std::string& target = "192.0.2.1:443") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) == 0);
  REQUIRE(::send(ends[1], answer.data(), answer.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(answer.size()));
  if (what == then::ends) ::shutdown(ends[1], SHUT_WR);
  stream_socket socket(on.here->context().get_executor(), asio::generic::stream_protocol(AF_UNIX, 0),
                       ends[0]);
  asked out{on.run(ask_for_tunnel(*on.here, on.hop(), socket, target)), {}, {}};
  const auto read_all = [](int fd) {
    std::string text;
    std::array<char, 4096> part;
    for (ssize_t n = 0; (n = ::recv(fd, part.data(), part.size(), MSG_DONTWAIT)) > 0;)
      text.append(part.data(), static_cast<std::size_t>(n));
    return text;
  };
  if (socket.is_open()) out.left = read_all(socket.native_handle());
  out.request = read_all(ends[1]);
  ::close(ends[1]);
  return out;
}

int listen_on_loopback(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(fd, 8) == 0);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  port = ntohs(at.sin_port);
  return fd;
}

}  // namespace

TEST_CASE("our CONNECT is what it should be, to the octet") {
  stage on(plain);
  const auto seen = ask(on, "HTTP/1.1 200 OK\r\n\r\n");
  CHECK(seen.result);
  CHECK(seen.request ==
        "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\nVia: 1.1 exeat-test\r\n\r\n");
  CHECK(ask(on, "HTTP/1.1 200 OK\r\n\r\n", then::waits, "[2001:db8::1]:443")
            .request.starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n"));

  on.process.settings.via.clear();
  CHECK(ask(on, "HTTP/1.1 200 OK\r\n\r\n").request ==
        "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\n\r\n");
  on.hop().ring->change(std::make_shared<hop_keys>(
      hop_keys{.authorization = "Proxy-Authorization: Basic dTpw\r\n", .tls = nullptr}));
  CHECK(ask(on, "HTTP/1.1 200 OK\r\n\r\n").request ==
        "CONNECT 192.0.2.1:443 HTTP/1.1\r\nHost: 192.0.2.1:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n");
}

TEST_CASE("the answer is read to its last octet and not one further") {
  stage on(plain);
  for (const std::string behind : {"", "S", "SSH-2.0-x\r\n", "HTTP/1.1 200 OK\r\n\r\n"}) {
    for (const std::string head :
         {"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 Connection established\r\nX: y\r\n\r\n",
          "HTTP/1.1 299 \r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nLink: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"}) {
      CAPTURE(head + behind);
      const auto seen = ask(on, head + behind);
      CHECK(seen.result);
      CHECK(seen.left == behind);
    }
  }
}

TEST_CASE("what is no way through says what it is, and never with the credential") {
  stage on(plain);
  const auto failure = [&](std::string_view answer, then what = then::waits) {
    const auto seen = ask(on, answer, what);
    REQUIRE_MESSAGE(!seen.result, answer);
    CHECK(seen.result.error().detail.starts_with("http://127.0.0.1:3128: "));
    CHECK(seen.result.error().detail.find("dTpw") == std::string::npos);
    return seen.result.error();
  };
  using core::reason;
  CHECK(failure("HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n").reason == reason::upstream_credential);
  CHECK(failure("HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n").detail.ends_with("(`credential_file`)"));
  on.hop().ring->change(std::make_shared<hop_keys>(
      hop_keys{.authorization = "Proxy-Authorization: Basic dTpw\r\n", .tls = nullptr}));
  CHECK(failure("HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n").detail.ends_with("not one that it takes"));

  for (const int status : {302, 400, 403, 500, 502, 503}) {
    const auto refused =
        failure("HTTP/1.1 " + std::to_string(status) + " no dTp\r\nContent-Length: 0\r\n\r\n");
    CHECK(refused.reason == reason::upstream_refused);
    CHECK(refused.status == status);
    CHECK(refused.detail.find("it answered " + std::to_string(status) + " no") != std::string::npos);
  }
  const auto long_phrase = failure("HTTP/1.1 403 " + std::string(3000, 'x') + "\r\n\r\n");
  CHECK(long_phrase.detail.size() < 200);

  std::string interim;
  for (unsigned i = 0; i <= wire::max_interim_responses; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  CHECK(failure(interim + "HTTP/1.1 200 OK\r\n\r\n").detail.ends_with("too many interim answers to CONNECT"));

  for (const std::string_view wrong :
       {"nonsense\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\n X: folded\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "\r\n\r\n"})
    CHECK(failure(wrong).reason == reason::upstream_not_http);
  CHECK(failure(std::string("\x15\x03\x01\x00\x02\x02\x46", 7)).detail.ends_with("is it an https:// proxy?"));
  CHECK(failure("HTTP/1.1 200 OK\r\nX: " + std::string(on.process.settings.limits.head_bytes, 'x')).reason ==
        reason::upstream_not_http);
  CHECK(failure("", then::ends).detail.ends_with("without an answer to CONNECT"));
  CHECK(failure("HTTP/1.1 200 O", then::ends).detail.ends_with("within its answer to CONNECT"));
  // Half an answer, and what it says of itself is not believed.
  CHECK(failure("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", then::ends).reason == reason::upstream_not_http);
}

TEST_CASE("an upstream that says nothing, or half of it, is waited for so long and no longer") {
  config::settings quick;
  quick.timeouts.connect = 100ms;
  stage on(plain, quick);
  for (const auto* said : {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n"}) {
    const auto seen = ask(on, said);
    REQUIRE(!seen.result);
    CHECK(seen.result.error().reason == core::reason::upstream_timeout);
  }
}

TEST_CASE("no memory for an answer is said, and nothing is read") {
  stage on(plain);
  const auto all = on.memory.take(std::uint64_t{64} << 20);
  REQUIRE(!on.here->buffers().has_one());
  const auto seen = ask(on, "HTTP/1.1 200 OK\r\n\r\nbehind");
  REQUIRE(!seen.result);
  CHECK(seen.result.error().reason == core::reason::out_of_buffers);
  CHECK(seen.left == "HTTP/1.1 200 OK\r\n\r\nbehind");
  on.memory.give_back(all);
}

TEST_CASE("a connection to the upstream itself: dialled, refused, or our own listener") {
  std::uint16_t port = 0;
  const int listening = listen_on_loopback(port);
  const auto entry = [&](std::string_view host) {
    return "    - {hosts: ['*'], proxy: 'http://" + std::string(host) + ":" + std::to_string(port) + "'}\n";
  };
  {
    stage on(entry("127.0.0.1"));
    const auto got = on.run(connect_to(*on.here, on.hop()));
    REQUIRE(got);
    CHECK(got->address == ip("127.0.0.1"));
    CHECK(got->socket.is_open());
    CHECK(on.here->hop_addresses().known(on.hop()).size() == 1);

    on.process.own_endpoints.push_back({ip("127.0.0.1"), port});
    const auto loop = on.run(connect_to(*on.here, on.hop()));
    REQUIRE(!loop);
    CHECK(loop.error().reason == core::reason::own_listener);
  }
  ::close(listening);
  stage on(entry("127.0.0.1"));
  const auto refused = on.run(connect_to(*on.here, on.hop()));
  REQUIRE(!refused);
  CHECK(refused.error().reason == core::reason::upstream_unreachable);

  stage unknown("    - {hosts: ['*'], proxy: 'http://hop.corp.example:3128'}\n");
  const auto lost = unknown.run(connect_to(*unknown.here, unknown.hop()));
  REQUIRE(!lost);
  CHECK(lost.error().reason == core::reason::upstream_unreachable);
  CHECK(lost.error().detail.starts_with("http://hop.corp.example:3128: dns-"));
}

TEST_CASE("an upstream is no destination, under any of its addresses, nor while nobody knows them") {
  stage on(
      "    - {hosts: ['a.example'], proxy: 'http://192.0.2.7:3128'}\n"
      "    - {hosts: ['b.example'], proxy: 'http://127.0.0.1:3129'}\n"
      "    - {hosts: ['c.example'], proxy: 'http://hop.corp.example:3130'}\n");
  const auto is = [&](std::initializer_list<std::string_view> addresses, std::uint16_t port) {
    address_list list;
    for (const auto text : addresses) list.push_back(ip(text));
    return on.run(is_upstream(*on.here, list, port)).has_value();
  };
  CHECK(is({"192.0.2.7"}, 3128));
  CHECK(is({"::ffff:192.0.2.7"}, 3128));
  CHECK(is({"64:ff9b::c000:207"}, 3128));
  CHECK(is({"192.0.2.1", "192.0.2.7"}, 3128));
  CHECK(!is({"192.0.2.7"}, 3127));
  CHECK(!is({"192.0.2.8"}, 3128));
  CHECK(!is({"127.0.0.1"}, 3128));
  CHECK(is({"127.0.0.1"}, 3129));
  CHECK(is({"127.0.0.2"}, 3129));  // on this machine: whatever address of it
  CHECK(is({"::1"}, 3129));
  CHECK(is({"0.0.0.0"}, 3129));
  CHECK(!is({"192.0.2.7"}, 3129));
  // One whose name was never found may be anywhere.
  CHECK(is({"198.51.100.1"}, 3130));
  on.here->hop_addresses().learn(on.process.hops.all()[2], {ip("203.0.113.1")});
  CHECK(!is({"198.51.100.1"}, 3130));
  CHECK(is({"203.0.113.1"}, 3130));
}

}  // namespace exeat::proxy
