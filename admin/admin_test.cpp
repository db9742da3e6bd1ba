#include <doctest/doctest.h>
#include <sys/fsuid.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "admin/admin_server.hpp"
#include "admin/routes.hpp"
#include "admin/test_client.hpp"

using namespace exeat;
using namespace exeat::admin;

namespace {

struct fixture {
  temporary_directory directory;
  admin::options options{.address = config::tcp_endpoint{},
                         .control = config::unix_endpoint{directory / "control"},
                         .denied_delay = std::chrono::milliseconds{1}};
  std::atomic<int> denials{0};
  std::atomic<int> reloads{0};
  std::atomic<bool> is_ready{true};
  admin::callbacks callbacks{
      .metrics = [] { return std::string("exeat_workers 1\n"); },
      .health =
          [] {
            return admin::health{.identity = "none",
                                 .policy = {.file = "policy.yaml", .digest = "d"},
                                 .workers = 2,
                                 .version = "1"};
          },
      .ready = [this] { return admin::readiness{{{"policy", true, ""}, {"listeners", is_ready, "why"}}}; },
      .reload =
          [this] {
            ++reloads;
            return admin::reload_result{.ok = is_ready, .digest = "d", .rules = 3, .errors = {}, .held = {}};
          },
      .job_of_secret = [](std::string_view) -> std::optional<std::string> { return std::nullopt; },
      .status = [](std::optional<std::string>)
          -> std::expected<std::vector<admin::job_state>, admin::job_problem> { return {}; },
      .advance = [](const admin::advance_request&)
          -> std::expected<admin::advance_result, admin::job_problem> { return {}; },
      .open_job = [](const admin::open_request&) -> std::expected<admin::open_result, admin::job_problem> {
        return {};
      },
      .close_job = [](const admin::job_order&) -> std::expected<void, admin::job_problem> { return {}; },
      .new_job = [](const admin::job_order&) -> std::expected<void, admin::job_problem> { return {}; },
      .denied =
          [this](const admin::denial& one) {
            last_denied = one.who;
            ++denials;
          }};
  std::string last_denied;  // after the answer: the admin thread is done with it
  std::unique_ptr<admin_server> server;

  config::endpoint start() {
    auto started = admin_server::start(options, callbacks);
    REQUIRE_MESSAGE(started, started.error());
    server = std::move(*started);
    return server->bound().value_or(config::endpoint{});
  }

