// Who gets which answer of the API, without a socket.
#include "admin/api.hpp"

#include <doctest/doctest.h>

#include <boost/json.hpp>
#include <string>

#include "jobs/secret.hpp"

using namespace exeat;
using namespace exeat::admin;
namespace json = boost::json;

namespace {

struct stage {
  people known;
  metrics::registry registry{1};
  admin::activity activity;
  live_feed feed;
  admin::history history;
  std::vector<std::string> notes;
  std::vector<denial> denials;
  int reloads = 0;
  api_sources sources{
      .people = &known,
      .registry = &registry,
      .activity = &activity,
      .feed = &feed,
      .history = &history,
      .policy = [] { return config::builtin_policy(); },
      .explain = [](const std::string& to, const std::string&) -> std::expected<std::string, std::string> {
        return "{\"host\":\"" + to + "\"}";
      },
      .note = [this](std::string_view code, const std::string&) { notes.emplace_back(code); }};
  admin::options options{.operator_token = "operator-token-0123456789",
                         .reload_token = "reload-token-0123456789",
                         .api = &sources};
  admin::callbacks callbacks{
      .metrics = [] { return std::string("m\n"); },
      .health = [] { return health{}; },
      .ready = [] { return readiness{}; },
      .reload =
          [this] {
            ++reloads;
            return reload_result{.ok = true, .digest = {}, .errors = {}, .held = {}};
          },
      .job_of_secret = [](std::string_view secret) -> std::optional<std::string> {
        return secret == "advance-secret-0123456789" ? std::optional<std::string>("") : std::nullopt;
      },
      .status = [](std::optional<std::string>) -> std::expected<std::vector<job_state>, job_problem> {
        return std::vector<job_state>{};
      },
      .advance = {},
      .open_job = {},
      .close_job = {},
      .new_job = {},
      .denied = [this](const denial& one) { denials.push_back(one); }};

  stage() {
    std::string file;
    for (const auto word : {"viewer", "developer", "reviewer", "admin"})
      file += std::string(word) + " " + word + " " +
              jobs::hex_of(*jobs::sha256_of(std::string("token-of-") + word)) + "\n";
    known.set_tokens(*parse_tokens(file, "f"));
  }

  request make(http::verb method, const std::string& target) const {
    request out{method, target, 11};
    out.set(http::field::host, "127.0.0.1:9400");
    if (method == http::verb::post) out.set(http::field::content_type, "application/json");
    return out;
  }
  answered ask(const request& asked,
               const caller& from = {.door = door::tcp, .uid = {}, .address = "127.0.0.1:40000"}) {
    return answer(asked, from, options, callbacks);
  }
  unsigned status(const request& asked) { return ask(asked).response.result_int(); }
  unsigned bearer(http::verb method, const std::string& target, const std::string& token) {
    auto asked = make(method, target);
    asked.set(http::field::authorization, "Bearer " + token);
    return status(asked);
  }
  struct session {
    std::string cookie, key;
  };
  session log_in(const std::string& token) {
    auto asked = make(http::verb::post, "/v1/login");
    asked.body() = json::serialize(json::object{{"token", token}});
    const auto got = ask(asked);
    REQUIRE(got.response.result_int() == 200);
    const std::string cookie(got.response[http::field::set_cookie]);
    CHECK(cookie.starts_with("exeat_session_9400="));
    CHECK(cookie.contains("; HttpOnly; SameSite=Strict; Max-Age="));
    return {cookie.substr(0, cookie.find(';')),
            std::string(json::parse(got.response.body()).at("key").as_string())};
  }
  request of_session(const session& session, http::verb method, const std::string& target) const {
    auto out = make(method, target);
    out.set(http::field::cookie, session.cookie);
    out.set("Exeat-Session", session.key);
    return out;
  }
};

}  // namespace

