#include "admin/people.hpp"

#include <doctest/doctest.h>

#include <string>

#include "jobs/secret.hpp"

using namespace exeat;
using namespace exeat::admin;
using namespace std::chrono_literals;

namespace {

const auto start = std::chrono::steady_clock::time_point{} + 1000h;

std::string line(std::string_view name, std::string_view role, std::string_view token) {
  return std::string(name) + " " + std::string(role) + " " + jobs::hex_of(*jobs::sha256_of(token)) + "\n";
}

void know(people& all, const std::string& text) {
  auto tokens = parse_tokens(text, "people");
  REQUIRE(tokens);
  all.set_tokens(std::move(*tokens));
}

}  // namespace

TEST_CASE("a tokens file has a name, a role and a digest a line") {
  const auto good =
      parse_tokens("# people\n\n" + line("ann", "reviewer", "t1") + line("b@x.example", "viewer", "t2"), "f");
  REQUIRE(good);
  REQUIRE(good->size() == 2);
  CHECK(good->front().who.name == "ann");
  CHECK(good->front().who.role == role::reviewer);
  for (const auto& wrong :
       {std::string("ann"), std::string("ann reviewer"), std::string("ann none ") + std::string(64, 'a'),
        std::string("ann root ") + std::string(64, 'a'), std::string("ann viewer ") + std::string(63, 'a'),
        std::string("ann viewer ") + std::string(64, 'A'),
        line("ann", "viewer", "x") + line("bob", "admin", "x"),
        std::string("a;b viewer ") + std::string(64, 'a'),
        std::string("ann viewer ") + std::string(64, 'a') + " more"}) {
    CAPTURE(wrong);
    const auto tokens = parse_tokens(wrong, "f");
    REQUIRE_FALSE(tokens);
    CHECK(tokens.error().starts_with("f:"));
  }
}

TEST_CASE("a session takes cookie and key together, and ends") {
  people all;
  know(all, line("ann", "reviewer", "token-of-ann"));
  CHECK_FALSE(all.log_in("token-of-bob", "a", start));
  const auto session = all.log_in("token-of-ann", "a", start);
  REQUIRE(session);
  CHECK(session->who.role == role::reviewer);
  CHECK(all.of_session(session->cookie, session->key, start)->name == "ann");
  CHECK_FALSE(all.of_session(session->cookie, session->cookie, start));
  CHECK_FALSE(all.of_session(session->key, session->key, start));
  CHECK_FALSE(all.of_session(session->cookie, "", start));
  CHECK(all.of_session(session->cookie, session->key, start + 29min));
  CHECK(all.of_session(session->cookie, session->key, start + 58min));  // it was used
  CHECK_FALSE(all.of_session(session->cookie, session->key, start + 90min));
  CHECK_FALSE(all.of_session(session->cookie, session->key, start + 58min));  // and stays over
}

TEST_CASE("no session lasts longer than eight hours, however much it is used") {
  people all;
  know(all, line("ann", "reviewer", "token-of-ann"));
  const auto session = all.log_in("token-of-ann", "a", start);
  REQUIRE(session);
  auto now = start;
  for (; now < start + 8h; now += 20min) CHECK(all.of_session(session->cookie, session->key, now));
  CHECK_FALSE(all.of_session(session->cookie, session->key, now + 20min));
  CHECK_FALSE(all.is_open(session->cookie, now + 20min));
}

TEST_CASE("a one-time token is good once, and for ten minutes") {
  people all;
  const auto token = all.new_once(role::developer, start);
  REQUIRE(token);
  const auto session = all.log_in(*token, "a", start + 9min);
  REQUIRE(session);
  CHECK(session->who.role == role::developer);
  CHECK_FALSE(all.log_in(*token, "a", start + 9min));
  const auto late = all.new_once(role::admin, start);
  CHECK_FALSE(all.log_in(*late, "a", start + 11min));
  CHECK_FALSE(all.of_token(*all.new_once(role::admin, start)));  // it is no bearer token
}

TEST_CASE("whoever is taken out of the file, or changes the role, is logged out; one-time sessions stay") {
  people all;
  know(all, line("ann", "reviewer", "ta") + line("bob", "viewer", "tb"));
  const auto ann = all.log_in("ta", "x", start);
  const auto bob = all.log_in("tb", "x", start);
  const auto once = all.log_in(*all.new_once(role::admin, start), "x", start);
  know(all, line("ann", "viewer", "ta") + line("bob", "viewer", "tb"));
  CHECK_FALSE(all.of_session(ann->cookie, ann->key, start));
  CHECK(all.of_session(bob->cookie, bob->key, start));
  CHECK(all.of_session(once->cookie, once->key, start));
  CHECK(all.of_token("ta")->role == role::viewer);
  all.log_out(bob->cookie);
  CHECK_FALSE(all.of_session(bob->cookie, bob->key, start));
}

TEST_CASE("ten wrong tokens in a minute are enough for one source, and for that one alone") {
  people all;
  know(all, line("ann", "reviewer", "ta"));
  for (unsigned i = 0; i < people::most_failures; ++i)
    CHECK(all.log_in("wrong", "job", start).error() == people::refusal::wrong);
  CHECK(all.log_in("wrong", "job", start).error() == people::refusal::too_many);
  CHECK(all.log_in("ta", "job", start).error() == people::refusal::too_many);
  CHECK(all.log_in("ta", "reviewer", start));
  CHECK(all.log_in("ta", "job", start + 61s));
}

TEST_CASE("sessions are bounded: the one that was idle longest gives way") {
  people all;
  know(all, line("ann", "reviewer", "ta"));
  const auto first = all.log_in("ta", "x", start);
  for (std::size_t i = 0; i < people::most_sessions; ++i) CHECK(all.log_in("ta", "x", start + 1s));
  CHECK_FALSE(all.of_session(first->cookie, first->key, start + 2s));
}
