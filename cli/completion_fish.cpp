#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/completion.hpp"

namespace exeat::cli {
namespace {

std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string value(const argument_shape& argument) {
  switch (argument.kind) {
    case value_kind::none:
      return {};
    case value_kind::words:
      return fmt::format(" -x -a '{}'", fmt::join(argument.words, " "));
    case value_kind::free:
      return " -x";
    case value_kind::file:
      return " -r -F";
    case value_kind::directory:
      return " -x -a '(__fish_complete_directories)'";
    case value_kind::program:
      return " -F -a '(__fish_complete_command)'";
  }
  return {};
}

}  // namespace

std::string fish_completion(std::span<const command_shape> commands) {
  std::string out =
      "# fish completion for exeat, written by `exeat completion fish`.\n\n"
      "# The flags of exeat itself end it: the first word is the command.\n"
      "function __exeat_command_is\n"
      "    set -l words (commandline -opc)\n"
      "    test (count $words) -ge 2; and test $words[2] = $argv[1]\n"
      "end\n"
      "function __exeat_no_command\n"
      "    test (count (commandline -opc)) -eq 1\n"
      "end\n\n"
      "complete -c exeat -f\n";
  for (const auto& argument : commands.front().arguments)
    out += fmt::format("complete -c exeat -n __exeat_no_command -l {} -d {}\n", argument.name.substr(2),
                       in_quotes(argument.doc));
  for (const auto& command : commands.subspan(1))
    out += fmt::format("complete -c exeat -n __exeat_no_command -a {} -d {}\n", command.name,
                       in_quotes(command.about));
  for (const auto& command : commands.subspan(1)) {
    out += '\n';
    for (const auto& argument : command.arguments) {
      const auto begin = fmt::format("complete -c exeat -n '__exeat_command_is {}'", command.name);
      if (!argument.positional) {
        out += fmt::format("{} -l {}{} -d {}\n", begin, argument.name.substr(2), value(argument),
                           in_quotes(argument.doc));
      } else if (argument.kind == value_kind::file) {
        out += begin + " -F\n";
      } else if (argument.kind != value_kind::free) {
        out += begin + value(argument) + "\n";
      }
    }
  }
  return out;
}

}  // namespace exeat::cli
