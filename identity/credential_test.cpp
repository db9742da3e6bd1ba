#include "identity/credential.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "jobs/secret.hpp"

using namespace exeat;
using namespace exeat::identity;
using core::reason;
using jobs::sha256_of;

namespace {

std::string base64(std::string_view octets) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < octets.size(); i += 3) {
    const auto at = [&](std::size_t k) {
      return k < octets.size() ? static_cast<unsigned char>(octets[k]) : 0U;
    };
    const unsigned bits = (at(i) << 16) | (at(i + 1) << 8) | at(i + 2);
    for (unsigned k = 0; k < 4; ++k) out += letters[(bits >> (18 - 6 * k)) & 0x3fU];
    if (i + 1 >= octets.size()) out[out.size() - 2] = '=';
    if (i + 2 >= octets.size()) out.back() = '=';
  }
  return out;
}

std::string basic(std::string_view user, std::string_view token) {
  return "Basic " + base64(std::string(user) + ":" + std::string(token));
}

config::token_claim claim(std::string_view token, std::string phase) {
  return {.sha256 = sha256_of(token).value(), .phase = std::move(phase)};
}

config::identity_check check_of(std::vector<config::token_claim> tokens, bool job_tokens) {
  config::identity_check check;
  check.kind = config::identity_check::source::credential;
  check.tokens = std::move(tokens);
  check.job_tokens = job_tokens;
  return check;
}

// Two phases, one of them with two tokens (the old and the new one of a rotation), and two open jobs.
struct stage {
  config::identity_check check = check_of(
      {claim("setup-token", "setup"), claim("agent-old", "agent"), claim("agent-new", "agent")}, true);
  jobs::job one{"j-one",
                {{{"setup"}, {"agent"}}},
                {{"setup", sha256_of("one-setup").value()}, {"agent", sha256_of("one-agent").value()}}};
  jobs::job two{"j-two", {{{"agent"}}}, {{"agent", sha256_of("two-agent").value()}}};

  static const jobs::job* find(const void* context, std::string_view id) {
    const auto& self = *static_cast<const stage*>(context);
    return id == "j-one" ? &self.one : id == "j-two" ? &self.two : nullptr;
  }
  std::expected<proven, refusal> judge(std::optional<std::string_view> text) const {
    return judge_credential(check, text, {this, &stage::find});
  }
  // "PHASE", "PHASE JOB", or the code of the refusal.
  std::string said(std::optional<std::string_view> text) const {
    const auto answer = judge(text);
    if (!answer) return std::string(core::code_of(answer.error().reason));
    return std::string(answer->phase) + (answer->job.empty() ? "" : " " + std::string(answer->job));
  }
};

}  // namespace

TEST_CASE("a token proves its phase, and one of a job the job as well") {
  const stage s;
  CHECK(s.said(basic("setup", "setup-token")) == "setup");
  CHECK(s.said(basic("agent", "agent-old")) == "agent");
  CHECK(s.said(basic("agent", "agent-new")) == "agent");
  CHECK(s.said(basic("j-one", "one-setup")) == "setup j-one");
  CHECK(s.said(basic("j-one", "one-agent")) == "agent j-one");
  CHECK(s.said(basic("j-two", "two-agent")) == "agent j-two");
  CHECK(s.said("Bearer agent-new") == "agent");
  CHECK(s.said("Bearer j-one.one-setup") == "setup j-one");
  CHECK(s.said("Bearer j-two.two-agent") == "agent j-two");
}

TEST_CASE("the scheme in any case, several spaces, a colon in the token") {
  stage s;
  s.check.tokens.push_back(claim("a:b::c", "agent"));
  s.check.tokens.push_back(claim("gr\xc3\xbc\xc3\x9f", "agent"));
  const auto text = basic("setup", "setup-token").substr(6);
  CHECK(s.said("basic " + text) == "setup");
  CHECK(s.said("BASIC   " + text) == "setup");
  CHECK(s.said("bEaReR  setup-token") == "setup");
  CHECK(s.said(basic("agent", "a:b::c")) == "agent");
  CHECK(s.said(basic("agent", "gr\xc3\xbc\xc3\x9f")) == "agent");
  CHECK(s.said("\xc2\xa0"
               "asic " +
               text) == "credential-wrong");
  CHECK(s.said("@asic " + text) == "credential-wrong");
}

