#include "admin/json_body.hpp"

#include <doctest/doctest.h>

#include <array>

using exeat::admin::json_body;

namespace {

constexpr std::array<std::string_view, 2> known{"job", "to"};

std::string error_of(std::string_view text) {
  const auto body = json_body::parse(text, known);
  return body ? std::string() : body.error();
}

}  // namespace

TEST_CASE("a flat object of strings, and an empty text") {
  const auto body = json_body::parse(" {\"job\":\"a\\u0062\", \"to\":\"\"}\n", known);
  REQUIRE_MESSAGE(body, body.error());
  REQUIRE(body->find("job") != nullptr);
  CHECK(*body->find("job") == "ab");
  CHECK(body->find("to")->empty());
  CHECK(body->find("grace") == nullptr);
  CHECK(json_body::parse("", known)->find("job") == nullptr);
  CHECK(json_body::parse("{}", known)->find("job") == nullptr);
  CHECK(json_body::parse("{}", {}));
}

TEST_CASE("whatever could be read in two ways is refused, with the reason") {
  CHECK(error_of(R"({"job":"a","job":"b"})") == "The member \"job\" stands twice.");
  CHECK(error_of(R"({"Job":"a"})") == "Unknown member \"Job\"; there is job, to.");
  CHECK(error_of("{\"\\u001b[2J\":\"a\"}") == "Unknown member \"\\x1b[2J\"; there is job, to.");
  CHECK(json_body::parse(R"({"job":"a"})", {}).error() == "Unknown member \"job\"; there is none.");
  for (const char* not_text :
       {R"({"job":1})", R"({"job":-1})", R"({"job":1.5})", R"({"job":true})", R"({"job":null})",
        R"({"job":["a"]})", R"({"job":{"to":"a"}})", R"(["job"])", R"("job")", "1", "null", "true"}) {
    CAPTURE(not_text);
    CHECK(error_of(not_text) == "The body is one JSON object whose members are strings.");
  }
  for (const char* no_json :
       {"{", "}", "{\"job\"}", R"({"job":"a",})", R"({"job":"a"} {})", R"({"job":"a"}x)", "{'job':'a'}",
        R"({"job":"a" /* x */})", "{\"job\":\"a\nb\"}", "{\"job\":\"\xff\"}", " ", "job=a"}) {
    CAPTURE(no_json);
    CHECK(error_of(no_json) == "The body is no JSON object, or not one alone.");
  }
  CHECK_FALSE(error_of("{\"job\":\"" + std::string(513, 'a') + "\"}").empty());
  CHECK(error_of("{\"job\":\"" + std::string(512, 'a') + "\"}").empty());
  CHECK_FALSE(error_of("{\"" + std::string(65, 'a') + "\":\"a\"}").empty());
  CHECK_FALSE(error_of(std::string(4000, '[')).empty());
}
