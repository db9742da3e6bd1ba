#include "cli/command_tree.hpp"

#include "importers/import.hpp"

namespace exeat::cli {
namespace {

constexpr const char* insecure = "Accept files that others may write";

void add_policy(CLI::App* s, policy_choice& choice) {
  s->add_option("--config", choice.config_file, "Take the policy that this exeat.yaml names")
      ->type_name("FILE");
  s->add_option("--policy", choice.policy, "Take this policy; without it and --config the built-in one")
      ->type_name("FILE");
  s->add_flag("--insecure-policy-file", choice.insecure_policy_file, insecure);
}

void add_process(CLI::App* s, process_choice& choice) {
  auto* control = s->add_option("--control", choice.control,
                                "The process with this control socket; by default the "
                                "one of $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR")
                      ->type_name("PATH");
  auto* file = s->add_option("--config", choice.config_file, "The process that runs on this exeat.yaml")
                   ->type_name("FILE")
                   ->excludes(control);
  s->add_option("--url", choice.url,
                "The process with this admin address, http://127.0.0.1:9400; it wants a "
                "secret or token")
      ->type_name("URL")
      ->excludes(control)
      ->excludes(file);
}

void add_answer_format(CLI::App* s, std::string& format) {
  s->add_option("--format", format, "text, or json: what the process answered")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json"}));
}

constexpr const char* operator_token = "A file with the operator token; else $EXEAT_OPERATOR_TOKEN";

}  // namespace

command_line::command_line() {
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", version());
  app.get_formatter()->column_width(36);
  add_serve();
  add_check();
  add_explain();
  add_lint();
  add_test();
  add_diff();
  add_suggest();
  add_import();
  add_bundles();
  add_canary();
  add_connect();
  add_env();
  add_doctor();
  add_report();
  add_token();
  add_dashboard();
  add_phase();
  add_job();
  add_state();
  add_completion();
  app.add_subcommand("version", "Print the version.");
  auto* docs = app.add_subcommand("docs", "Print a generated page of docs/reference.");
  docs->group("");
  docs->add_option("PAGE", page, "One of " + docs_page_names())->required();
  add_man();  // last: it knows the others by name
}

void command_line::add_serve() {
  auto* s =
      app.add_subcommand("serve", "Run the proxy in the foreground; without flags on the built-in policy.");
  s->add_option("--config", config_file, "How to run: exeat.yaml")->type_name("FILE");
  s->add_option("--policy", serve.policy, "Who may reach what: policy.yaml (over the file's `policy`)")
      ->type_name("FILE");
  s->add_option("--listen", serve.listen,
                "A listener: PHASE=ADDRESS:PORT or PHASE=unix:PATH; may be repeated, and replaces the "
                "file's listeners")
      ->type_name("PHASE=ADDRESS")
      ->allow_extra_args(false);
  s->add_option(
       "--admin", serve.admin,
       "Metrics, health and the dashboard: ADDRESS:PORT, unix:PATH or none (over the file's `admin`)")
      ->type_name("ADDRESS");
  s->add_option(
       "--admin-tokens", admin_tokens,
       "Who may use the dashboard: a file of lines NAME ROLE SHA256, as `exeat token --role` prints them, "
       "read again at every reload; without it, only who has a one-time token (`exeat dashboard`)")
      ->type_name("FILE");
  s->add_flag("--insecure-policy-file", serve.insecure_policy_file, insecure);
}

void command_line::add_check() {
  auto* s = app.add_subcommand(
      "check", "Say whether destinations are allowed, and why; exit status 0 yes, 1 no, 2 error.");
  s->add_option("URL", check.urls,
                "https://HOST[:PORT]/, http://HOST[:PORT]/, HOST:PORT, or - for a list on standard input")
      ->type_name("");
  s->add_option("--phase", check.phases, "The phase that asks; may be repeated; without it every phase")
      ->type_name("PHASE")
      ->allow_extra_args(false);
  s->add_option("--method", check.method, "The method of http URLs, for rules with `methods`; GET by default")
      ->type_name("METHOD");
  add_policy(s, check.policy);
  auto* format = s->add_option("--format", check.format, "text, markdown, or json: one object per line")
                     ->type_name("FORMAT");
  format->check(CLI::IsMember({"text", "json", "markdown"}));
  s->add_flag("--json", check_json, "The same as --format json")->excludes(format);
}

void command_line::add_explain() {
  auto* s = app.add_subcommand(
      "explain",
      "Say for every phase which rule governs a destination, why the others do not, and which nearly "
      "would; exit status 0 whatever the answer is, 2 error.");
  s->add_option("HOST", explain.destination,
                "HOST, HOST:PORT, https://HOST[:PORT]/ or http://HOST[:PORT]/; U-labels are converted")
      ->type_name("")
      ->required();
  add_policy(s, explain.policy);
  s->add_option("--format", explain.format, "text, markdown, or json: one object")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json", "markdown"}));
}

void command_line::add_lint() {
  auto* s = app.add_subcommand("lint",
                               "Find what in a policy is dangerous, dead or left over; exit status 0 "
                               "nothing of --fail-on or above, 1 something, 2 error.");
  add_policy(s, lint.policy);
  s->add_option(
       "--format", lint.format,
       "text, json: one object per finding and line, markdown: a table for a pull request, or sarif: SARIF "
       "2.1.0 for code review")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json", "markdown", "sarif"}));
  s->add_option("--fail-on", lint.fail_on,
                "The least severity that ends with status 1: low, medium, high (the default) or never")
      ->type_name("SEVERITY")
      ->check(CLI::IsMember({"low", "medium", "high", "never"}));
  s->add_option("--expires-within", lint.expires_within,
                "Report rules that expire so soon: 30d, which is the default, or 0 for none")
      ->type_name("TIME");
  s->add_flag("--require-owner", lint.require_owner, "Report allow rules without an owner");
  s->add_flag("!--no-require-reason", lint.require_reason, "Do not report rules without a reason");
}

void command_line::add_test() {
  auto* s = app.add_subcommand(
      "test",
      "Run the `tests:` of a policy; exit status 0 all pass (or there are none), 1 one fails, 2 error.");
  add_policy(s, test.policy);
  s->add_option("--format", test.format, "text, markdown, or json: one object per test and line")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json", "markdown"}));
  s->add_flag("--require", test.require, "A policy without tests is an error");
}

void command_line::add_diff() {
  auto* s = app.add_subcommand("diff",
                               "Say what becomes reachable and what stops being reachable between two "
                               "policies, by meaning; exit status "
                               "0 no untrusted phase is widened, 1 one is, 2 error.");
  s->add_option("OLD", diff.before, "The policy file as it was")->type_name("")->required();
  s->add_option("NEW", diff.after, "The policy file as it is to be")->type_name("")->required();
  s->add_option("--format", diff.format,
                "text, markdown: for a comment on a pull request, or json: one object per line")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "markdown", "json"}));
  s->add_option(
       "--replay", diff.replay,
       "Say which requests of this decision log the two answer differently, too; may be repeated; - for "
       "standard input")
      ->type_name("LOG")
      ->allow_extra_args(false);
  s->add_flag("--insecure-policy-file", diff.insecure_policy_file, insecure);
}

