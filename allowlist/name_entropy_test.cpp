#include "allowlist/name_entropy.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "allowlist/diff_terms.hpp"
#include "allowlist/explain.hpp"
#include "allowlist/explanation.hpp"
#include "allowlist/lint_cover.hpp"
#include "allowlist/matcher.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat;
using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using core::reason;

namespace {

rule limited(rule r, std::uint32_t bits) {
  r.terms = std::make_shared<const rule_terms>(rule_terms{.max_name_entropy = bits});
  return r;
}

reason asked(const policy& p, std::string_view host) {
  return ask(p, to(host)).reason;
}

}  // namespace

TEST_CASE("the bits of a text are those of a random one of its length and alphabet") {
  CHECK(entropy_of("") == 0);
  CHECK(entropy_of("7") == 4);
  CHECK(entropy_of("1234567890") == 34);
  CHECK(entropy_of("deadbeef") == 32);
  CHECK(entropy_of("d34dbeef") == 32);
  CHECK(entropy_of("g") == 5);
  CHECK(entropy_of("productionresults") == 80);
  CHECK(entropy_of("productionresultssa12") == 109);
  CHECK(entropy_of("assets-7") == 43);
  CHECK(entropy_of("a.b") == 16);
  CHECK(entropy_of("nq2gk3dpo5xxe3deebqw4zbaorugs4za") == 166);
  CHECK(entropy_of(std::string(core::host_name::max_size, '-')) <= most_name_entropy);
}

TEST_CASE("integer arithmetic never counts less than the logarithm, and hardly more") {
  std::mt19937 random(7);
  constexpr std::string_view alphabets[]{"0123456789", "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz",
                                         "abcdefghijklmnopqrstuvwxyz0123456789",
                                         "abcdefghijklmnopqrstuvwxyz0123456789-_."};
  for (const auto alphabet : alphabets) {
    for (std::size_t size = 1; size <= core::host_name::max_size; ++size) {
      // All of the alphabet that makes it the smallest one that fits.
      std::string text{alphabet.back(), alphabet == alphabets[1] ? '0' : alphabet.front()};
      if (alphabet == alphabets[3]) text = "z0";
      while (text.size() < size) text += alphabet[random() % alphabet.size()];
      if (text.size() != size) continue;
      const auto exact = static_cast<double>(size) * std::log2(static_cast<double>(alphabet.size()));
      const auto counted = static_cast<double>(entropy_of(text));
      CAPTURE(text);
      REQUIRE(counted >= exact);
      REQUIRE(counted < exact * 1.001 + 1);
    }
  }
}

TEST_CASE("a longer text carries more, and what comes first makes no difference") {
  std::mt19937 random(8);
  constexpr std::string_view all = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    std::uint32_t before = 0;
    for (auto size = random() % 60; size > 0; --size) {
      text += all[random() % all.size()];
      const auto bits = entropy_of(text);
      REQUIRE(bits > before);
      before = bits;
    }
    auto turned = text;
    std::ranges::reverse(turned);
    REQUIRE(entropy_of(turned) == before);
  }
}

TEST_CASE("what stands for a wildcard") {
  const auto part = [](std::string_view pattern, std::string_view host) {
    return std::string(wildcard_part(host_pattern::parse(pattern).value(), host));
  };
  CHECK(part("*.x.com", "a.x.com") == "a");
  CHECK(part("**.x.com", "a.b.x.com") == "a.b");
  CHECK(part("**.x.com", "x.com").empty());
  CHECK(part("x.com", "x.com").empty());
}

