// `exeat report`: what was refused, for people.
#include "log/report.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "cli/commands.hpp"

namespace exeat::cli {
namespace {

constexpr const char* default_file = "blocked.log";

}  // namespace

int run_report(const report_options& options) {
  log::report_options out{.files = options.files, .rotated = options.rotated};
  if (out.files.empty()) {
    if (!std::filesystem::exists(default_file)) {
      fmt::print(
          stderr,
          "exeat report: no {0} in this directory: name the file (`exeat report FILE`, or `-` for standard "
          "input). It is what `log.blocked` in exeat.yaml names; the decision log itself serves as well\n",
          default_file);
      return exit_error;
    }
    out.files.emplace_back(default_file);
  }
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
