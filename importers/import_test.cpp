#include "importers/import_test.hpp"

#include <random>

#include "config/utf8.hpp"

using namespace exeat;
using namespace exeat::importers;
using namespace exeat::importers::testing;

TEST_CASE("names of the products") {
  for (const auto name : product_names()) CHECK(product_of(name).has_value());
  CHECK_FALSE(product_of("Squid"));
}

TEST_CASE("remarks are comments whatever the file says, and tests hold for what was printed") {
  const std::string_view text =
      "{\"network\": {\"allowedDomains\": [\"a\\nphases: {}\\n.example\", \"x\\u0007*\", \"ok.example\"]}}";
  const source source{
      .from = product::srt, .text = text, .file = "f\nversion: 2", .phase = "agent", .read = {}};
  const auto result = import(source);
  REQUIRE(result);
  const auto printed = print(*result, source);
  CHECK(printed.find("\nversion: 2") == std::string::npos);
  const auto policy = config::parse_policy(printed, "p");
  REQUIRE(policy);
  CHECK((*policy)->rule_count() == 1);
  REQUIRE_FALSE((*policy)->source().tests.empty());
  for (const auto& test : (*policy)->source().tests) {
    const auto decided = allowlist::decide(
        **policy, {.phase = *(*policy)->find_phase(test.phase), .scheme = test.scheme, .to = &test.to});
    CHECK((decided.verdict == allowlist::verdict::allow) == (test.expect == allowlist::expectation::allow));
  }
}

TEST_CASE("octets of any kind neither crash an importer nor make it print what does not load") {
  std::mt19937 random(11);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  constexpr std::string_view pieces[]{"acl ",        "a ",
                                      "dstdomain ",  "http_access ",
                                      "allow ",      "deny ",
                                      "all",         "\n",
                                      "!",           "port ",
                                      "443 ",        ".x.example ",
                                      "*.y.example", "version: v1\n",
                                      "services:\n", "  - ",
                                      "name: ",      "action: ",
                                      "open\n",      "allowed_domains: [",
                                      "]",           "network: ",
                                      "{",           "}",
                                      "\"",          "\\",
                                      "allowed: ",   "jobs:\n",
                                      "a:443 ",      "\x01",
                                      "\xff",        "#",
                                      ",",           "src 10.0.0.0/8",
                                      "CONNECT",     "https://h/",
                                      "1-",          "default: "};
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (int n = below(40); n > 0; --n) text += pieces[below(static_cast<int>(std::size(pieces)))];
    const source source{
        .from = static_cast<product>(below(6)), .text = text, .file = "f", .phase = "agent", .read = {}};
    const auto result = import(source);
    if (!result) {
      CHECK_FALSE(result.error().empty());
      continue;
    }
    CAPTURE(text);
    CHECK(config::parse_policy(print(*result, source), "p").has_value());
  }
}