TEST_CASE("a name that carries more than the rule allows is refused, by the rule that governs alone") {
  const auto p = policy_with({limited(with_apex(allow("**.x.com")), 24), allow("known-and-long.x.com"),
                              limited(allow("*.deep.x.com"), 24), allow("**.wide.com"),
                              limited(allow("*.wide.com"), 8)});
  CHECK(asked(p, "x.com") == reason::allowed);
  CHECK(asked(p, "abcde.x.com") == reason::allowed);        // 24 bits
  CHECK(asked(p, "abcdeg.x.com") == reason::name_entropy);  // 29
  CHECK(asked(p, "a.b.x.com") == reason::allowed);          // 16
  CHECK(asked(p, "a.b.cd.x.com") == reason::name_entropy);  // 32
  CHECK(asked(p, "known-and-long.x.com") == reason::allowed);
  CHECK(asked(p, "abcde.deep.x.com") == reason::allowed);
  CHECK(asked(p, "a.b.wide.com") == reason::allowed);
  // The wider rule does not step in.
  const auto refused = ask(p, to("abc.wide.com"));
  CHECK(refused.reason == reason::name_entropy);
  CHECK(refused.verdict == verdict::deny);
  CHECK(governing(refused) == "agent/*.wide.com:443");
  CHECK(entropy_of("abc") == 12);
}

TEST_CASE("methods and paths are judged first, a tunnel before all") {
  auto r = allow("*.x.com", {{80, 80}});
  r.terms = std::make_shared<const rule_terms>(rule_terms{.max_name_entropy = 8, .methods = {"GET"}});
  const auto p = policy_with({r});
  const auto d = to("abcd.x.com", 80);
  const auto of = [&](core::scheme scheme, std::string_view method) {
    return decide(p, {.scheme = scheme, .to = &d, .now = now, .method = method, .path = "/"}).reason;
  };
  CHECK(of(core::scheme::https, "") == reason::http_only);
  CHECK(of(core::scheme::http, "POST") == reason::method_not_allowed);
  CHECK(of(core::scheme::http, "GET") == reason::name_entropy);
}

TEST_CASE("explanations name the limit and the count") {
  const auto p = policy_with({limited(allow("*.x.com"), 24)});
  const auto d = to("abcdefgh.x.com");
  const auto told = explain(p, {.to = &d, .now = now});
  REQUIRE(told.phases.front().rules.size() == 1);
  CHECK(told.phases.front().rules.front().text ==
        "governs, but the name carries too much: its wildcard stands for 38 of at most 24 bits");
  const auto short_one = to("a.x.com");
  CHECK(explain(p, {.to = &short_one, .now = now}).phases.front().rules.front().text ==
        "allows it: its wildcard stands for 4 of at most 24 bits");
}

TEST_CASE("a limit counts from where its rule's name begins: what it covers and how it compares") {
  const auto wide = limited(allow("**.x.com"), 24);
  const auto narrow = limited(allow("*.deep.x.com"), 24);
  const auto p = policy_with({wide, narrow});
  // Without it, n.deep.x.com would be counted with its `deep`.
  CHECK(covering_rule(p.matcher(), 0, p.source().phases[0].allow[1], now) == nullptr);
  const auto q = policy_with({limited(allow("**.x.com"), 24), limited(allow("*.x.com"), 24)});
  CHECK(covering_rule(q.matcher(), 0, q.source().phases[0].allow[1], now) != nullptr);

  const phase in = phase_with("agent", {});
  const auto change = [&](const rule& before, const rule& after) {
    const auto terms = compare_terms({&in, &before}, {&in, &after}, core::scheme::https);
    return terms.size() == 1 ? std::optional(terms.front().direction) : std::nullopt;
  };
  CHECK(change(wide, narrow) == direction::wider);
  CHECK(change(narrow, wide) == direction::narrower);
  CHECK(change(limited(allow("**.x.com"), 90), narrow) == direction::both);
  CHECK(change(wide, limited(allow("**.x.com"), 25)) == direction::wider);
  CHECK(change(wide, limited(allow("*.x.com"), 24)) == std::nullopt);
  CHECK(change(wide, allow("**.x.com")) == direction::wider);
  CHECK(change(allow("**.x.com"), wide) == direction::narrower);
}