  static std::string ask(const config::endpoint& at, const std::string& request) {
    test_client client(at);
    REQUIRE(client.send(request));
    return client.response();
  }
  std::string get(const config::endpoint& at, const std::string& path,
                  const std::string& host = "localhost") {
    return ask(at, "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  }
  std::string post(const config::endpoint& at, const std::string& fields = {}) {
    return ask(at, "POST /-/reload HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
  }
};

int status(const std::string& response) {
  return response.size() < 12 ? 0 : std::stoi(response.substr(9, 3));
}

std::string body(const std::string& response) {
  const auto end = response.find("\r\n\r\n");
  return end == std::string::npos ? std::string() : response.substr(end + 4);
}

}  // namespace

TEST_CASE_FIXTURE(fixture, "the pages") {
  const auto at = start();
  const std::string metrics = get(at, "/metrics");
  CHECK(status(metrics) == 200);
  CHECK(body(metrics) == "exeat_workers 1\n");
  CHECK(metrics.find("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n") != std::string::npos);
  CHECK(status(get(at, "/metrics?x=1")) == 200);
  const std::string index = get(at, "/");
  for (const char* path :
       {"/metrics", "/-/healthy", "/-/ready", "/-/reload", "/-/phase/advance", "/-/job/open"})
    CHECK(index.find(path) != std::string::npos);
  CHECK(body(get(at, "/-/healthy"))
            .starts_with(R"({"status":"ok","version":"1","identity":"none","policy":{"file":"policy.yaml")"));
  const std::string ready = get(at, "/-/ready");
  CHECK(status(ready) == 200);
  CHECK(
      body(ready) ==
      R"({"ready":true,"checks":[{"name":"policy","ok":true},{"name":"listeners","ok":true,"detail":"why"}]})"
      "\n");
  is_ready = false;
  CHECK(status(get(at, "/-/ready")) == 503);
  CHECK(status(get(at, "/nothing")) == 404);
  CHECK(status(get(at, "/metrics/")) == 404);
  // All of it on the control socket, too.
  CHECK(status(get(*options.control, "/metrics")) == 200);
}

TEST_CASE_FIXTURE(fixture, "methods") {
  const auto at = start();
  const std::string wrong = ask(at, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  CHECK(status(wrong) == 405);
  CHECK(wrong.find("Allow: GET, HEAD\r\n") != std::string::npos);
  const std::string reload = get(at, "/-/reload");
  CHECK(status(reload) == 405);
  CHECK(reload.find("Allow: POST\r\n") != std::string::npos);
  CHECK(status(ask(at, "BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 405);
  CHECK(reloads == 0);

  test_client client(at);
  REQUIRE(client.send(
      "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  const std::string head = client.response(true);
  CHECK(status(head) == 200);
  CHECK(head.find("Content-Length: 16\r\n") != std::string::npos);
  CHECK(body(head).empty());
  CHECK(body(client.response()) == "exeat_workers 1\n");
}

TEST_CASE_FIXTURE(fixture, "connections are kept alive, and closed where the client wants it") {
  const auto at = start();
  test_client client(at);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    CHECK(status(client.response()) == 200);
  }
  REQUIRE(client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
  CHECK(status(client.rest()) == 200);
  CHECK(status(ask(at, "GET /metrics HTTP/1.0\r\n\r\n")) == 200);
}

TEST_CASE_FIXTURE(fixture,
                  "reload wants the token on TCP and on a unix socket, and none on the control socket") {
  const auto at = start();
  const std::string disabled = post(at, "Authorization: Bearer x\r\n");
  CHECK(status(disabled) == 403);
  CHECK(disabled.find("reload_token_file") != std::string::npos);
  CHECK(status(post(at, "Authorization: Bearer \r\n")) == 403);
  CHECK(reloads == 0);
  const std::string ok = post(*options.control);
  CHECK(status(ok) == 200);
  CHECK(body(ok) == R"({"ok":true,"digest":"d","rules":3,"errors":[],"held":[]})"
                    "\n");
  CHECK(reloads == 1);
  is_ready = false;
  CHECK(status(post(*options.control)) == 422);
  CHECK(reloads == 2);
  server.reset();

  options.reload_token = "secret";
  const auto again = start();
  const std::string missing = post(again);
  CHECK(status(missing) == 401);
  CHECK(missing.find("WWW-Authenticate: Bearer") != std::string::npos);
  for (const char* wrong :
       {"Bearer secre", "Bearer secrets", "Bearer SECRET", "Bearer", "Bearer ", "Basic secret", "secret",
        "Bearer secret\r\nAuthorization: Bearer secret", "Bearer secretsecret"}) {
    CHECK(status(post(again, "Authorization: " + std::string(wrong) + "\r\n")) == 401);
  }
  CHECK(reloads == 2);
  is_ready = true;
  CHECK(status(post(again, "Authorization: bearer secret\r\n")) == 200);
  CHECK(reloads == 3);
  server.reset();

  options.address = config::unix_endpoint{directory / "admin", 0660};
  const auto unix_at = start();
  CHECK(status(post(unix_at)) == 401);
  CHECK(status(post(unix_at, "Authorization: Bearer secret\r\n")) == 200);
}

TEST_CASE_FIXTURE(fixture, "a uid of the control socket that stands for a phase is no operator") {
  options.phase_peers = {{.uid = ::getuid(), .phase = "agent"}};
  const auto at = start();
  const std::string refused = post(*options.control);
  CHECK(status(refused) == 403);
  CHECK(refused.contains("Your uid or cgroup stands for a phase"));
  CHECK(last_denied == "uid " + std::to_string(::getuid()));
  CHECK(status(get(*options.control, "/metrics")) == 200);
  CHECK(status(post(at)) == 403);
  CHECK(last_denied.starts_with("127.0.0.1:"));
  CHECK(denials == 2);
  CHECK(reloads == 0);
}

TEST_CASE_FIXTURE(fixture, "an answer to somebody without the right waits, and nobody else does") {
  options.denied_delay = std::chrono::milliseconds{1500};
  const auto at = start();
  test_client denied(at);
  REQUIRE(denied.send("POST /-/job/new HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
  const auto begin = std::chrono::steady_clock::now();
  while (denials == 0) std::this_thread::yield();
  CHECK(status(get(at, "/metrics")) == 200);
  CHECK(status(post(*options.control)) == 200);
  CHECK(status(denied.response()) == 403);
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds{1400});
}

TEST_CASE_FIXTURE(fixture, "on TCP a foreign name in Host is refused: DNS may have been rebound") {
  options.allowed_hosts = {"Metrics.corp.example"};
  const auto at = start();
  for (const char* own : {"localhost", "LOCALHOST:9400", "localhost.", "127.0.0.1", "127.0.0.1:9400",
                          "[::1]:9400", "10.1.2.3", "metrics.corp.example:9400"}) {
    CHECK(status(get(at, "/metrics", own)) == 200);
  }
  for (const char* foreign : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                              "[evil.example]", "", "xlocalhost", "0x7f.1"}) {
    const std::string refused = get(at, "/metrics", foreign);
    CHECK(status(refused) == 421);
    CHECK(refused.find("exeat_workers") == std::string::npos);
    CHECK(status(get(*options.control, "/metrics", foreign)) == 200);
  }
  CHECK(status(ask(at, "GET /metrics HTTP/1.1\r\n\r\n")) == 400);
  CHECK(status(ask(at, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")) == 400);
}

TEST_CASE_FIXTURE(fixture, "what is no request, or too large, is answered and closed") {
  const auto at = start();
  const auto closed = [&](const std::string& request) {
    test_client client(at);
    client.send(request);
    return client.rest();
  };
  CHECK(status(closed("nonsense\r\n\r\n")) == 400);
  CHECK(status(closed("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")) == 400);
  CHECK(status(closed("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n")) ==
        431);
  CHECK(status(closed("POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n")) == 413);
  CHECK(status(ask(at, "GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 400);
  CHECK(status(ask(at, "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 400);
  CHECK(status(get(at, "/metrics")) == 200);
  CHECK(reloads == 0);
}

TEST_CASE_FIXTURE(fixture, "a client that dawdles is closed, one that leaves harms nobody") {
  options.request_timeout = std::chrono::milliseconds{50};
  const auto at = start();
  test_client slow(at);
  REQUIRE(slow.send("GET /metrics HT"));
  CHECK(slow.rest().empty());
  test_client silent(at);
  CHECK(silent.rest().empty());
  {
    test_client gone(at);
    gone.send("GET /metrics HTTP/1.1\r\nHo");
    gone.finish_sending();
    CHECK(gone.rest().empty());
  }
  CHECK(status(get(at, "/metrics")) == 200);
}

TEST_CASE_FIXTURE(fixture,
                  "beyond the number of connections there is a 503, and room again after one closes") {
  options.connections = 3;
  const auto at = start();
  std::vector<std::unique_ptr<test_client>> held;
  for (int i = 0; i < 3; ++i) {
    held.push_back(std::make_unique<test_client>(at));
    REQUIRE(held.back()->send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    CHECK(status(held.back()->response()) == 200);
  }
  CHECK(status(get(at, "/metrics")) == 503);
  held.pop_back();
  int got = 0;
  while (got != 200) got = status(get(at, "/metrics"));  // as soon as the server has seen the close
  CHECK(got == 200);
}

TEST_CASE_FIXTURE(fixture,
                  "who crowds a door does not crowd the operator out, nor does a phase at his own door") {
  constexpr std::uint32_t phase_uid = 20001;
  options.connections = 3;
  bool by_phase = false;
  SUBCASE("the port") {}
  SUBCASE("a phase at the port") {
    by_phase = true;
    options.phase_peers = {{.uid = phase_uid, .phase = "agent"}};
  }
  if (by_phase && ::geteuid() != 0) return;  // nobody else may be another uid
  const auto at = start();
  std::vector<std::unique_ptr<test_client>> held;
  if (by_phase) ::setfsuid(phase_uid);  // a socket's uid is that of its making
  // Twice as many as are served get an answer; the others are closed.
  for (int i = 0; i < 20; ++i) {
    held.push_back(std::make_unique<test_client>(at));
    held.back()->send("GET /met");
  }
  if (by_phase) ::setfsuid(0);
  int ended = 0;
  for (std::size_t i = 6; i < held.size(); ++i) ended += held[i]->rest().empty() ? 1 : 0;
  CHECK(ended == 14);
  CHECK(status(get(*options.control, "/metrics")) == 200);
  if (by_phase) CHECK(status(get(at, "/metrics")) == 200);
}

TEST_CASE_FIXTURE(fixture, "a callback that throws is a 500, and its text is made harmless") {
  callbacks.metrics = []() -> std::string { throw std::runtime_error("broken\x1b[31m"); };
  const auto at = start();
  const std::string failed = get(at, "/metrics");
  CHECK(status(failed) == 500);
  CHECK(body(failed) == "broken\\x1b[31m\n");
  CHECK(status(get(at, "/-/healthy")) == 200);
}

TEST_CASE_FIXTURE(fixture, "many clients at once") {
  const auto at = start();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) good += status(get(at, "/metrics")) == 200 ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 100);
}

TEST_CASE_FIXTURE(fixture, "stop closes live connections and removes the control socket") {
  const auto at = start();
  CHECK(std::filesystem::exists(options.control->path));
  test_client waiting(at);
  REQUIRE(waiting.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  CHECK(status(waiting.response()) == 200);
  server->stop();
  CHECK_FALSE(std::filesystem::exists(options.control->path));
  server.reset();
  CHECK(waiting.rest().empty());
}

TEST_CASE_FIXTURE(fixture, "a start that fails says why and leaves nothing behind") {
  const auto at = start();
  admin::options second = options;
  second.address = at;
  second.control = config::unix_endpoint{directory / "control2"};
  auto started = admin_server::start(second, callbacks);
  REQUIRE_FALSE(started);
  CHECK(started.error().find("Address already in use") != std::string::npos);
  second.address.reset();
  second.control = options.control;
  CHECK_FALSE(admin_server::start(second, callbacks));
  CHECK(std::filesystem::exists(options.control->path));
  CHECK_FALSE(std::filesystem::exists(directory / "control2"));
  CHECK(status(get(*options.control, "/metrics")) == 200);
}

TEST_CASE("states as JSON") {
  health state{.identity = "none",
               .identity_note = "any \"local\" process",
               .policy = {.file = "", .digest = "abc", .loaded_at = {}, .rules = 2, .last_reload = {}},
               .listeners = {{"127.0.0.1:3128", "setup", "none"}},
               .workers = 2,
               .draining = false,
               .version = "0.1.0"};
  CHECK(
      to_json(state) ==
      R"~({"status":"ok","version":"0.1.0","identity":"none","identity_note":"any \"local\" process",)~"
      R"~("policy":{"file":"(built-in)","digest":"abc","loaded_at":"1970-01-01T00:00:00Z","rules":2},)~"
      R"~("job":{"declared":null,"open":0,"held":0},)~"
      R"~("listeners":[{"address":"127.0.0.1:3128","phase":"setup","identity":"none"}],"workers":2,"draining":false})~"
      "\n");
  state.policy.last_reload = reload_state{.ok = false, .at = {}, .errors = {"a:1:2: b", "c"}};
  CHECK(to_json(state).starts_with(R"({"status":"degraded")"));
  CHECK(to_json(state).find(
            R"("last_reload":{"ok":false,"at":"1970-01-01T00:00:00Z","errors":["a:1:2: b","c"]})") !=
        std::string::npos);
  state.policy.last_reload.reset();
  state.job = {.declared = job_state{.id = {},
                                     .ended = {},
                                     .phases = {{.name = "agent", .current = true}},
                                     .held = held_state{2, "a \"b\""}},
               .open = 3,
               .held = 1,
               .trouble = "why"};
  CHECK(to_json(state).starts_with(R"({"status":"degraded")"));
  CHECK(to_json(state).contains(
      R"~("job":{"declared":{"job":"","ended":null,"phases":[{"phase":"agent","step":0,"sealed":false,"current":true}],)~"
      R"~("held":{"findings":2,"first":"a \"b\""}},"open":3,"held":1,"trouble":"why"})~"));
  state.sandbox = "Landlock";
  state.sandbox_lacks = {"no \"seccomp\""};
  CHECK(to_json(state).contains(R"("sandbox":"Landlock","sandbox_lacks":["no \"seccomp\""],"policy":)"));
  state.draining = true;
  CHECK(to_json(state).starts_with(R"({"status":"draining")"));
  CHECK(to_json(readiness{}) == "{\"ready\":true,\"checks\":[]}\n");
}
