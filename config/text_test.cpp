#include <doctest/doctest.h>

#include <array>
#include <string>

#include "config/error.hpp"
#include "config/paths.hpp"
#include "config/utf8.hpp"

using namespace exeat;

TEST_CASE("the nearest word is one that a slip of the finger makes") {
  constexpr std::array<std::string_view, 6> words{"host", "cidr", "ports", "reason", "expires", "untrusted"};
  CHECK(config::nearest_word("hots", words) == "host");
  CHECK(config::nearest_word("Host", words) == "host");
  CHECK(config::nearest_word("port", words) == "ports");
  CHECK(config::nearest_word("expire", words) == "expires");
  CHECK(config::nearest_word("untrusetd", words) == "untrusted");
  CHECK(config::nearest_word("zzz", words).empty());
  CHECK(config::nearest_word("", words).empty());
  CHECK(config::nearest_word(std::string(1000, 'h'), words).empty());
}

TEST_CASE("printable text carries nothing to a terminal but letters") {
  CHECK(config::printable("plain b\xc3\xbc"
                          "cher") ==
        "plain b\xc3\xbc"
        "cher");
  CHECK(config::printable("\x1b[31m\n") == "\\x1b[31m\\x0a");
  CHECK(config::printable("\xff\x80") == "\\xff\\x80");
  CHECK(config::printable("\xc2\x9b"
                          "31m") == "\\xc2\\x9b31m");
  CHECK(config::printable("abcdef", 3) == "abc...");
  CHECK(config::printable("ab\xc3\xbc", 3) == "ab...");
}

TEST_CASE("UTF-8 is judged as RFC 3629 says") {
  using config::utf8_sequence;
  CHECK(utf8_sequence("a") == 1);
  CHECK(utf8_sequence("\xc3\xbc") == 2);
  CHECK(utf8_sequence("\xe2\x82\xac") == 3);
  CHECK(utf8_sequence("\xf0\x9f\x98\x80") == 4);
  CHECK(config::utf8_value("\xf0\x9f\x98\x80") == 0x1f600);
  CHECK(config::utf8_value("\xe2\x82\xac") == 0x20ac);
  for (const std::string_view bad :
       {"", "\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\xaf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe2\x82", "\xc3\x28"}) {
    CHECK(utf8_sequence(bad) == 0);
  }
}

TEST_CASE("relative paths are beside the file") {
  CHECK(config::resolve_path("p.yaml", "/etc/exeat") == "/etc/exeat/p.yaml");
  CHECK(config::resolve_path("/p.yaml", "/etc/exeat") == "/p.yaml");
  CHECK(config::resolve_path("p.yaml", "/") == "/p.yaml");
  CHECK(config::resolve_path("p.yaml", "") == "p.yaml");
  CHECK(config::resolve_path("p.yaml", ".") == "p.yaml");
  CHECK(config::directory_of("/etc/exeat.yaml") == "/etc");
  CHECK(config::directory_of("/exeat.yaml") == "/");
  CHECK(config::directory_of("exeat.yaml") == ".");
}
