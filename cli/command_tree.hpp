// The subcommands and flags, each once: what is parsed, explained, documented, completed and printed as man
// pages.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/commands.hpp"

namespace exeat::cli {

inline constexpr const char* about =
    "An egress proxy that lets each phase of a job reach what its policy names, and nothing else.";

/// Everything that the flags are parsed into, and the application that parses them. Stays where it is: the
/// application points into it.
struct command_line {
  CLI::App app{about, "exeat"};
  config::overrides serve;
  std::string admin_tokens;
  std::string config_file;
  check_options check;
  bool check_json = false;
  explain_options explain;
  lint_options lint;
  test_options test;
  diff_options diff;
  suggest_options suggest;
  import_options import_from;
  bundles_options bundles;
  canary_options canary;
  connect_options connect;
  env_options env;
  doctor_options doctor;
  report_options report;
  token_options token;
  dashboard_options dashboard;
  phase_options phase;
  job_options job;
  state_options state;
  std::string shell;
  man_options man;
  std::string page;

  command_line();
  command_line(const command_line&) = delete;
  command_line& operator=(const command_line&) = delete;

  static std::string version() { return "exeat " EXEAT_VERSION; }

 private:
  void add_serve();
  void add_check();
  void add_explain();
  void add_lint();
  void add_test();
  void add_diff();
  void add_suggest();
  void add_import();
  void add_bundles();
  void add_canary();
  void add_connect();
  void add_env();
  void add_doctor();
  void add_report();
  void add_token();
  void add_dashboard();
  void add_phase();
  void add_job();
  void add_state();
  void add_completion();
  void add_man();
};

/// The subcommands that help and reference list, in their order.
std::vector<const CLI::App*> listed_commands(const CLI::App& app);

}  // namespace exeat::cli
