#include "config/schema.hpp"

#include <doctest/doctest.h>

#include "config/policy_keys.hpp"
#include "config/rule_keys.hpp"
#include "config/settings_table.hpp"
#include "config/tls_keys.hpp"

using namespace exeat::config;

namespace {

template <class T>
void check_rows(const std::string& schema, std::span<const key_row<T>> rows) {
  for (const auto& row : rows) {
    CAPTURE(row.key);
    CHECK(row.schema.json.empty() != row.schema.words.empty());
    CHECK(schema.contains('"' + std::string(row.key) + "\": {"));
    CHECK(row.schema.required == (row.fallback == "required"));
    for (const auto word : row.schema.words) CHECK(schema.contains('"' + std::string(word) + '"'));
  }
}

}  // namespace

TEST_CASE("every key has a schema") {
  const auto policy = policy_schema();
  check_rows(policy, policy_rows());
  check_rows(policy, phase_rows());
  check_rows(policy, allow_rows());
  check_rows(policy, use_rows());
  check_rows(policy, deny_rows());
  check_rows(policy, exception_rows());
  check_rows(policy, test_rows());
  const auto included = policy_include_schema();
  check_rows(included, included_rows());
  check_rows(included, included_phase_rows());
  const auto configuration = configuration_schema();
  check_rows(configuration, listener_rows());
  check_rows(configuration, tls_rows());
  check_rows(configuration, admin_rows());
  check_rows(configuration, control_rows());
  for (const auto& row : setting_rows()) {
    CAPTURE(row.path);
    CHECK(row.schema.starts_with('{'));
    CHECK(configuration.contains('"' + std::string(row.path.substr(row.path.rfind('.') + 1)) + "\": {"));
  }
}

TEST_CASE("what belongs to the base policy is in no schema of an included file") {
  const auto included = policy_include_schema();
  for (const auto* key :
       {"addresses", "include", "mode", "hints", "untrusted", "final", "canary", "time_limit"})
    CHECK_FALSE(included.contains('"' + std::string(key) + "\":"));
  CHECK(included.contains(R"("const": "require")"));
  CHECK(included.contains(R"("const": "refuse")"));
}

TEST_CASE("a $ref leads to a definition, and every definition is referred to") {
  for (const auto& schema : {policy_schema(), policy_include_schema(), configuration_schema()}) {
    constexpr std::string_view begin = "\"#/$defs/";
    for (auto at = schema.find(begin); at != std::string::npos; at = schema.find(begin, at + 1)) {
      const auto name = schema.substr(at + begin.size(), schema.find('"', at + 1) - at - begin.size());
      CAPTURE(name);
      CHECK(schema.find("\n    \"" + name + "\": {", schema.find("\n  \"$defs\": {")) != std::string::npos);
    }
    const auto definitions = schema.substr(schema.find("\n  \"$defs\": {") + 13);
    for (auto at = definitions.find("\n    \""); at != std::string::npos;
         at = definitions.find("\n    \"", at + 1)) {
      const auto name = definitions.substr(at + 6, definitions.find('"', at + 6) - at - 6);
      CAPTURE(name);
      CHECK(schema.contains(std::string(begin) + name + '"'));
    }
  }
}

TEST_CASE("JSON is laid out without a change of what it says") {
  CHECK(pretty_json("{}") == "{}\n");
  CHECK(pretty_json(R"({"a":[1,"x,y:{"],"b":"\"\\"})") == "{\"a\": [1, \"x,y:{\"], \"b\": \"\\\"\\\\\"}\n");
  const std::string wide(100, 'w');
  CHECK(pretty_json(R"({"a{\"":[1,")" + wide + R"("],"b":{}})") ==
        "{\n  \"a{\\\"\": [\n    1,\n    \"" + wide + "\"\n  ],\n  \"b\": {}\n}\n");
}
