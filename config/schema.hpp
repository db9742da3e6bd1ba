// JSON Schemas (draft 2020-12) of the files, from the tables that the loader reads them by.
#pragma once
#include <string>

namespace exeat::config {

/// docs/schema/policy.schema.json.
std::string policy_schema();
/// docs/schema/policy-include.schema.json: of the files that a policy takes in by `include`.
std::string policy_include_schema();
/// docs/schema/exeat.schema.json.
std::string configuration_schema();

/// A JSON text that is valid, on lines that fit into 110 columns where they can.
std::string pretty_json(std::string_view text);

}  // namespace exeat::config