void command_line::add_suggest() {
  auto* s = app.add_subcommand(
      "suggest",
      "Print the narrowest rules that would have let pass what a log shows as refused, as a "
      "file for `include`, and hold back what looks like an attempt to get a rule written.");
  s->add_option("LOG", suggest.files, "Decision logs; without any blocked.log; - for standard input")
      ->type_name("");
  add_policy(s, suggest.policy);
  s->add_option("--phase", suggest.phases, "Of this phase alone; may be repeated")
      ->type_name("PHASE")
      ->allow_extra_args(false);
  s->add_option("--since", suggest.since, "Nothing older: 24h, 2027-03-31 or 2027-03-31T12:00:00Z")
      ->type_name("TIME");
  s->add_option("--min-count", suggest.min_count,
                "Hold back what was asked for less often: by default 2 in untrusted phases, else 1")
      ->type_name("N");
  s->add_option("--wildcards", suggest.wildcards,
                "Propose `*.x` with `max_names` where so many names under x were asked for; never by default")
      ->type_name("N")
      ->check(CLI::Range(std::uint64_t{2}, std::uint64_t{1'000'000}));
  s->add_flag(
      "--unused", suggest.unused,
      "Also tell which rules of the policy the logs never needed, and which wildcards for few names alone");
  s->add_option("--format", suggest.format, "text: a policy file, markdown, or json: one object per line")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json", "markdown"}));
}

