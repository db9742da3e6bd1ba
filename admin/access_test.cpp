// Who may do what, without a socket.
#include "admin/access.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace exeat;
using namespace exeat::admin;

namespace {

struct control {
  admin::options options{.operator_token = "operator-token-0123456789",
                         .reload_token = "reload-token-0123456789"};
  std::vector<denial> denials;
  std::vector<advance_request> advances;
  std::vector<open_request> opens;
  std::vector<job_order> closes;
  int renewals = 0;
  int reloads = 0;
  std::vector<std::optional<std::string>> asked;
  std::optional<job_problem> problem;
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
        if (secret == "secret-of-the-implicit-job") return "";
        if (secret == "secret-of-job-a") return "a";
        if (secret == "secret-of-job-b") return "b";
        return std::nullopt;
      },
      .status = [this](std::optional<std::string> job) -> std::expected<std::vector<job_state>, job_problem> {
        asked.push_back(job);
        if (problem) return std::unexpected(*problem);
        return std::vector<job_state>{{.id = job.value_or("all"), .ended = {}, .phases = {}, .held = {}}};
      },
      .advance = [this](const advance_request& order) -> std::expected<advance_result, job_problem> {
        if (problem) return std::unexpected(*problem);
        advances.push_back(order);
        return advance_result{.from = {"setup"},
                              .job = {.id = order.job,
                                      .ended = {},
                                      .phases = {{.name = "setup", .sealed = true},
                                                 {.name = "agent", .step = 1, .current = true}},
                                      .held = {}}};
      },
      .open_job = [this](const open_request& order) -> std::expected<open_result, job_problem> {
        if (problem) return std::unexpected(*problem);
        opens.push_back(order);
        return open_result{
            .id = "a", .phases = {{"setup", "t0", {"http://a:t0@127.0.0.1:3128"}}}, .advance_secret = "s"};
      },
      .close_job = [this](const job_order& order) -> std::expected<void, job_problem> {
        if (problem) return std::unexpected(*problem);
        closes.push_back(order);
        return {};
      },
      .new_job = [this](const job_order&) -> std::expected<void, job_problem> {
        ++renewals;
        return {};
      },
      .denied = [this](const denial& one) { denials.push_back(one); }};

  struct got {
    unsigned status = 0;
    std::string body;
    bool denied = false;
  };
  got ask(const caller& from, http::verb method, const std::string& target, const std::string& token = {},
          const std::string& body = {}) {
    request asked_for{method, target, 11};
    asked_for.set(http::field::host, "localhost");
    if (!token.empty()) asked_for.set(http::field::authorization, token);
    asked_for.body() = body;
    auto out = answer(asked_for, from, options, callbacks);
    CHECK((out.response.result_int() == 401) == (out.response.count(http::field::www_authenticate) == 1));
    return {out.response.result_int(), out.response.body(), out.denied};
  }
  got post(const caller& from, const std::string& target, const std::string& token = {},
           const std::string& body = {}) {
    return ask(from, http::verb::post, target, token, body);
  }
};

const caller root{.door = door::control, .uid = 0, .address = {}};
const caller agent{.door = door::control, .uid = 1002, .is_phase = true, .address = {}};
const caller unknown{.door = door::control, .uid = std::nullopt, .is_phase = true, .address = {}};
const caller network{.door = door::tcp, .uid = std::nullopt, .address = "127.0.0.1:40000"};
const caller local{.door = door::socket, .uid = 0, .address = {}};

const std::string as_operator = "Bearer operator-token-0123456789";
const std::string as_holder = "Bearer secret-of-the-implicit-job";
const std::string as_a = "Bearer secret-of-job-a";
const std::string as_reloader = "Bearer reload-token-0123456789";

const std::string open_body = R"({"phases":"setup,agent"})";

}  // namespace

TEST_CASE_FIXTURE(control,
                  "an operator is a uid of the control socket that no phase has, or whoever has the token") {
  const std::vector<std::pair<caller, std::string>> operators{
      {root, ""},          {root, as_a}, {agent, as_operator}, {unknown, as_operator}, {network, as_operator},
      {local, as_operator}};
  for (const auto& [from, token] : operators) {
    CAPTURE(token);
    CHECK(post(from, "/-/job/open", token, open_body).status == 200);
    CHECK(post(from, "/-/job/close", token, R"({"job":"a"})").status == 200);
    CHECK(post(from, "/-/job/new", token).status == 200);
    CHECK(post(from, "/-/phase/advance", token).status == 200);
    CHECK(post(from, "/-/reload", token).status == 200);
    CHECK(ask(from, http::verb::get, "/-/phase/status", token).body.contains("\"all\""));
    CHECK(ask(from, http::verb::get, "/-/phase/status?job=a", token).body.contains("\"a\""));
  }
  CHECK(denials.empty());
  CHECK(renewals == 6);
  CHECK(reloads == 6);
  CHECK(advances.size() == 6);
  CHECK(advances[1].by == "uid 0");
  CHECK(advances[1].job.empty());  // not the one of the secret that came along: it was not looked at
  CHECK(advances[2].by == "the operator token from uid 1002");
  CHECK(advances[4].by == "the operator token from 127.0.0.1:40000");
  CHECK(closes[0].job == "a");
}

