// What the value of a key looks like, for JSON Schema (draft 2020-12): the loader's readers in another
// language. A schema never refuses what the loader accepts of a file read as YAML 1.2; it leaves to the
// loader what takes more than a look at the text (public suffixes, ranges of sizes, files, what fits
// together).
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace exeat::config {

struct value_schema {
  std::string_view json;                    ///< a schema; a `$ref` points into `$defs` of config/schema.cpp
  std::span<const std::string_view> words;  ///< instead of `json`: one of these
  bool required = false;                    ///< the key must stand in its map
  std::string_view beside;                  ///< a schema of the map in which the key stands; empty: any
  std::string_view included;  ///< what takes the place of `json` in an included file; empty: nothing

  constexpr value_schema must() const noexcept {
    auto out = *this;
    out.required = true;
    return out;
  }
  constexpr value_schema with(std::string_view map) const noexcept {
    auto out = *this;
    out.beside = map;
    return out;
  }
  constexpr value_schema in_included(std::string_view schema) const noexcept {
    auto out = *this;
    out.included = schema;
    return out;
  }
};

/// One of the words that the reader of the key takes.
constexpr value_schema one_of(std::span<const std::string_view> words) noexcept {
  return {.words = words};
}

/// The JSON of it, without `beside` and `included`. Defined in config/schema.cpp.
std::string to_json(const value_schema& schema);

// Single values, by the reader of config/values.hpp or config/policy_values.hpp that they belong to.
namespace schema {
inline constexpr value_schema version{.json = R"({"enum":[1,"1"]})", .required = true};
inline constexpr value_schema flag{.json = R"({"type":"boolean"})"};
inline constexpr value_schema text{.json = R"({"$ref":"#/$defs/text"})"};
inline constexpr value_schema path{.json = R"({"$ref":"#/$defs/path"})"};
inline constexpr value_schema phase_name{.json = R"({"$ref":"#/$defs/phase_name"})"};
inline constexpr value_schema host{.json = R"({"$ref":"#/$defs/host"})"};
inline constexpr value_schema hosts{.json =
                                        R"({"type":"array","items":{"$ref":"#/$defs/host"},"minItems":1})"};
inline constexpr value_schema prefix{.json = R"({"$ref":"#/$defs/prefix"})"};
inline constexpr value_schema prefixes{
    .json =
        R"({"anyOf":[{"$ref":"#/$defs/prefix"},{"type":"array","items":{"$ref":"#/$defs/prefix"},"minItems":1}]})"};
inline constexpr value_schema ports{.json = R"({"$ref":"#/$defs/ports"})"};
inline constexpr value_schema date{
    .json =
        R"({"type":"string","pattern":"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$","format":"date"})"};
inline constexpr value_schema count{.json = R"({"$ref":"#/$defs/count"})"};
inline constexpr value_schema duration{.json = R"({"$ref":"#/$defs/duration"})"};
inline constexpr value_schema limit{.json = R"({"$ref":"#/$defs/limit"})"};
}  // namespace schema

}  // namespace exeat::config
