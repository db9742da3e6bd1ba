// The subcommands, each one function from its options to an exit status.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/answer.hpp"
#include "config/load.hpp"
#include "config/settings.hpp"

namespace exeat::cli {

/// Exit statuses of every subcommand that answers yes or no.
inline constexpr int exit_ok = 0;  ///< done; for `check`: everything allowed
inline constexpr int exit_denied =
    1;  ///< `check`: something denied; `test`: a test fails; `lint`: a finding of --fail-on
inline constexpr int exit_error = 2;  ///< wrong usage, unreadable files, and what else keeps from an answer

/// `exeat serve`. The settings are loaded, merged with the command line and valid.
struct serve_options {
  config::settings settings;
  /// To load again from, with config::load_settings(config_file, overrides); empty: no file.
  std::string config_file;
  config::overrides overrides;
  std::string admin_tokens;  ///< file of admin::load_tokens(); empty: one-time tokens alone
};
/// Runs until SIGINT or SIGTERM. Defined in cli/serve.cpp.
int run_serve(serve_options options);

/// `exeat check`.
struct check_options {
  policy_choice policy;
  std::string method = "GET";       ///< of the http URLs
  std::vector<std::string> phases;  ///< empty: all
  std::vector<std::string> urls;    ///< "-": one per line from standard input
  std::string format = "text";      ///< text, markdown, json (one object per line)
};
int run_check(const check_options& options);

/// `exeat test`: the `tests:` of a policy. Defined in cli/test_policy.cpp.
struct test_options {
  policy_choice policy;
  std::string format = "text";  ///< text, json (one object per line), markdown
  bool require = false;         ///< a policy without tests is an error
};
int run_test(const test_options& options);

/// `exeat explain`: one destination in every phase. 0 whatever the answer is, or exit_error.
struct explain_options {
  policy_choice policy;
  std::string destination;
  std::string format = "text";  ///< text, markdown, json
};
int run_explain(const explain_options& options);

/// `exeat lint`.
struct lint_options {
  policy_choice policy;
  std::string format = "text";         ///< text, json (one object per line), markdown, sarif
  std::string fail_on = "high";        ///< low, medium, high, never: the least severity that ends with 1
  std::string expires_within = "30d";  ///< as core::parse_duration reads it
  bool require_reason = true;
  bool require_owner = false;
};
int run_lint(const lint_options& options);
/// docs/reference/lint.md.
std::string lint_page();

/// `exeat diff`. 1 where an untrusted phase is wider in the new policy.
struct diff_options {
  std::string before;  ///< policy files
  std::string after;
  std::string format = "text";      ///< text, markdown, json (one object per line)
  std::vector<std::string> replay;  ///< decision logs; "-": standard input
  bool insecure_policy_file = false;
};
int run_diff(const diff_options& options);

/// `exeat bundles [NAME]`. Defined in cli/bundles.cpp.
struct bundles_options {
  std::string name;             ///< empty: a table of all
  std::string format = "text";  ///< text, json (one object per bundle and line), markdown
};
int run_bundles(const bundles_options& options);
/// docs/reference/bundles.md.
std::string bundles_page();

/// `exeat suggest LOG...`.
struct suggest_options {
  policy_choice policy;
  std::vector<std::string> files;   ///< "-": standard input; empty: blocked.log
  std::vector<std::string> phases;  ///< empty: all
  std::string since;                ///< as log::parse_since reads it; empty: everything
  std::string format = "text";      ///< text (a policy file), json (one object per line), markdown
  std::uint64_t wildcards = 0;      ///< names that back a wildcard; 0: none are proposed
  std::optional<std::uint64_t> min_count;
  bool unused = false;
};
int run_suggest(const suggest_options& options);

/// `exeat import --from PRODUCT FILE`. 1 where the meaning is not the same throughout.
struct import_options {
  std::string from;
  std::string file;             ///< "-": standard input
  std::string phase = "agent";  ///< where the product has no such thing
};
int run_import(const import_options& options);

/// `exeat canary`. Defined in cli/canary.cpp.
struct canary_options {
  std::string under;  ///< a domain; empty: `internal`
};
int run_canary(const canary_options& options);

/// `exeat connect --unix PATH -- COMMAND`.
struct connect_options {
  std::string socket;
  std::vector<std::string> command;
};
int run_connect(const connect_options& options);

/// `exeat env`: what leads the tools of a job through the proxy. Defined in cli/env.cpp.
struct env_options {
  std::string phase;
  std::string shell;        ///< bash, fish, powershell, github, docker, systemd; empty: as $SHELL says
  std::string config_file;  ///< empty: the built-in settings
  std::string proxy;        ///< "http://HOST:PORT" over what they say; empty: none
  std::string token_file;   ///< empty: $EXEAT_TOKEN, where the listener asks for a token
};
int run_env(const env_options& options);

/// `exeat doctor`. 1 where a tool goes around the proxy, or something fails. Defined in cli/doctor.cpp.
struct doctor_options {
  std::string phase;  ///< empty: whichever the proxy of --proxy or of the environment serves
  std::string config_file;
  std::string proxy;
  std::string token_file;
  std::string timeout = "30s";  ///< of each tool, as core::parse_duration reads it
  std::string format = "text";  ///< text, json (one object)
};
int run_doctor(const doctor_options& options);

/// `exeat report`.
struct report_options {
  std::vector<std::string> files;  ///< logs; empty: the review store, or blocked.log of the working directory
  bool rotated = true;             ///< FILE.1, FILE.2, ... as well
  std::string database;  ///< of a review store; empty: that of `policy.config_file` or the environment
  policy_choice policy;  ///< for rules that were never needed; both empty: they are not looked for
  std::optional<std::string> phase, job;
  std::string since;                 ///< as log::parse_since reads it; empty: everything
  std::string format = "text";       ///< text, markdown, json, sarif, junit
  std::vector<std::string> fail_on;  ///< blocked, new, none
  bool annotations = false;          ///< on standard error
};
int run_report(const report_options& options);

/// `exeat token`. Defined in cli/token.cpp.
struct token_options {
  std::string phase = "agent";
  std::string role;             ///< for `serve --admin-tokens` instead of a phase; empty: for a phase
  std::string name;             ///< whose it is, with a role
  std::string hash;             ///< file with a token, "-": standard input; empty: a fresh one
  std::string format = "text";  ///< text, json (one object)
};
int run_token(const token_options& options);

/// Which running process is meant: one of these, or the default control socket.
struct process_choice {
  std::string control;      ///< the path of its control socket
  std::string config_file;  ///< its exeat.yaml
  std::string url;          ///< its admin API
};

/// `exeat dashboard`. Defined in cli/dashboard.cpp.
struct dashboard_options {
  process_choice process;
  std::string role = "admin";
  std::string file;  ///< where the link goes; empty: to the terminal
};
int run_dashboard(const dashboard_options& options);

/// `exeat phase advance` and `exeat phase status`. 1 where the process refuses. Defined in cli/control.cpp,
/// as are the next two.
struct phase_options {
  std::string action;
  process_choice process;
  std::string job;    ///< empty: the one of exeat.yaml, or the one of the secret; for `status` all
  std::string to;     ///< empty: the next step
  std::string grace;  ///< as core::parse_duration reads it; empty: none
  std::string secret_file;
  std::string token_file;
  std::string format = "text";  ///< text, json: what the process answered
};
int run_phase(const phase_options& options);

/// `exeat job open`, `exeat job close ID` and `exeat job new`. 1 where the process refuses.
struct job_options {
  std::string action;
  std::string id;
  process_choice process;
  std::string phases;
  std::string time_limit;
  std::string token_file;
  std::string format = "text";  ///< text, json: what the process answered
};
int run_job(const job_options& options);

/// `exeat state init DIRECTORY`.
struct state_options {
  std::string action;
  std::string directory;
};
int run_state(const state_options& options);

/// `exeat completion SHELL`: the script for bash, zsh or fish. Defined in cli/shell_pages.cpp, as is run_man.
int run_completion(const std::string& shell);

/// `exeat man [COMMAND]` and `exeat man --all DIRECTORY`.
struct man_options {
  std::string command;    ///< empty: exeat itself
  std::string directory;  ///< not empty: every page, as a file in it
};
int run_man(const man_options& options);

/// `exeat docs PAGE`: one generated page of docs/reference to standard output.
int run_docs(const std::string& page);
/// What it takes: "configuration, policy, ...".
std::string docs_page_names();

}  // namespace exeat::cli