TEST_CASE_FIXTURE(
    stage, "without a token there are metrics, health, the empty page and the login, and nothing else") {
  for (const auto* path : {"/metrics", "/-/healthy", "/-/ready", "/assets/app.js", "/assets/app.css"})
    CHECK(status(make(http::verb::get, path)) == 200);
  auto page = make(http::verb::get, "/");
  page.set(http::field::accept, "text/html,*/*");
  const auto got = ask(page);
  CHECK(got.response[http::field::content_type].starts_with("text/html"));
  const std::string csp(got.response["Content-Security-Policy"]);
  CHECK(csp.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
  CHECK_FALSE(csp.contains("unsafe"));
  for (const auto& route : api_routes()) {
    if (route.needs == role::none) continue;
    CAPTURE(route.path);
    const auto refused = ask(make(route.post ? http::verb::post : http::verb::get, std::string(route.path)));
    CHECK(refused.response.result_int() == 401);
    CHECK(refused.response.body().starts_with("{\"error\":"));
    CHECK(refused.response.count(http::field::access_control_allow_origin) == 0);
    CHECK(refused.response["Cross-Origin-Resource-Policy"] == "same-origin");
  }
  CHECK(reloads == 0);
}

TEST_CASE_FIXTURE(stage, "each role has what it needs, and no more") {
  for (const auto& route : api_routes()) {
    if (route.needs == role::none || route.id == "logout") continue;
    CAPTURE(route.path);
    const auto method = route.post ? http::verb::post : http::verb::get;
    const std::string target =
        route.id == "tryIt" ? "/v1/try?destination=a.example" : std::string(route.path);
    for (const auto role : {role::viewer, role::developer, role::reviewer, role::admin}) {
      CAPTURE(word_of(role));
      CHECK(bearer(method, target, "token-of-" + std::string(word_of(role))) ==
            (role >= route.needs ? 200 : 403));
    }
    CHECK(bearer(method, target, "operator-token-0123456789") == 200);
    CHECK(bearer(method, target, "reload-token-0123456789") == 401);
    CHECK(bearer(method, target, "advance-secret-0123456789") == 401);
    CHECK(bearer(method, target, "token-of-nobody") == 401);
  }
  CHECK_FALSE(denials.empty());
  for (const auto& one : denials) CHECK_FALSE(one.who.contains("token-of"));
}

TEST_CASE_FIXTURE(stage, "a cookie without its key is good for nothing, for cookies know no ports") {
  const auto session = log_in("token-of-admin");
  CHECK(status(of_session(session, http::verb::get, "/v1/overview")) == 200);
  auto bare = make(http::verb::get, "/v1/overview");
  bare.set(http::field::cookie, session.cookie);
  CHECK(status(bare) == 401);
  bare.set("Exeat-Session", "exeat_k_guessed");
  CHECK(status(bare) == 401);
  auto key_alone = make(http::verb::get, "/v1/overview");
  key_alone.set("Exeat-Session", session.key);
  CHECK(status(key_alone) == 401);
  // Another instance on this host has a cookie of another name.
  auto elsewhere = of_session(session, http::verb::get, "/v1/overview");
  elsewhere.set(http::field::host, "127.0.0.1:9401");
  CHECK(status(elsewhere) == 401);
  CHECK(notes == std::vector<std::string>{"dashboard-login"});
  CHECK(status(of_session(session, http::verb::post, "/v1/logout")) == 200);
  CHECK(status(of_session(session, http::verb::get, "/v1/overview")) == 401);
}

TEST_CASE_FIXTURE(stage, "a write of another origin's page is refused, whatever it sends along") {
  const auto session = log_in("token-of-admin");
  const auto reload = [&] { return of_session(session, http::verb::post, "/v1/reload"); };
  CHECK(status(reload()) == 200);
  auto own = reload();
  own.set(http::field::origin, "http://127.0.0.1:9400");
  own.set("Sec-Fetch-Site", "same-origin");
  CHECK(status(own) == 200);
  CHECK(reloads == 2);
  for (const auto* origin :
       {"http://127.0.0.1:9999", "http://localhost:9400", "https://evil.example", "null", ""}) {
    CAPTURE(origin);
    auto foreign = reload();
    foreign.set(http::field::origin, origin);
    CHECK(status(foreign) == 403);
  }
  for (const auto* site : {"cross-site", "same-site"}) {
    auto foreign = reload();
    foreign.set("Sec-Fetch-Site", site);
    CHECK(status(foreign) == 403);
  }
  for (const auto* type : {"text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""}) {
    auto form = reload();
    form.set(http::field::content_type, type);
    CHECK(status(form) == 415);
  }
  CHECK(status(of_session(session, http::verb::get, "/v1/reload")) == 405);
  CHECK(reloads == 2);
}

TEST_CASE_FIXTURE(stage, "a name that was pointed here is refused before anything is looked at") {
  auto rebound = make(http::verb::get, "/v1/overview");
  rebound.set(http::field::host, "evil.example:9400");
  rebound.set(http::field::authorization, "Bearer token-of-admin");
  CHECK(status(rebound) == 421);
  auto page = make(http::verb::get, "/");
  page.set(http::field::host, "evil.example");
  page.set(http::field::accept, "text/html");
  CHECK(status(page) == 421);
}

TEST_CASE_FIXTURE(stage, "who runs as a phase does not get in, with whatever token") {
  const caller agent{.door = door::tcp, .uid = 1002, .is_phase = true, .address = "127.0.0.1:1"};
  for (const auto* path : {"/v1/overview", "/assets/app.js"}) {
    auto asked = make(http::verb::get, path);
    asked.set(http::field::authorization, "Bearer token-of-admin");
    const auto got = ask(asked, agent);
    CHECK(got.response.result_int() == 403);
    CHECK(got.denied);
  }
  CHECK(ask(make(http::verb::get, "/metrics"), agent).response.result_int() == 200);
}

TEST_CASE_FIXTURE(stage, "wrong tokens are counted against who sends them") {
  auto wrong = make(http::verb::post, "/v1/login");
  wrong.body() = R"({"token":"wrong"})";
  for (unsigned i = 0; i < people::most_failures; ++i) {
    const auto got = ask(wrong);
    CHECK(got.response.result_int() == 401);
    CHECK(got.denied);
  }
  CHECK(status(wrong) == 429);
  auto good = make(http::verb::post, "/v1/login");
  good.body() = R"({"token":"token-of-viewer"})";
  CHECK(status(good) == 429);
  const caller other{.door = door::tcp, .uid = {}, .address = "127.0.0.2:40000"};
  CHECK(ask(good, other).response.result_int() == 200);
}

TEST_CASE_FIXTURE(stage, "a one-time token is an operator's to make") {
  auto order = make(http::verb::post, "/-/login-token");
  order.body() = R"({"role":"reviewer"})";
  CHECK(status(order) == 401);
  const caller root{.door = door::control, .uid = 0, .address = {}};
  const auto made = ask(order, root);
  REQUIRE(made.response.result_int() == 200);
  const auto session = log_in(std::string(json::parse(made.response.body()).at("token").as_string()));
  CHECK(status(of_session(session, http::verb::get, "/v1/policy/findings")) == 200);
  CHECK(status(of_session(session, http::verb::post, "/v1/reload")) == 403);
  order.body() = R"({"role":"root"})";
  CHECK(ask(order, root).response.result_int() == 400);
}

TEST_CASE_FIXTURE(stage, "queries are read strictly") {
  for (const auto* bad :
       {"/v1/policy/rules?limit=0", "/v1/policy/rules?limit=501", "/v1/policy/rules?limit=x",
        "/v1/policy/rules?nothing=1", "/v1/policy/rules?q=a&q=b", "/v1/policy/rules?q=%4",
        "/v1/policy/rules?use=often", "/v1/live?show=some", "/v1/live?after=-1", "/v1/try",
        "/v1/try?destination=a.example&method=get"}) {
    CAPTURE(bad);
    CHECK(bearer(http::verb::get, bad, "token-of-admin") == 400);
  }
  CHECK(bearer(http::verb::get, "/v1/policy/rules?phase=nothing", "token-of-admin") == 404);
  CHECK(bearer(http::verb::get, "/v1/policy/rules?q=%41pt&limit=5", "token-of-admin") == 200);
  CHECK(bearer(http::verb::get, "/v1/nothing", "token-of-admin") == 404);
  const auto query = parse_query("/x?a=%2Fb+c&d=", std::array<std::string_view, 2>{"a", "d"});
  REQUIRE(query);
  CHECK(query->front() == std::pair<std::string, std::string>("a", "/b c"));
}

TEST_CASE("the document is JSON and has every path") {
  const auto document = json::parse(openapi_document());
  for (const auto& route : api_routes()) CHECK(document.at("paths").as_object().contains(route.path));
  for (const auto& route : api_routes()) {
    if (!route.schema.empty())
      CHECK(document.at("components").at("schemas").as_object().contains(route.schema));
    if (!route.body.empty()) CHECK(document.at("components").at("schemas").as_object().contains(route.body));
  }
}
