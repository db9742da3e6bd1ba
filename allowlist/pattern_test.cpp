#include "allowlist/pattern.hpp"

#include <doctest/doctest.h>

#include <string>

#include "allowlist/rule.hpp"

using namespace exeat::allowlist;
using exeat::core::host_name;

namespace {

bool covers(std::string_view pattern, std::string_view name, bool apex = false) {
  auto p = host_pattern::parse(pattern).value();
  p.apex = apex;
  return p.matches(host_name::parse(name).value());
}

std::string shown(std::string_view text) {
  return host_pattern::parse(text).value().to_string();
}

pattern_error error_of(std::string_view text, bool allow_suffix = false) {
  const auto parsed = host_pattern::parse(text, allow_suffix);
  REQUIRE_FALSE(parsed.has_value());
  CHECK_FALSE(describe(parsed.error()).empty());
  return parsed.error();
}

}  // namespace

TEST_CASE("a name is that name and nothing else") {
  CHECK(covers("x.com", "x.com"));
  CHECK(covers("X.com.", "x.com"));
  CHECK_FALSE(covers("x.com", "a.x.com"));
  CHECK_FALSE(covers("x.com", "com"));
  CHECK_FALSE(covers("x.com", "ax.com"));
  CHECK_FALSE(covers("x.com", "x.com.evil.org"));
}

TEST_CASE("one star is exactly one label, two are one or more, neither is the apex") {
  CHECK(covers("*.x.com", "a.x.com"));
  CHECK_FALSE(covers("*.x.com", "a.b.x.com"));
  CHECK_FALSE(covers("*.x.com", "x.com"));
  CHECK_FALSE(covers("*.x.com", "ax.com"));
  CHECK(covers("**.x.com", "a.x.com"));
  CHECK(covers("**.x.com", "a.b.c.x.com"));
  CHECK_FALSE(covers("**.x.com", "x.com"));
  CHECK_FALSE(covers("**.x.com", "evilx.com"));
  CHECK_FALSE(covers("**.x.com", "a.x.com.evil.org"));
}

TEST_CASE("apex adds the bare name to a wildcard") {
  CHECK(covers("*.x.com", "x.com", true));
  CHECK(covers("**.x.com", "x.com", true));
  CHECK_FALSE(covers("*.x.com", "a.b.x.com", true));
  CHECK_FALSE(covers("**.x.com", "com", true));
}

TEST_CASE("patterns print as they are written, canonical") {
  CHECK(shown("API.Example.com.") == "api.example.com");
  CHECK(shown("*.X.com") == "*.x.com");
  CHECK(shown("**.x.com") == "**.x.com");
  CHECK(shown("localhost") == "localhost");
  CHECK(shown("_srv.x_y.com") == "_srv.x_y.com");
}

TEST_CASE("a wildcard stands only as the whole leftmost label") {
  CHECK(error_of("*") == pattern_error::wildcard_alone);
  CHECK(error_of("**") == pattern_error::wildcard_alone);
  CHECK(error_of("*.") == pattern_error::wildcard_alone);
  CHECK(error_of("*", true) == pattern_error::wildcard_alone);
  CHECK(error_of("a.*.com") == pattern_error::wildcard_not_leftmost);
  CHECK(error_of("*.*.x.com") == pattern_error::wildcard_not_leftmost);
  CHECK(error_of("*.**.x.com") == pattern_error::wildcard_not_leftmost);
  CHECK(error_of("x.*") == pattern_error::wildcard_not_leftmost);
  CHECK(error_of("foo*.com") == pattern_error::wildcard_in_label);
  CHECK(error_of("*foo.com") == pattern_error::wildcard_in_label);
  CHECK(error_of("**foo.com") == pattern_error::wildcard_in_label);
  CHECK(error_of("***.x.com") == pattern_error::wildcard_in_label);
}

