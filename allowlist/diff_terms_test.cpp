#include "allowlist/diff_terms.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

#include "allowlist/path_pattern.hpp"

using namespace exeat::allowlist;
using exeat::core::cidr;

TEST_CASE("sets of prefixes are compared by what they hold") {
  const auto compare = [](std::vector<std::string_view> a, std::vector<std::string_view> b) {
    std::vector<cidr> x, y;
    for (const auto t : a) x.push_back(cidr::parse(t).value());
    for (const auto t : b) y.push_back(cidr::parse(t).value());
    return compare_prefixes(x, y);
  };
  CHECK(compare({"10.0.0.0/24"}, {"10.0.0.128/25", "10.0.0.0/25"}) == std::nullopt);
  CHECK(compare({"10.0.0.0/24", "10.0.0.7"}, {"10.0.0.0/24"}) == std::nullopt);
  CHECK(compare({"0.0.0.0/0"}, {"0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"}) == std::nullopt);
  CHECK(compare({"::/0"}, {"::/1", "8000::/1"}) == std::nullopt);
  CHECK(compare({"::/0"}, {}) == direction::wider);
  CHECK(compare({}, {"::/0", "0.0.0.0/0"}) == direction::narrower);
  CHECK(compare({"10.0.0.0/24"}, {"10.0.0.0/23"}) == direction::wider);
  CHECK(compare({"10.0.0.0/24", "11.0.0.0/8"}, {"10.0.0.0/25", "11.0.0.0/8"}) == direction::narrower);
  CHECK(compare({"10.0.0.0/24"}, {"2600::/16"}) == direction::both);
}

TEST_CASE("sets of paths are compared by what they match") {
  using list = std::vector<std::string>;
  const auto compare = [](list a, list b) { return compare_paths(a, b); };
  CHECK(compare({"/a/**"}, {"/a/b/**", "/a/**"}) == std::nullopt);
  CHECK(compare({"/a/*", "/a/b"}, {"/a/*"}) == std::nullopt);
  CHECK(compare({"/a/*"}, {"/a/b"}) == direction::narrower);
  CHECK(compare({"/a/b"}, {"/a/**"}) == direction::wider);
  CHECK(compare({"/a/**"}, {"/a", "/a/**"}) == direction::wider);
  CHECK(compare({"/a/**"}, {"/a/", "/a/*", "/a/*/"}) == direction::narrower);
  CHECK(compare({"/a"}, {"/b"}) == direction::both);
  CHECK(compare({"/**"}, {}) == direction::wider);
  CHECK(compare({"/*/b"}, {"/a/*"}) == direction::both);
  // Deep or many: it ends, and says that it cannot tell.
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "/*";
  CHECK(compare({deep}, {deep + "/a"}) == direction::both);
  list many, others;
  for (int i = 0; i < 300; ++i) {
    std::string text;
    for (int k = 0; k < 12; ++k) text += k == i % 12 ? "/s" + std::to_string(i) : "/*";
    (i % 2 == 0 ? many : others).push_back(text);
  }
  CHECK(compare(many, others) == direction::both);
}

TEST_CASE("sets of paths against brute force") {
  std::mt19937_64 engine(11);
  const auto below = [&](int n) { return static_cast<int>(engine() % static_cast<unsigned>(n)); };
  const std::vector<std::string> segments{"a", "b", "*"};
  std::vector<std::string> all;  // of {a, b, z}, up to four deep, with and without a slash behind
  std::vector<std::string> stems{""};
  for (int depth = 0; depth < 5; ++depth) {
    std::vector<std::string> next;
    for (const auto& stem : stems) {
      all.push_back(stem + "/");
      if (!stem.empty()) all.push_back(stem);
      for (const std::string s : {"a", "b", "z"}) next.push_back(stem + "/" + s);
    }
    stems = std::move(next);
  }
  const auto any_set = [&] {
    std::vector<std::string> out;
    for (int n = 1 + below(3); n > 0; --n) {
      std::string text;
      for (int k = 1 + below(3); k > 0; --k) text += "/" + segments[static_cast<std::size_t>(below(3))];
      if (const int end = below(4); end < 2) text += end == 0 ? "/" : "/**";
      out.push_back(text);
    }
    return out;
  };
  std::set<int> seen;
  for (int round = 0; round < 2000; ++round) {
    const auto a = any_set();
    const auto b = any_set();
    bool wider = false, narrower = false;
    for (const auto& path : all) {
      const auto in = [&](const auto& set) {
        return std::ranges::any_of(set, [&](const auto& p) { return path_matches(p, path); });
      };
      const bool x = in(a);
      const bool y = in(b);
      wider |= y && !x;
      narrower |= x && !y;
    }
    const auto found = compare_paths(a, b);
    CAPTURE(round);
    REQUIRE((found == direction::wider || found == direction::both) == wider);
    REQUIRE((found == direction::narrower || found == direction::both) == narrower);
    seen.insert(wider * 2 + narrower);
  }
  CHECK(seen.size() == 4);
}