void command_line::add_import() {
  auto* s = app.add_subcommand("import",
                               "Translate the allowlist of another product into a policy, on standard "
                               "output; what is not the same, or was left out, stands in comments and on "
                               "standard error; exit status 0 every entry means the same, 1 one does not, 2 "
                               "error.");
  s->add_option("--from", import_from.from, "The product")
      ->type_name("PRODUCT")
      ->required()
      ->check(CLI::IsMember(
          std::vector<std::string>(importers::product_names().begin(), importers::product_names().end())));
  s->add_option("FILE", import_from.file,
                "Its file: an ACL, squid.conf, a workflow, a list, settings; - for standard "
                "input")
      ->type_name("")
      ->required();
  s->add_option("--phase", import_from.phase,
                "The phase of the rules where the product has no such thing; agent by "
                "default")
      ->type_name("PHASE");
}

void command_line::add_bundles() {
  auto* s = app.add_subcommand(
      "bundles", "Show what `use:` can bring into a policy: hosts, risks, why, and when it was reviewed.");
  s->add_option("NAME", bundles.name, "The bundle to show; without it a list of all")->type_name("");
  s->add_option("--format", bundles.format, "text, markdown, or json: one object per bundle and line")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json", "markdown"}));
}

void command_line::add_canary() {
  auto* s = app.add_subcommand(
      "canary",
      "Print a fresh host name that nobody can guess, to be planted where only somebody who searches finds "
      "it, and the line of the policy that raises the alarm when it is asked for.");
  s->add_option("--under", canary.under,
                "The domain that it seems to belong to; `internal` by default, which nobody can register")
      ->type_name("DOMAIN");
}

void command_line::add_connect() {
  auto* s = app.add_subcommand(
      "connect",
      "Run a command whose proxy variables lead to a unix socket, through a loopback port of its own.");
  s->add_option("--unix", connect.socket, "The socket of a listener")->type_name("PATH")->required();
  s->add_option("COMMAND", connect.command, "The command and its arguments, behind --")
      ->type_name("")
      ->required();
  s->positionals_at_end();
}

void command_line::add_env() {
  auto* s = app.add_subcommand(
      "env",
      "Print what leads curl, git, pip, npm, Node, the JVM, Go, cargo, apt and docker through the proxy.");
  s->add_option("--phase", env.phase, "The phase of the job")->type_name("PHASE")->required();
  s->add_option("--shell", env.shell,
                "For what to write; without it the shell of $SHELL; bash serves sh, dash and zsh")
      ->type_name("SHELL")
      ->check(CLI::IsMember({"bash", "fish", "powershell", "github", "docker", "systemd"}));
  s->add_option("--config", env.config_file, "The exeat.yaml with the listener of the phase")
      ->type_name("FILE");
  s->add_option("--proxy", env.proxy,
                "Where the job reaches it, http://HOST:PORT, where that is another address")
      ->type_name("URL");
  s->add_option("--token-file", env.token_file,
                "A file with the token, or JOB:TOKEN, of a listener that asks for one; else $EXEAT_TOKEN")
      ->type_name("FILE");
}

