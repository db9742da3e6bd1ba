#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "admin/api.hpp"
#include "cli/command_line.hpp"
#include "cli/commands.hpp"
#include "config/reference.hpp"
#include "config/schema.hpp"

using namespace exeat;

namespace {

void check_file(const std::string& path, const std::string& page, const std::string& generated) {
  std::ifstream file(EXEAT_DOCS "/" + path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  INFO("write it anew: exeat docs " << page << " > docs/" << path);
  CHECK(text.str() == generated);
}

void check_page(const std::string& name, const std::string& generated) {
  check_file("reference/" + name + ".md", name, generated);
}

}  // namespace

TEST_CASE("the reference pages are what the tables say") {
  check_page("configuration", config::configuration_page());
  check_page("policy", config::policy_page());
  check_page("reason-codes", config::reason_codes_page());
  check_page("command-line", cli::command_line_page());
  check_page("bundles", cli::bundles_page());
  check_page("lint", cli::lint_page());
}

TEST_CASE("the schemas are what the tables say") {
  check_file("schema/policy.schema.json", "policy-schema", config::policy_schema());
  check_file("schema/policy-include.schema.json", "policy-include-schema", config::policy_include_schema());
  check_file("schema/openapi.json", "openapi", admin::openapi_document());
  check_file("schema/exeat.schema.json", "configuration-schema", config::configuration_schema());
}
