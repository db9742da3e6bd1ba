#include "allowlist/path_pattern.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace exeat::allowlist;

TEST_CASE("paths that can be read in one way only") {
  for (const std::string_view path : {"/", "/a", "/a/", "/a/b.c", "/a/..b", "/a/b%20c", "/%C3%A4", "/a;v=1",
                                      "/~x", "/a/*", "/@scope%20x"}) {
    CAPTURE(path);
    CHECK(is_unambiguous_path(path));
  }
  for (const std::string_view path :
       {"",       "a",       "//",    "//a",       "/a//b", "/./a",   "/a/..",  "/a/../b",   "/a/..;x/b",
        "/a/.;x", "/a/;x/b", "/a\\b", "/%2e%2e/a", "/%2E",  "/a%2fb", "/a%5Cb", "/a%252e",   "/%41",
        "/%",     "/%4",     "/%zz",  "/a b",      "/a\tb", "/a?b",   "/a#b",   "/\xc3\xa4", "/a%00"}) {
    CAPTURE(path);
    CHECK_FALSE(is_unambiguous_path(path));
  }
  CHECK_FALSE(is_unambiguous_path(std::string_view("/a\0b", 4)));
}

TEST_CASE("what cannot be a pattern of paths") {
  for (const std::string_view pattern : {"/", "/a", "/a/**", "/**", "/*", "/a/*/c", "/*/*/**"}) {
    CAPTURE(pattern);
    CHECK(path_pattern_fault(pattern).empty());
  }
  for (const std::string_view pattern :
       {"", "a", "**", "/a*", "/*a", "/**/a", "/a/***", "/a/../b", "/%61", "/a?x=1"}) {
    CAPTURE(pattern);
    CHECK_FALSE(path_pattern_fault(pattern).empty());
  }
}

TEST_CASE("a pattern never holds more than it shows") {
  CHECK(path_matches("/a/b", "/a/b"));
  CHECK_FALSE(path_matches("/a/b", "/a/b/"));
  CHECK_FALSE(path_matches("/a/b", "/a/B"));
  CHECK_FALSE(path_matches("/a/b", "/a/bc"));
  CHECK_FALSE(path_matches("/a/b", "/a"));
  CHECK(path_matches("/a/**", "/a/"));
  CHECK(path_matches("/a/**", "/a/b/c"));
  CHECK_FALSE(path_matches("/a/**", "/a"));
  CHECK_FALSE(path_matches("/a/**", "/ab"));
  CHECK_FALSE(path_matches("/a/**", "/a/../b"));
  CHECK_FALSE(path_matches("/a/**", "/a/%2e%2e/b"));
  CHECK_FALSE(path_matches("/a/**", "/a//b"));
  CHECK(path_matches("/**", "/"));
  CHECK(path_matches("/a/*/c", "/a/b/c"));
  CHECK_FALSE(path_matches("/a/*/c", "/a/b/b/c"));
  CHECK_FALSE(path_matches("/a/*", "/a/"));
  CHECK_FALSE(path_matches("/a/*", "/a"));
  CHECK_FALSE(path_matches("/a/*", "/a/b/"));
  CHECK(path_matches("/a/*", "/a/b"));
}