void command_line::add_doctor() {
  auto* s = app.add_subcommand("doctor",
                               "Try the tools of this machine behind a fence, one by one, and say which go "
                               "through the proxy, which around "
                               "it, which fail, and what helps; exit status 0 all through, 1 something goes "
                               "around or fails, 2 error.");
  s->add_option("--phase", doctor.phase, "The phase of the job; without it that of the proxy variables")
      ->type_name("PHASE");
  s->add_option("--config", doctor.config_file, "The exeat.yaml with the listener of the phase")
      ->type_name("FILE");
  s->add_option("--proxy", doctor.proxy, "The proxy to look for: http://HOST:PORT")->type_name("URL");
  s->add_option("--token-file", doctor.token_file, "A file with the token of the phase; else $EXEAT_TOKEN")
      ->type_name("FILE");
  s->add_option("--timeout", doctor.timeout, "What each tool may take: 30s, which is the default")
      ->type_name("TIME");
  s->add_option("--format", doctor.format, "text, or json: one object")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json"}));
}

void command_line::add_report() {
  auto* s = app.add_subcommand(
      "report",
      "Print what was refused, what audit mode would have refused, what was let through for the first time, "
      "how far budgets are used and which rules never were; from the review store, also of a process that "
      "runs, or, of refusals alone, from logs; exit status 0 done, 1 where --fail-on says so, 2 error.");
  s->add_option("FILE", report.files,
                "Log files instead of a review store; without one any blocked.log; - for standard input")
      ->type_name("");
  s->add_option("--database", report.database,
                "The review store; by default that of --config, or of $STATE_DIRECTORY or $XDG_STATE_HOME")
      ->type_name("FILE");
  s->add_option("--config", report.policy.config_file,
                "Take the review store, or the log, and the policy that this exeat.yaml names")
      ->type_name("FILE");
  s->add_option("--policy", report.policy.policy, "Tell which rules of this policy were never needed")
      ->type_name("FILE");
  s->add_flag("--insecure-policy-file", report.policy.insecure_policy_file, insecure);
  s->add_option("--phase", report.phase, "Of this phase alone")->type_name("PHASE");
  s->add_option("--job", report.job,
                "Of this job alone; what it was the first to reach counts as new, whenever that was")
      ->type_name("ID");
  s->add_option(
       "--since", report.since,
       "Nothing last seen before: 24h, 2027-03-31 or 2027-03-31T12:00:00Z; and new is what was first "
       "seen "
       "since, without it what was first seen since `exeat serve` was started")
      ->type_name("TIME");
  s->add_option("--format", report.format,
                "text, markdown: for a job summary, json, sarif: SARIF 2.1.0, or junit")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "markdown", "json", "sarif", "junit"}));
  s->add_option("--fail-on", report.fail_on,
                "End with status 1 where something was refused (blocked), or let through for the first time "
                "(new); none, the default; may be repeated")
      ->type_name("WHAT")
      ->allow_extra_args(false)
      ->check(CLI::IsMember({"blocked", "new", "none"}));
  s->add_flag("--annotations", report.annotations,
              "Besides, on standard error, as annotations of GitHub Actions");
  s->add_flag("!--no-rotated", report.rotated, "Leave out the rotated files FILE.1, FILE.2, ...");
}

void command_line::add_token() {
  auto* s = app.add_subcommand("token",
                               "Make a token, for `credential: {tokens: [...]}` or for the dashboard, and "
                               "print what its file holds of it.");
  auto* phase_option =
      s->add_option("--phase", token.phase, "The phase that it proves; agent by default")->type_name("PHASE");
  s->add_option("--role", token.role,
                "For `serve --admin-tokens` instead: viewer, developer, reviewer or admin at the dashboard")
      ->type_name("ROLE")
      ->check(CLI::IsMember({"viewer", "developer", "reviewer", "admin"}))
      ->excludes(phase_option);
  s->add_option("--name", token.name, "With --role: whose it is")->type_name("NAME");
  s->add_option("--hash", token.hash, "Of the token in this file instead of a new one; - for standard input")
      ->type_name("FILE");
  s->add_option("--format", token.format, "text, or json: one object")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"text", "json"}));
}

