#include "cli/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.hpp"
#include "config/error.hpp"

namespace exeat::cli {
namespace {

constexpr const char* about =
    "An egress proxy that lets each phase of a job reach what its policy names, and nothing else.";

// Everything that the flags are parsed into, and the application that parses them.
struct command_line {
  CLI::App app{about, "exeat"};
  config::overrides serve;
  std::string config_file;
  check_options check;
  std::string check_format = "text";
  bool check_json = false;
  explain_options explain;
  lint_options lint;
  std::string explain_format = "text";
  test_options test;
  connect_options connect;
  report_options report;
  std::string page;

  command_line() {
    app.require_subcommand(0, 1);
    app.set_version_flag("--version", version());
    app.get_formatter()->column_width(36);
    add_serve();
    add_check();
    add_explain();
    add_lint();
    add_test();
    add_connect();
    add_report();
    app.add_subcommand("version", "Print the version.");
    auto* docs = app.add_subcommand("docs", "Print a generated page of docs/reference.");
    docs->group("");
    docs->add_option("PAGE", page, "configuration, policy, reason-codes, command-line or builtin-policy")
        ->required();
  }

  static std::string version() { return "exeat " EXEAT_VERSION; }

 private:
  void add_serve() {
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
    s->add_option("--admin", serve.admin,
                  "Metrics and health: ADDRESS:PORT, unix:PATH or none (over the file's `admin`)")
        ->type_name("ADDRESS");
    s->add_flag("--insecure-policy-file", serve.insecure_policy_file, insecure);
  }
  void add_check() {
    auto* s = app.add_subcommand(
        "check", "Say whether destinations are allowed, and why; exit status 0 yes, 1 no, 2 error.");
    s->add_option("URL", check.urls,
                  "https://HOST[:PORT]/, http://HOST[:PORT]/, HOST:PORT, or - for a list on standard input")
        ->type_name("");
    s->add_option("--phase", check.phases, "The phase that asks; may be repeated; without it every phase")
        ->type_name("PHASE")
        ->allow_extra_args(false);
    s->add_option("--method", check.method,
                  "The method of http URLs, for rules with `methods`; GET by default")
        ->type_name("METHOD");
    add_policy(s, check.policy);
    auto* format =
        s->add_option("--format", check_format, "text, or json: one object per line")->type_name("FORMAT");
    format->check(CLI::IsMember({"text", "json"}));
    s->add_flag("--json", check_json, "The same as --format json")->excludes(format);
  }
  void add_explain() {
    auto* s = app.add_subcommand(
        "explain",
        "Say for every phase which rule governs a destination, why the others do not, and which nearly "
        "would; exit status 0 whatever the answer is, 2 error.");
    s->add_option("HOST", explain.destination,
                  "HOST, HOST:PORT, https://HOST[:PORT]/ or http://HOST[:PORT]/; U-labels are converted")
        ->type_name("")
        ->required();
    add_policy(s, explain.policy);
    s->add_option("--format", explain_format, "text, or json: one object")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json"}));
  }
  void add_lint() {
    auto* s = app.add_subcommand("lint",
                                 "Find what in a policy is dangerous, dead or left over; exit status 0 "
                                 "nothing of --fail-on or above, 1 something, 2 error.");
    add_policy(s, lint.policy);
    s->add_option("--format", lint.format,
                  "text, json: one object per finding and line, or sarif: SARIF 2.1.0 for code review")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json", "sarif"}));
    s->add_option("--fail-on", lint.fail_on,
                  "The least severity that ends with status 1: low, medium, high (the default) or never")
        ->type_name("SEVERITY")
        ->check(CLI::IsMember({"low", "medium", "high", "never"}));
    s->add_option("--expires-within", lint.expires_within,
                  "Report rules that expire so soon: 30d, which is the default, or 0 for none")
        ->type_name("TIME");
    s->add_flag("--require-owner", lint.require_owner, "Report allow rules without an owner");
  }
  void add_test() {
    auto* s = app.add_subcommand(
        "test",
        "Run the `tests:` of a policy; exit status 0 all pass (or there are none), 1 one fails, 2 error.");
    add_policy(s, test.policy);
    s->add_option("--format", test.format, "text, markdown, or json: one object per test and line")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"text", "json", "markdown"}));
    s->add_flag("--require", test.require, "A policy without tests is an error");
  }
  static void add_policy(CLI::App* s, policy_choice& choice) {
    s->add_option("--config", choice.config_file, "Take the policy that this exeat.yaml names")
        ->type_name("FILE");
    s->add_option("--policy", choice.policy, "Take this policy; without it and --config the built-in one")
        ->type_name("FILE");
    s->add_flag("--insecure-policy-file", choice.insecure_policy_file, insecure);
  }
  void add_connect() {
    auto* s = app.add_subcommand(
        "connect",
        "Run a command whose proxy variables lead to a unix socket, through a loopback port of its own.");
    s->add_option("--unix", connect.socket, "The socket of a listener")->type_name("PATH")->required();
    s->add_option("COMMAND", connect.command, "The command and its arguments, behind --")
        ->type_name("")
        ->required();
    s->positionals_at_end();
  }
  void add_report() {
    auto* s = app.add_subcommand("report", "Print what was refused, grouped, from blocked.log.");
    s->add_option("FILE", report.files, "Log files; without any blocked.log; - for standard input")
        ->type_name("");
    s->add_option("--format", report.format, "table, markdown or json")
        ->type_name("FORMAT")
        ->check(CLI::IsMember({"table", "markdown", "json"}));
    s->add_option("--since", report.since, "Nothing older: 24h, 2027-03-31 or 2027-03-31T12:00:00Z")
        ->type_name("TIME");
    s->add_flag("!--no-rotated", report.rotated, "Leave out the rotated files FILE.1, FILE.2, ...");
  }

  static constexpr const char* insecure = "Accept files that others may write";
};

