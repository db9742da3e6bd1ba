#include "cli/command_line.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cli/command_tree.hpp"
#include "cli/commands.hpp"
#include "config/error.hpp"

namespace exeat::cli {
namespace {

std::vector<std::string_view> words_of(const CLI::App& app, bool flags, std::vector<std::string>& storage) {
  storage.clear();
  if (flags) {
    for (const auto* option : app.get_options()) {
      for (const auto& name : option->get_lnames()) storage.push_back("--" + name);
    }
  } else {
    for (const auto* sub : listed_commands(app)) {
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
    if (line.check_json) line.check.format = "json";
    return run_check(line.check);
  }
  if (name == "explain") return run_explain(line.explain);
  if (name == "lint") return run_lint(line.lint);
  if (name == "test") return run_test(line.test);
  if (name == "diff") return run_diff(line.diff);
  if (name == "suggest") return run_suggest(line.suggest);
  if (name == "import") return run_import(line.import_from);
  if (name == "bundles") return run_bundles(line.bundles);
  if (name == "canary") return run_canary(line.canary);
  if (name == "connect") return run_connect(line.connect);
  if (name == "env") return run_env(line.env);
  if (name == "doctor") return run_doctor(line.doctor);
  if (name == "report") return run_report(line.report);
  if (name == "token") return run_token(line.token);
  if (name == "dashboard") return run_dashboard(line.dashboard);
  if (name == "phase") return run_phase(line.phase);
  if (name == "job") return run_job(line.job);
  if (name == "state") return run_state(line.state);
  if (name == "completion") return run_completion(line.shell);
  if (name == "man") return run_man(line.man);
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
                    .overrides = std::move(line.serve),
                    .admin_tokens = std::move(line.admin_tokens)});
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
    const int status = run_parsed(line);
    if (std::fflush(stdout) == 0) return status;
    fmt::print(stderr, "exeat: standard output: {}\n", std::strerror(errno));
    return exit_error;
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
  for (const auto* sub : listed_commands(line.app)) {
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
