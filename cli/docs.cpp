// `exeat docs PAGE`: what docs/reference holds, from the tables of the code.
#include <fmt/format.h>

#include "cli/command_line.hpp"
#include "cli/commands.hpp"
#include "config/builtin_policy.hpp"
#include "config/reference.hpp"
#include "config/schema.hpp"
#include "log/fields.hpp"
#include "metrics/table.hpp"

namespace exeat::cli {

int run_docs(const std::string& page) {
  if (page == "configuration") {
    fmt::print("{}", config::configuration_page());
  } else if (page == "policy") {
    fmt::print("{}", config::policy_page());
  } else if (page == "reason-codes") {
    fmt::print("{}", config::reason_codes_page());
  } else if (page == "command-line") {
    fmt::print("{}", command_line_page());
  } else if (page == "bundles") {
    fmt::print("{}", bundles_page());
  } else if (page == "lint") {
    fmt::print("{}", lint_page());
  } else if (page == "log") {
    fmt::print("{}", log::log_reference());
  } else if (page == "metrics") {
    fmt::print("{}", metrics::metrics_reference());
  } else if (page == "policy-schema") {
    fmt::print("{}", config::policy_schema());
  } else if (page == "policy-include-schema") {
    fmt::print("{}", config::policy_include_schema());
  } else if (page == "configuration-schema") {
    fmt::print("{}", config::configuration_schema());
  } else if (page == "builtin-policy") {
    fmt::print("{}", config::builtin_policy_text());
  } else {
    fmt::print(stderr,
               "exeat docs: no page `{}`: configuration, policy, reason-codes, command-line, log, metrics, "
               "bundles, lint, builtin-policy, policy-schema, policy-include-schema, configuration-schema\n",
               config::printable(page));
    return exit_error;
  }
  return exit_ok;
}

}  // namespace exeat::cli
