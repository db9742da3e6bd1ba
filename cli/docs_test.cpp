#include <doctest/doctest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "cli/command_line.hpp"
#include "cli/commands.hpp"
#include "config/reference.hpp"

using namespace exeat;

namespace {

void check_page(const std::string& name, const std::string& generated) {
  std::ifstream file(EXEAT_REFERENCE_PAGES "/" + name + ".md", std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  INFO("write it anew: exeat docs " << name << " > docs/reference/" << name << ".md");
  CHECK(text.str() == generated);
}

}  // namespace

TEST_CASE("the reference pages are what the tables say") {
  check_page("configuration", config::configuration_page());
  check_page("policy", config::policy_page());
  check_page("reason-codes", config::reason_codes_page());
  check_page("command-line", cli::command_line_page());
  check_page("bundles", cli::bundles_page());
}