TEST_CASE("a right token under a name that is not its own proves nothing") {
  const stage s;
  for (const auto& text :
       {basic("setup", "agent-new"), basic("agent", "setup-token"), basic("mcp", "agent-new"),
        basic("agent", "one-agent"), basic("j-one", "agent-new"), basic("j-one", "two-agent"),
        basic("j-two", "one-agent"), basic("Agent", "agent-new"), basic("agent ", "agent-new"),
        basic("agent", "agent-new "), basic("agent", "agent-ne"), basic("agent", "AGENT-NEW"),
        std::string("Bearer one-agent"), std::string("Bearer j-one.two-agent"),
        std::string("Bearer j-one.agent-new"), std::string("Bearer agent.agent-new"),
        std::string("Bearer agent:agent-new"), std::string("Bearer J-one.one-agent")}) {
    CAPTURE(text);
    CHECK(s.said(text) == "credential-wrong");
  }
}

TEST_CASE("none, and a job that is not open, have reasons of their own") {
  stage s;
  CHECK(s.said(std::nullopt) == "credential-missing");
  CHECK(s.said(basic("j-three", "one-agent")) == "job-unknown");
  CHECK(s.said("Bearer j-three.one-agent") == "job-unknown");
  CHECK(s.said("Bearer j-one") == "credential-wrong");
  s.check.tokens.push_back(claim("x", "j-phase"));  // a phase may be called so
  CHECK(s.said(basic("j-phase", "x")) == "j-phase");
  CHECK(s.said(basic("j-phase", "y")) == "credential-wrong");
  s.check.tokens.push_back(claim("j-like.a-job", "agent"));
  CHECK(s.said("Bearer j-like.a-job") == "agent");
}

TEST_CASE("tokens of jobs count only where the listener says so") {
  stage s;
  s.check.job_tokens = false;
  CHECK(s.said(basic("j-one", "one-agent")) == "credential-wrong");
  CHECK(s.said(basic("j-three", "one-agent")) == "credential-wrong");
  CHECK(s.said("Bearer j-one.one-agent") == "credential-wrong");
  CHECK(s.said(basic("agent", "agent-new")) == "agent");
  s.check.job_tokens = true;
  const auto answer = judge_credential(s.check, basic("j-one", "one-agent"), {});
  REQUIRE_FALSE(answer);
  CHECK(answer.error().reason == reason::job_unknown);
}

TEST_CASE("what is sealed or has ended still proves who asks: refusing it is the job's") {
  stage s;
  s.one.seal_before(1);
  CHECK(s.said(basic("j-one", "one-setup")) == "setup j-one");
  s.one.end(jobs::ending::closed);
  CHECK(s.said(basic("j-one", "one-agent")) == "agent j-one");
}

TEST_CASE("a token of several phases proves none of them") {
  stage s;
  s.check.tokens.push_back(claim("setup-token", "agent"));
  CHECK(s.said("Bearer setup-token") == "identity-ambiguous");
  CHECK(s.said(basic("setup", "setup-token")) == "setup");
  s.check.tokens.push_back(claim("agent-new", "agent"));  // twice, but one answer
  CHECK(s.said("Bearer agent-new") == "agent");
  const jobs::job both("j-one", {{{"setup"}, {"agent"}}},
                       {{"setup", sha256_of("same").value()}, {"agent", sha256_of("same").value()}});
  const auto find = [](const void* context, std::string_view) {
    return static_cast<const jobs::job*>(context);
  };
  const auto answer = judge_credential(s.check, basic("j-one", "same"), {&both, find});
  REQUIRE_FALSE(answer);
  CHECK(answer.error().reason == reason::identity_ambiguous);
}