std::vector<std::string_view> words_of(const CLI::App& app, bool flags, std::vector<std::string>& storage) {
  storage.clear();
  if (flags) {
    for (const auto* option : app.get_options()) {
      for (const auto& name : option->get_lnames()) storage.push_back("--" + name);
    }
  } else {
    for (const auto* sub : app.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); })) {
      storage.push_back(sub->get_name());
    }
  }
  return {storage.begin(), storage.end()};
}

// One line for what CLI11 found wrong, with the nearest word where one was mistyped.
int complain(command_line& line, const CLI::ParseError& error, int argc, char** argv) {
  const CLI::App* active = &line.app;
  for (const auto* sub : line.app.get_subcommands()) active = sub;
  std::vector<std::string> storage;
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    for (int i = 1; i < argc; ++i) {
      const std::string word(argv[i]);
      const auto name = word.substr(0, word.find('='));
      const bool is_flag = word.starts_with("-") && word != "-";
      const auto known = words_of(is_flag ? *active : line.app, is_flag, storage);
      if (std::ranges::find(known, name) != known.end()) continue;
      if (!is_flag && active != &line.app) continue;
      const auto nearest = config::nearest_word(name, known);
      fmt::print(stderr, "exeat: unknown {} `{}`{}\n", is_flag ? "flag" : "command", config::printable(name),
                 nearest.empty() ? "" : fmt::format(" (did you mean `{}`?)", nearest));
      fmt::print(stderr, "Try `{} --help`.\n", active == &line.app ? "exeat" : "exeat " + active->get_name());
      return exit_error;
    }
  }
  fmt::print(stderr, "exeat: {}\nTry `{} --help`.\n", config::printable(error.what(), 1000),
             active == &line.app ? "exeat" : "exeat " + active->get_name());
  return exit_error;
}

int print_short_help() {
  fmt::print(
      "{}\n\n"
      "  exeat serve                                         run on the built-in policy\n"
      "  exeat serve --config exeat.yaml                     run on your own\n"
      "  exeat check --phase agent https://example.org/      ask what the policy says\n\n"
      "`exeat --help` lists every command, `exeat COMMAND --help` its flags.\n",
      about);
  return exit_ok;
}

int run_parsed(command_line& line) {
  const auto chosen = line.app.get_subcommands();
  if (chosen.empty()) return print_short_help();
  const auto& name = chosen.front()->get_name();
  if (name == "check") {
    line.check.json = line.check_json || line.check_format == "json";
    return run_check(line.check);
  }
  if (name == "explain") {
    line.explain.json = line.explain_format == "json";
    return run_explain(line.explain);
  }
  if (name == "lint") return run_lint(line.lint);
  if (name == "test") return run_test(line.test);
  if (name == "connect") return run_connect(line.connect);
  if (name == "report") return run_report(line.report);
  if (name == "docs") return run_docs(line.page);
  if (name == "version") {
    fmt::print("{}\n", command_line::version());
    return exit_ok;
  }
  auto settings = config::load_settings(line.config_file, line.serve);
  if (!settings) {
    fmt::print(stderr, "{}", config::to_string(settings.error()));
    return exit_error;
  }
  return run_serve({.settings = std::move(*settings),
                    .config_file = line.config_file,
                    .overrides = std::move(line.serve)});
}

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string shown(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name();
  auto out = "--" + option.get_lnames().front();
  if (option.get_items_expected_max() > 0 && !option.get_type_name().empty()) {
    const auto type = option.get_type_name();
    out += " " + type.substr(0, type.find(':'));  // without the list of words that CLI11 puts behind
  }
  return out;
}

}  // namespace

int run(int argc, char** argv) {
  command_line line;
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return line.app.exit(asked);
  } catch (const CLI::ParseError& error) {
    return complain(line, error, argc, argv);
  }
  try {
    return run_parsed(line);
  } catch (const std::exception& error) {
    fmt::print(stderr, "exeat: {}\n", config::printable(error.what(), 1000));
    return exit_error;
  }
}

std::string command_line_page() {
  const command_line line;
  std::string out =
      "# Command line\n\n<!-- Written by `exeat docs`; a test fails when it is stale. Edit the tables in the "
      "code. -->\n\n"
      "`exeat COMMAND [FLAGS]`. Wrong usage and unreadable files end with status 2.\n";
  for (const auto* sub :
       line.app.get_subcommands([](const CLI::App* s) { return !s->get_group().empty(); })) {
    out += fmt::format("\n## exeat {}\n\n{}\n", sub->get_name(), sub->get_description());
    std::string rows;
    for (const auto* option : sub->get_options()) {
      if (option->get_lnames() == std::vector<std::string>{"help"}) continue;
      rows += fmt::format("| `{}` | {}{} |\n", cell(shown(*option)), cell(option->get_description()),
                          option->get_required() ? " (required)" : "");
    }
    if (!rows.empty()) out += "\n| argument | meaning |\n|---|---|\n" + rows;
  }
  return out;
}

}  // namespace exeat::cli
