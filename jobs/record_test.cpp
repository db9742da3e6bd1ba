#include "jobs/record.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "jobs/plan_text.hpp"

namespace exeat::jobs {
namespace {

constexpr std::string_view store_id = "abcdefghijklmnopqrstuvwxyz234567";

record full_record() {
  return {.id = "j-abcdefghij27",
          .plan = {.steps = {{"setup"}, {"agent", "mcp"}}},
          .current = 1,
          .ended = ending::locked_down,
          .expires = std::chrono::sys_seconds(std::chrono::seconds(1'800'000'000)),
          .advance_secret = sha256_of("secret"),
          .policy = sha256_of("policy"),
          .tokens = {{.phase = "setup", .sha256 = *sha256_of("1")},
                     {.phase = "agent", .sha256 = *sha256_of("2")},
                     {.phase = "mcp", .sha256 = *sha256_of("3")}}};
}

// The text with one thing changed and a checksum that fits.
std::string resummed(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  text.resize(text.rfind("sha256 "));
  return text + "sha256 " + hex_of(*sha256_of(text)) + "\n";
}

TEST_CASE("A record comes back as it was printed") {
  const auto wanted = full_record();
  const auto text = print_record(wanted, store_id);
  REQUIRE(text);
  const auto got = parse_record(*text, store_id);
  REQUIRE(got);
  CHECK(got->id == wanted.id);
  CHECK(got->plan == wanted.plan);
  CHECK(got->current == 1);
  CHECK(got->ended == ending::locked_down);
  CHECK(got->expires == wanted.expires);
  CHECK(got->advance_secret == wanted.advance_secret);
  CHECK(got->policy == wanted.policy);
  REQUIRE(got->tokens.size() == 3);
  CHECK(got->tokens[2].phase == "mcp");
  CHECK(got->tokens[2].sha256 == wanted.tokens[2].sha256);
  CHECK(got->has_seals());

  const auto first = parse_record(print_record({}, store_id).value(), store_id);
  REQUIRE(first);
  CHECK(first->id.empty());
  CHECK(first->plan.steps.empty());
  CHECK_FALSE(first->has_seals());
  CHECK_FALSE(first->expires);
  CHECK_FALSE(first->advance_secret);
}

TEST_CASE("No record is read that is cut short or has a bit changed") {
  const auto text = print_record(full_record(), store_id).value();
  for (std::size_t length = 0; length < text.size(); ++length) {
    CAPTURE(length);
    CHECK_FALSE(parse_record(text.substr(0, length), store_id));
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      auto changed = text;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      CAPTURE(at);
      CAPTURE(bit);
      CHECK_FALSE(parse_record(changed, store_id));
    }
  }
  CHECK_FALSE(parse_record(text + "x", store_id));
  CHECK_FALSE(parse_record(text + text, store_id));
  CHECK_FALSE(parse_record(std::string(4096, '\0'), store_id));
}

TEST_CASE("A record with a right checksum must make sense as well") {
  const auto text = print_record(full_record(), store_id).value();
  REQUIRE(parse_record(resummed(text, "step 1", "step 2"), store_id));
  const auto wrong = [&](const std::string& from, const std::string& to) {
    CAPTURE(from);
    CAPTURE(to);
    const auto got = parse_record(resummed(text, from, to), store_id);
    CHECK_FALSE(got);
    return got ? std::string() : got.error();
  };
  CHECK(wrong("exeat-job 1", "exeat-job 2") == "another version of Exeat has written it");
  CHECK(wrong("store abc", "store bbc") == "it belongs to another state directory");
  wrong("id j-abcdefghij27", "id j-abcdefghij28");
  wrong("id j-abcdefghij27", "id ../abcdefghij");
  wrong("id j-abcdefghij27", "id ");
  wrong("plan setup > agent+mcp", "plan setup > agent+setup");
  wrong("plan setup > agent+mcp", "plan ");
  wrong("plan setup > agent+mcp", "plan -");
  wrong("plan setup > agent+mcp", "plan setup > agent");  // a token of a phase that is not in it
  wrong("plan setup > agent+mcp", "plan setup >  agent+mcp");
  wrong("step 1", "step 3");
  wrong("step 1", "step 01");
  wrong("step 1", "step -1");
  wrong("step 1", "step 1x");
  wrong("step 1", "step 99999999999999999999");
  wrong("step 1\n", "");
  wrong("ended locked-down", "ended expired");
  wrong("ended locked-down", "ended ");
  wrong("expires 1800000000", "expires -5");
  wrong("expires 1800000000", "expires 01800000000");
  wrong("expires 1800000000", "expires 9999999999999");
  wrong("expires 1800000000\n", "");
  wrong("secret " + hex_of(*sha256_of("secret")), "secret 00");
  wrong("policy " + hex_of(*sha256_of("policy")), "policy");
  wrong("token " + hex_of(*sha256_of("1")) + " setup", "token " + hex_of(*sha256_of("1")));
  wrong("token " + hex_of(*sha256_of("1")) + " setup", "more");
}

TEST_CASE("An ending that belongs to no file is not printed") {
  record one = full_record();
  one.ended = ending::state_damaged;
  CHECK_FALSE(print_record(one, store_id));
}

TEST_CASE("Ids of jobs") {
  CHECK(is_job_id("j-abcdefghij27"));
  CHECK_FALSE(is_job_id("j-abcdefghij2"));
  CHECK_FALSE(is_job_id("j-abcdefghij277"));
  CHECK_FALSE(is_job_id("j-abcdefghij2A"));
  CHECK_FALSE(is_job_id("j-abcdefghij/7"));
  CHECK_FALSE(is_job_id("k-abcdefghij27"));
  CHECK_FALSE(is_job_id(""));
}

TEST_CASE("Plans are read and printed") {
  const plan wanted{.steps = {{"setup"}, {"agent", "mcp"}}};
  CHECK(parse_plan("setup,agent+mcp") == wanted);
  CHECK(parse_plan(" setup , agent + mcp ") == wanted);
  CHECK(parse_plan("setup > agent+mcp") == wanted);
  CHECK(parse_plan(wanted.to_string()) == wanted);
  CHECK(parse_plan("a") == plan{.steps = {{"a"}}});
  CHECK(parse_plan(std::string(63, 'a')));
  for (const auto* const text :
       {"",      " ", ",",  "a,", ",a",  "a,,b", "a+",  "+a",  "a++b",     "a,a", "a+a",
        "a,b+a", "A", "1a", "-a", "a b", "a\tb", "a_b", "a.b", "\xc3\xa9", "a;b", "a\n"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_plan(text));
  }
  CHECK_FALSE(parse_plan(std::string(64, 'a')));
  std::string many;
  for (int i = 0; i < 64; ++i) many += (i > 0 ? ",p" : "p") + std::to_string(i);
  CHECK(parse_plan(many));
  CHECK_FALSE(parse_plan(many + ",q"));
  CHECK_FALSE(valid_plan({}));
  CHECK_FALSE(valid_plan({.steps = {{"a"}, {}}}));
  CHECK(parse_plan(std::string("a,\0b", 4)).error().find("`?b`") != std::string::npos);
}

TEST_CASE("Secrets are random, long and recognisable") {
  const auto one = new_secret(token_prefix).value();
  const auto other = new_secret(token_prefix).value();
  CHECK(one != other);
  CHECK(one.starts_with("exeat_t_"));
  CHECK(one.size() == 8 + 43);
  CHECK(one.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
        std::string::npos);
  CHECK(random_name(12)->size() == 12);
  CHECK(random_name(12) != random_name(12));
  CHECK(hex_of(*sha256_of("abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4
  CHECK(digest_of_hex(hex_of(*sha256_of("abc"))) == sha256_of("abc"));
  CHECK_FALSE(digest_of_hex("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"));
  CHECK_FALSE(digest_of_hex(""));
}

}  // namespace
}  // namespace exeat::jobs
