// `exeat report`: what was refused, for people.
#include "log/report.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "cli/commands.hpp"

namespace exeat::cli {

int run_report(const report_options& options) {
  log::report_options out{.files = options.files, .rotated = options.rotated};
  if (out.files.empty()) out.files.emplace_back("blocked.log");
  if (!options.since.empty()) {
    const auto since = log::parse_since(options.since, std::chrono::system_clock::now());
    if (!since) {
      fmt::print(stderr, "exeat report: --since: {}\n", since.error());
      return exit_error;
    }
    out.since = *since;
  }
  out.format = options.format == "markdown" ? log::report_format::markdown
               : options.format == "json"   ? log::report_format::json
                                            : log::report_format::table;
  return log::run_report(out, std::cin, std::cout, std::cerr);
}

}  // namespace exeat::cli