void command_line::add_dashboard() {
  auto* s =
      app.add_subcommand("dashboard",
                         "Show a link to the dashboard of a running process, good once, for ten minutes; "
                         "for operators, on its control socket.");
  s->add_option("--role", dashboard.role, "viewer, developer, reviewer or admin (the default)")
      ->type_name("ROLE")
      ->check(CLI::IsMember({"viewer", "developer", "reviewer", "admin"}));
  s->add_option(
       "--file", dashboard.file,
       "Write it to this file, which must not exist yet and only you can read, instead of a terminal")
      ->type_name("FILE");
  auto* control = s->add_option("--control", dashboard.process.control,
                                "The process with this control socket; the default one otherwise")
                      ->type_name("PATH");
  s->add_option("--config", dashboard.process.config_file, "The process of this exeat.yaml")
      ->type_name("FILE")
      ->excludes(control);
}

void command_line::add_phase() {
  auto* s = app.add_subcommand("phase",
                               "Take a job on to a later phase, which seals those before it for good, or "
                               "show its phases; exit status 0 "
                               "done, 1 refused, 2 error.");
  s->add_option(
       "ACTION", phase.action,
       "advance: seal every phase before the target; status: phases, live tunnels, bytes, sealed or not")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"advance", "status"}));
  s->add_option(
       "--job", phase.job,
       "A job of `exeat job open`; without it the one of exeat.yaml, the one that the secret belongs to, or, "
       "for an operator's `status`, all")
      ->type_name("ID");
  s->add_option("--to", phase.to, "advance: the target; without it the next in the order")
      ->type_name("PHASE");
  s->add_option(
       "--grace", phase.grace,
       "advance: how long what lives in the sealed phases may go on: 5s; without it, it ends at once")
      ->type_name("TIME");
  add_process(s, phase.process);
  s->add_option("--secret-file", phase.secret_file,
                "A file with the job's advance secret; else $EXEAT_ADVANCE_SECRET")
      ->type_name("FILE");
  s->add_option("--token-file", phase.token_file, operator_token)->type_name("FILE");
  add_answer_format(s, phase.format);
}

void command_line::add_job() {
  auto* s =
      app.add_subcommand("job",
                         "Open and close jobs of a shared proxy, or begin the next one of exeat.yaml; for "
                         "operators; exit status 0 done, 1 refused, 2 error.");
  s->add_option(
       "ACTION", job.action,
       "open: a job, whose id, tokens, proxy URLs and advance secret are printed, once; close: seal all of a "
       "job; new: end the job of exeat.yaml and begin the next, in which nothing is sealed")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"open", "close", "new"}));
  s->add_option("ID", job.id, "close: the job")->type_name("");
  s->add_option(
       "--phases", job.phases,
       "open: its phases in their order, `+` between those that run beside one another: setup,agent+mcp")
      ->type_name("PHASES");
  s->add_option("--time-limit", job.time_limit, "open: when it ends by itself: 1h; without it, it is closed")
      ->type_name("TIME");
  add_process(s, job.process);
  s->add_option("--token-file", job.token_file, operator_token)->type_name("FILE");
  add_answer_format(s, job.format);
}

void command_line::add_state() {
  auto* s =
      app.add_subcommand("state",
                         "Make the directory in which a process keeps what is sealed, `job.state_dir` of "
                         "exeat.yaml; as the user that it runs as.");
  s->add_option("ACTION", state.action, "init: make it")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"init"}));
  s->add_option("DIRECTORY", state.directory, "Where; the directory above it must exist")
      ->type_name("")
      ->required();
}

void command_line::add_completion() {
  auto* s = app.add_subcommand("completion", "Print the completion script of a shell, to be sourced by it.");
  s->add_option("SHELL", shell, "bash, zsh or fish")
      ->type_name("")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

void command_line::add_man() {
  auto* s = app.add_subcommand("man", "Print a man page, for `man -l -`.");
  std::vector<std::string> names;
  for (const auto* sub : listed_commands(app)) names.push_back(sub->get_name());
  auto* one = s->add_option("COMMAND", man.command, "The command to explain; without it exeat itself")
                  ->type_name("")
                  ->check(CLI::IsMember(names));
  s->add_option("--all", man.directory, "Write every page into a directory, as exeat.1, exeat-COMMAND.1")
      ->type_name("DIRECTORY")
      ->excludes(one);
}

std::vector<const CLI::App*> listed_commands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
}

}  // namespace exeat::cli