TEST_CASE_FIXTURE(control, "everybody else is refused, told how, counted, and named without the credential") {
  const std::vector<std::pair<caller, std::string>> others{{agent, ""},
                                                           {unknown, ""},
                                                           {network, ""},
                                                           {local, ""},
                                                           {agent, "Bearer x"},
                                                           {network, "Bearer operator-token-012345678"},
                                                           {network, "Basic b3BlcmF0b3I="},
                                                           {network, "Bearer "},
                                                           {agent, "operator-token-0123456789"}};
  std::size_t attempts = 0;
  for (const auto& [from, token] : others) {
    for (const char* target :
         {"/-/job/open", "/-/job/close", "/-/job/new", "/-/phase/advance", "/-/reload"}) {
      CAPTURE(target);
      CAPTURE(token);
      const auto got = post(from, target, token, open_body);
      CHECK((got.status == 401 || got.status == 403));
      CHECK(got.denied);
      REQUIRE(denials.size() == ++attempts);
      CHECK(denials.back().what == std::string("POST ") + target);
      CHECK(denials.back().who == describe(from));
      CHECK_FALSE(denials.back().why.contains("operator-token-0123"));
    }
    CHECK(ask(from, http::verb::get, "/-/phase/status", token).denied);
    ++attempts;
  }
  CHECK(post(agent, "/-/reload").body.contains("Your uid or cgroup stands for a phase"));
  CHECK(post(agent, "/-/reload").status == 403);
  CHECK(post(network, "/-/job/open").status == 401);
  CHECK(opens.empty());
  CHECK(closes.empty());
  CHECK(advances.empty());
  CHECK(asked.empty());
  CHECK(renewals + reloads == 0);
  // What anybody may see, anybody still sees.
  CHECK(ask(agent, http::verb::get, "/metrics").status == 200);
  CHECK(ask(network, http::verb::get, "/-/healthy").status == 200);
}

TEST_CASE_FIXTURE(control,
                  "an advance secret advances its own job, shows its own job, and does nothing else") {
  for (const auto& from : {agent, network, local}) {
    CHECK(post(from, "/-/phase/advance", as_holder).status == 200);
    CHECK(advances.back().job.empty());
    CHECK(post(from, "/-/phase/advance", as_a).status == 200);
    CHECK(advances.back().job == "a");
    CHECK(post(from, "/-/phase/advance", as_a, R"({"job":"a","to":"agent","grace":"5s"})").status == 200);
    CHECK(advances.back().to == "agent");
    CHECK(advances.back().grace == std::chrono::seconds{5});
    const auto told = advances.size();
    CHECK(post(from, "/-/phase/advance", as_a, R"({"job":"a","grace":"2m"})").status == 403);
    CHECK(advances.size() == told);
    CHECK(ask(from, http::verb::get, "/-/phase/status", as_a).status == 200);
    CHECK(asked.back() == "a");
    CHECK(ask(from, http::verb::get, "/-/phase/status?job=a", as_a).status == 200);
  }
  CHECK(denials.empty());
  CHECK(advances.back().by == "the advance secret from uid 0");
  const auto before = advances.size();
  for (const auto& from : {agent, network, local}) {
    for (const char* body : {R"({"job":"b"})", R"({"job":""})", R"({"job":"nothing"})"}) {
      const auto got = post(from, "/-/phase/advance", as_a, body);
      CHECK(got.status == 403);
      CHECK(got.denied);
    }
    CHECK(post(from, "/-/phase/advance", as_holder, R"({"job":"a"})").status == 403);
    CHECK(ask(from, http::verb::get, "/-/phase/status?job=b", as_a).status == 403);
    CHECK(ask(from, http::verb::get, "/-/phase/status?job=", as_a).status == 403);
    for (const char* target : {"/-/job/open", "/-/job/close", "/-/job/new", "/-/reload"}) {
      const auto got =
          post(from, target, as_a, target == std::string("/-/job/open") ? open_body : R"({"job":"a"})");
      CAPTURE(target);
      CHECK(got.status == 403);
      CHECK(got.denied);
    }
  }
  CHECK(advances.size() == before);
  CHECK(denials.size() == 3 * 10);
  CHECK(opens.empty());
  CHECK(closes.empty());
  CHECK(renewals + reloads == 0);
}