TEST_CASE("a wildcard on a public suffix is an error, unless the caller may be that wide") {
  for (const std::string_view text :
       {"*.com", "**.com", "**.co.uk", "*.github.io", "**.azurewebsites.net", "*.s3.amazonaws.com",
        "*.internal", "*.localhost", "*.local", "*.foo.ck", "*.xn--p1ai", "*.\xd1\x80\xd1\x84",
        "*.xn--55qx5d.cn", "*.\xe5\x85\xac\xe5\x8f\xb8.cn"}) {
    CAPTURE(text);
    CHECK(error_of(text) == pattern_error::wildcard_on_suffix);
    CHECK(host_pattern::parse(text, true).has_value());
  }
  for (const std::string_view text :
       {"*.example.com", "**.corp.internal", "*.corp.example", "*.user.github.io", "*.www.ck", "**.x.co.uk",
        "com", "github.io", "internal"}) {
    CAPTURE(text);
    CHECK(host_pattern::parse(text).has_value());
  }
}

TEST_CASE("names are converted from U-labels, non-transitionally") {
  CHECK(shown("b\xc3\xbc"
              "cher.example.de") == "xn--bcher-kva.example.de");
  CHECK(shown("**.B\xc3\x9c"
              "CHER.de") == "**.xn--bcher-kva.de");
  CHECK(shown("stra\xc3\x9f"
              "e.de") == "xn--strae-oqa.de");
  CHECK(shown("x\xe3\x80\x82"
              "com") == "x.com");                                                  // ideographic full stop
  CHECK(error_of("\xff\xfe.com") == pattern_error::bad_idn);                       // no UTF-8
  CHECK(error_of("a\xe2\x80\x8d.com") == pattern_error::bad_idn);                  // a joiner out of context
  CHECK(error_of("\xef\xbc\x8a.com") != pattern_error::wildcard_alone);            // full-width asterisk
  CHECK(error_of("\xef\xbc\x91\xef\xbc\x92.0.0.1") == pattern_error::ip_literal);  // full-width digits
}

TEST_CASE("what is no name is refused") {
  for (const std::string_view text : {"", ".", "a..b", ".x.com", "https://x.com", "x.com:443", "x.com/",
                                      "a b.com", "-a.com", "user@x.com", "**..x.com", "?.x.com", "x.com\n"}) {
    CAPTURE(text);
    CHECK(error_of(text) == pattern_error::bad_name);
  }
  CHECK(error_of(std::string("a\0.com", 6)) == pattern_error::bad_name);
  CHECK(error_of(std::string(5000, 'a')) == pattern_error::bad_name);
  for (const std::string_view text :
       {"10.0.0.1", "10.0.0.0/8", "[::1]", "2001:db8::/32", "0x7f.1", "*.10.0.0.1", "2130706433"}) {
    CAPTURE(text);
    CHECK(error_of(text) == pattern_error::ip_literal);
  }
}

TEST_CASE("port sets are sorted, joined and shown as written") {
  const auto set = port_set::of({{8000, 8100}, {443, 443}, {80, 80}, {8101, 8200}, {8050, 8060}});
  CHECK(set.to_string() == "80,443,8000-8200");
  CHECK(set.size() == 203);
  CHECK(set.contains(8200));
  CHECK_FALSE(set.contains(8201));
  CHECK_FALSE(set.contains(0));
  CHECK(port_set::any().to_string() == "any");
  CHECK(port_set::any().size() == 65535);
  CHECK(port_set::of({{0, 65535}}) == port_set::any());
  CHECK(port_set::of({{65000, 65535}, {65535, 65535}}).to_string() == "65000-65535");
  CHECK(port_set::of({{5, 4}, {0, 0}}).size() == 0);
  CHECK(set.overlaps(port_set::of({{8200, 9000}})));
  CHECK_FALSE(set.overlaps(port_set::of({{81, 442}, {444, 7999}, {8201, 65535}})));
}

TEST_CASE("marks print as compilers do") {
  CHECK(mark{"policy.yaml", 3, 5}.to_string() == "policy.yaml:3");
  CHECK(mark{"policy.yaml", 0, 0}.to_string() == "policy.yaml");
  CHECK(mark{"", 3, 5}.to_string() == "line 3");
  CHECK(mark{}.to_string().empty());
}