TEST_CASE("whatever is malformed is wrong, with a detail that holds nothing of it") {
  using namespace std::string_literals;
  const stage s;
  const auto good = basic("agent", "agent-new").substr(6);  // YWdlbnQ6YWdlbnQtbmV3
  REQUIRE(good.size() % 4 == 0);
  const std::pair<std::string, std::string_view> table[]{
      {"", "scheme"},
      {" ", "scheme"},
      {" Basic " + good, "scheme"},
      {good, "scheme"},
      {"Digest username=\"agent\"", "scheme"},
      {"Negotiate " + good, "scheme"},
      {"Basic\t" + good, "scheme"},
      {"Basic" + good, "scheme"},
      {"Basic:" + good, "scheme"},
      {"Basic", "base64"},
      {"Basic ", "base64"},
      {"Basic \t" + good, "base64"},
      {"Basic " + good + " ", "base64"},
      {"Basic " + good + ", Bearer agent-new", "base64"},
      {"Basic " + good + "=", "base64"},
      {"Basic " + good + "====", "base64"},
      {"Basic " + good.substr(0, good.size() - 1), "base64"},
      {"Basic =" + good.substr(1), "base64"},
      {"Basic " + good.substr(0, 4) + "\0abc"s, "base64"},
      {"Basic YTpiYw", "base64"},    // a:bc without its padding
      {"Basic YTpiYw=", "base64"},   // and with half of it
      {"Basic YTpiYx==", "base64"},  // bits behind the last octet
      {"Basic YTpi-_==", "base64"},  // base64url
      {"Basic YT=iYw==", "base64"},  // padding within
      {"Basic ====", "base64"},
      {"Basic " + base64("agent-new"), "colon"},
      {"Basic " + base64(":agent-new"), "user name is empty"},
      {"Basic " + base64("agent:"), "empty"},
      {"Basic " + base64("agent-new:"), "empty"},
      {"Basic " + base64("agent:agent-new\n"), "control"},
      {"Basic " + base64("agent:agent-new\0"s), "control"},
      {"Basic " + base64("agent\x7f:agent-new"), "control"},
      {"Bearer", "not a token"},
      {"Bearer ", "not a token"},
      {"Bearer =", "not a token"},
      {"Bearer agent-new agent-new", "not a token"},
      {"Bearer agent-new,", "not a token"},
      {"Bearer \"agent-new\"", "not a token"},
      {"Bearer agent=new", "not a token"},
      {"Bearer agent-n\xc3\xa9w", "not a token"},
      {"Bearer agent-new\0"s, "not a token"},
      {"Bearer agent-new=", "not known"},
      {"Bearer j-one.", "not one of the job"},
      {"Bearer j-.one-agent", ""},
      {"Bearer " + std::string(max_credential, 'a'), "longer"},
      {"Basic " + base64("agent:" + std::string(600, 'a')), "longer"},
  };
  for (const auto& [text, said] : table) {
    CAPTURE(text);
    const auto answer = s.judge(text);
    REQUIRE_FALSE(answer);
    if (said.empty()) {
      CHECK(answer.error().reason == reason::job_unknown);
      continue;
    }
    CHECK(answer.error().reason == reason::credential_wrong);
    CHECK(answer.error().detail.find(said) != std::string::npos);
    CHECK(answer.error().detail.find("agent") == std::string::npos);
  }
}

TEST_CASE("the longest credential that is read, and one octet more") {
  stage s;
  const std::string token(max_credential - 7, 'a');
  s.check.tokens.push_back(claim(token, "agent"));
  CHECK(s.said("Bearer " + token) == "agent");
  CHECK(s.said("Bearer  " + token) == "credential-wrong");
  const std::string longest(372, 'b');  // with "agent:" 378 octets, 504 in base64
  s.check.tokens.push_back(claim(longest, "agent"));
  const auto text = basic("agent", longest);
  CHECK(text.size() == 510);
  CHECK(s.said(text) == "agent");
}

TEST_CASE("no detail holds what the client sent, wherever the secret stands") {
  const stage s;
  const std::string secret = "exeat_t_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
  for (const auto& text : {basic("agent", secret), basic(secret, ""), basic(secret, secret),
                           basic("j-" + secret, "x"), basic("j-one", secret), "Basic " + base64(secret),
                           "Basic " + secret, "Bearer " + secret, "Bearer j-" + secret + ".x",
                           "Bearer j-one." + secret, "Bearer " + secret + " x", secret, secret + " x"}) {
    CAPTURE(text);
    const auto answer = s.judge(text);
    REQUIRE_FALSE(answer);
    CHECK_FALSE(answer.error().detail.empty());
    for (const auto& part : {secret.substr(0, 8), secret.substr(8, 8), secret.substr(40)})
      CHECK(answer.error().detail.find(part) == std::string::npos);
  }
}