TEST_CASE_FIXTURE(control, "the reload token reloads, and not on the control socket") {
  CHECK(post(network, "/-/reload", as_reloader).status == 200);
  CHECK(post(local, "/-/reload", as_reloader).status == 200);
  CHECK(post(agent, "/-/reload", as_reloader).denied);
  CHECK(post(network, "/-/job/new", as_reloader).status == 403);
  CHECK(post(network, "/-/phase/advance", as_reloader).status == 403);
  CHECK(reloads == 2);
  CHECK(renewals == 0);
}

TEST_CASE_FIXTURE(control, "without tokens the text says what there is to do, and no text is a token") {
  options.operator_token.clear();
  options.reload_token.clear();
  CHECK(post(network, "/-/reload").body.contains("reload_token_file"));
  CHECK(post(network, "/-/job/open").body.contains("operator_token_file"));
  CHECK(post(network, "/-/job/open", "Bearer ").denied);
  CHECK(post(network, "/-/phase/advance", "Bearer ").denied);
  CHECK(post(network, "/-/phase/advance", as_a).status == 200);
  CHECK(post(root, "/-/job/open", "", open_body).status == 200);
}

TEST_CASE_FIXTURE(control, "orders are read strictly") {
  for (const char* wrong : {R"({"job":"a","jb":"x"})", R"({"grace":"5"})", R"({"grace":"-1s"})",
                            R"({"grace":"25h"})", R"({"grace":5})", "[]", "x"}) {
    CAPTURE(wrong);
    CHECK(post(root, "/-/phase/advance", "", wrong).status == 400);
  }
  for (const char* wrong :
       {"", "{}", R"({"phases":""})", R"({"phases":"setup","time_limit":"10"})",
        R"({"phases":"setup","time_limit":"1500ms"})", R"({"phases":"setup","time_limit":"0"})",
        R"({"phases":"setup","time_limit":"367d"})"}) {
    CAPTURE(wrong);
    CHECK(post(root, "/-/job/open", "", wrong).status == 400);
  }
  CHECK(post(root, "/-/job/close", "", "{}").status == 400);
  CHECK(post(root, "/-/job/close", "", R"({"job":""})").status == 400);
  CHECK(post(root, "/-/job/new", "", R"({"job":"a"})").status == 400);
  for (const char* wrong : {"?x=1", "?job=a&job=b", "?job=%61", "?"})
    CHECK(ask(root, http::verb::get, std::string("/-/phase/status") + wrong).status == 400);
  CHECK(ask(root, http::verb::get, "/-/phase/advance").status == 405);
  CHECK(post(root, "/-/phase/status").status == 405);
  CHECK(advances.empty());
  CHECK(opens.empty());
  CHECK(renewals == 0);
  CHECK(post(root, "/-/job/open", "", R"({"phases":"setup,agent+mcp","time_limit":"1h"})").status == 200);
  CHECK(opens.back().phases == "setup,agent+mcp");
  CHECK(opens.back().time_limit == std::chrono::hours{1});
}

TEST_CASE_FIXTURE(control, "what comes of an order, as status and JSON") {
  CHECK(
      post(root, "/-/phase/advance", "", R"({"job":"a"})").body ==
      R"({"from":["setup"],"to":["agent"],"job":{"job":"a","ended":null,"phases":[)"
      R"({"phase":"setup","step":0,"sealed":true,"current":false,"tunnels":0,"bytes_up":0,"bytes_down":0},)"
      R"({"phase":"agent","step":1,"sealed":false,"current":true,"tunnels":0,"bytes_up":0,"bytes_down":0}],)"
      R"("held":null}})"
      "\n");
  CHECK(post(root, "/-/job/open", "", open_body).body ==
        R"({"job":"a","phases":[{"phase":"setup","token":"t0","urls":["http://a:t0@127.0.0.1:3128"]}],)"
        R"("advance_secret":"s"})"
        "\n");
  problem = {.kind = job_problem::kind::refused, .text = "no\x1b way"};
  CHECK(post(root, "/-/phase/advance").status == 409);
  CHECK(post(root, "/-/phase/advance").body == "no\\x1b way\n");
  problem->kind = job_problem::kind::not_found;
  CHECK(post(root, "/-/job/close", "", R"({"job":"x"})").status == 404);
  problem->kind = job_problem::kind::failed;
  CHECK(ask(root, http::verb::get, "/-/phase/status").status == 500);
  CHECK(denials.empty());
}

TEST_CASE("secrets compare whole") {
  CHECK(same_secret("abc", "abc"));
  for (const char* other : {"", "ab", "abcabc", "abd", "Abc"}) CHECK_FALSE(same_secret(other, "abc"));
  CHECK_FALSE(same_secret("", ""));
  CHECK_FALSE(same_secret("x", ""));
}
