// `exeat docs PAGE`: what docs/reference holds, from the tables of the code.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "admin/api.hpp"
#include "cli/command_line.hpp"
#include "cli/commands.hpp"
#include "config/builtin_policy.hpp"
#include "config/reference.hpp"
#include "config/schema.hpp"
#include "log/fields.hpp"
#include "metrics/table.hpp"

namespace exeat::cli {
namespace {

struct docs_page {
  std::string_view name;
  std::string (*text)();
};

constexpr std::array pages{
    docs_page{"configuration", config::configuration_page},
    docs_page{"policy", config::policy_page},
    docs_page{"reason-codes", config::reason_codes_page},
    docs_page{"command-line", command_line_page},
    docs_page{"log", log::log_reference},
    docs_page{"metrics", metrics::metrics_reference},
    docs_page{"bundles", bundles_page},
    docs_page{"lint", lint_page},
    docs_page{"builtin-policy", [] { return std::string(config::builtin_policy_text()); }},
    docs_page{"policy-schema", config::policy_schema},
    docs_page{"policy-include-schema", config::policy_include_schema},
    docs_page{"openapi", admin::openapi_document},
    docs_page{"configuration-schema", config::configuration_schema},
};

}  // namespace

std::string docs_page_names() {
  std::string out;
  for (const auto& page : pages) out += (out.empty() ? "" : ", ") + std::string(page.name);
  return out;
}

int run_docs(const std::string& page) {
  const auto* const found = std::ranges::find(pages, page, &docs_page::name);
  if (found == pages.end()) {
    fmt::print(stderr, "exeat docs: no page `{}`: {}\n", config::printable(page), docs_page_names());
    return exit_error;
  }
  fmt::print("{}", found->text());
  return exit_ok;
}

}  // namespace exeat::cli
