#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "cli/command_tree.hpp"
#include "cli/completion.hpp"
#include "cli/man.hpp"

using namespace exeat;
using namespace exeat::cli;

namespace {

const std::vector<command_shape>& commands() {
  static const command_line line;
  static const auto shapes = command_shapes(line.app);
  return shapes;
}

const argument_shape& argument(std::string_view command, std::string_view name) {
  const auto found = std::ranges::find(commands(), command, &command_shape::name);
  REQUIRE(found != commands().end());
  const auto option = std::ranges::find(found->arguments, name, &argument_shape::name);
  REQUIRE(option != found->arguments.end());
  return *option;
}

// In a page, as roff writes it.
std::string escaped(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '-' ? std::string("\\-") : std::string(1, c);
  return out;
}

}  // namespace

TEST_CASE("what an argument takes is known by its name, or by its words") {
  for (const auto& command : commands()) {
    for (const auto& one : command.arguments) {
      CAPTURE(command.name);
      CAPTURE(one.name);
      CHECK_FALSE(one.doc.empty());
      if (one.kind == value_kind::none || one.kind == value_kind::words) continue;
      CHECK_MESSAGE(kind_of_metavar(one.metavar), "a row for " << one.metavar << " is missing");
    }
  }
}

TEST_CASE("shapes of the tree") {
  CHECK(commands().front().name.empty());
  CHECK(argument("lint", "--fail-on").words == std::vector<std::string>{"low", "medium", "high", "never"});
  CHECK(argument("lint", "--fail-on").metavar == "SEVERITY");
  CHECK(argument("check", "--phase").kind == value_kind::free);
  CHECK(argument("check", "--phase").repeats);
  CHECK(argument("check", "--policy").kind == value_kind::file);
  CHECK_FALSE(argument("check", "--policy").repeats);
  CHECK(argument("check", "--json").kind == value_kind::none);
  CHECK(argument("report", "FILE").kind == value_kind::file);
  CHECK(argument("report", "FILE").positional);
  CHECK(argument("report", "--no-rotated").kind == value_kind::none);
  CHECK(argument("connect", "COMMAND").kind == value_kind::program);
  CHECK(argument("connect", "--unix").required);
  const auto check = std::ranges::find(commands(), "check", &command_shape::name);
  CHECK(check->about == "Say whether destinations are allowed, and why.");
  CHECK(check->status == "0 yes, 1 no, 2 error.");
}

TEST_CASE("every exit status of every command is said") {
  for (const auto& command : commands()) {
    CAPTURE(command.name);
    CHECK(command.status.starts_with("0 "));
    CHECK(command.status.contains("2 error"));
    CHECK_FALSE(command.about.contains("exit status"));
  }
}

TEST_CASE("completion knows every command, flag and word") {
  const auto bash = bash_completion(commands());
  const auto zsh = zsh_completion(commands());
  const auto fish = fish_completion(commands());
  for (const auto& command : commands()) {
    CAPTURE(command.name);
    if (!command.name.empty()) {
      CHECK(bash.contains(" " + command.name));
      CHECK(zsh.contains("        '" + command.name + ":"));
      CHECK(zsh.contains("        " + command.name + ")\n"));
      CHECK(fish.contains("-a " + command.name + " "));
    }
    const auto end = bash.find(";;", bash.find("_exeat_flags() {"));
    REQUIRE(end != std::string::npos);
    const auto flags_at = bash.find("    '" + command.name + "') takes='words");
    REQUIRE(flags_at != std::string::npos);
    const auto flags = bash.substr(flags_at, bash.find(";;", flags_at) - flags_at);
    for (const auto& one : command.arguments) {
      CAPTURE(one.name);
      if (one.positional) continue;
      CHECK(flags.contains(" " + one.name));
      CHECK(zsh.contains(one.name + (one.kind == value_kind::none ? "[" : "=[")));
      const auto guard = command.name.empty() ? std::string("-n __exeat_no_command")
                                              : "-n '__exeat_command_is " + command.name + "'";
      CHECK(fish.contains(guard + " -l " + one.name.substr(2) + " "));
      for (const auto& word : one.words) {
        CHECK(bash.contains(" " + word));
        CHECK(zsh.contains(word));
        CHECK(fish.contains(word));
      }
    }
  }
}

TEST_CASE("a man page has every section, argument and word") {
  for (const auto& command : commands()) {
    CAPTURE(command.name);
    const auto page = man_page(command, commands(), "exeat 1.2.3");
    for (const auto* section : {"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"})
      CHECK(page.contains(std::string(".SH ") + section + "\n"));
    CHECK(page.contains("\n.TH " + std::string(command.name.empty() ? "EXEAT" : "EXEAT\\-")));
    CHECK(page.contains("exeat 1.2.3"));
    for (const auto& one : command.arguments) {
      CAPTURE(one.name);
      CHECK(page.contains(escaped(one.name)));
      for (const auto& word : one.words) CHECK(page.contains(escaped(word)));
    }
    for (const auto& other : commands()) {
      if (other.name != command.name) CHECK(page.contains(".BR " + escaped(man_page_name(other)) + " (1)"));
    }
  }
}

TEST_CASE("nothing in a text is read as roff or as shell") {
  command_shape evil{
      .name = "evil", .about = ".so /etc/passwd \\n(.$ it's `x", .status = "0 a, 1 b; 2 error."};
  evil.arguments.push_back(
      {.name = "--a", .metavar = "FILE", .kind = value_kind::file, .doc = "'; $(touch x) [a]: \\ it's"});
  const std::vector<command_shape> both{command_shape{.status = "0 done"}, evil};
  const auto page = man_page(both[1], both, "v");
  CHECK(page.contains("\n\\&.so /etc/passwd \\en(.$ it\\(aqs \\fBx\\fR\n"));
  CHECK(page.contains("\n.TP\n\\fB0\\fR\na\n.TP\n\\fB1\\fR\nb\n.TP\n\\fB2\\fR\nerror\n"));
  CHECK(page.contains("\n\\(aq; $(touch x) [a]: \\e it\\(aqs\n"));
  CHECK(zsh_completion(both).contains(R"('--a=['\''; $(touch x) \[a\]\: \\ it'\''s]:FILE:_files')"));
  CHECK(fish_completion(both).contains(R"(-d '\'; $(touch x) [a]: \\ it\'s')"));
}
