#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/completion.hpp"

namespace exeat::cli {
namespace {

// Inside '...' of the shell, where `special` are the characters that _arguments or _describe would read.
std::string in_quotes(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
      continue;
    }
    if (special.contains(c)) out += '\\';
    out += c;
  }
  return out;
}

std::string action(const argument_shape& argument) {
  switch (argument.kind) {
    case value_kind::none:
      return {};
    case value_kind::words:
      return fmt::format("({})", fmt::join(argument.words, " "));
    case value_kind::free:
      // A plain message would keep a flag that begins here from being completed.
      return argument.positional ? "_guard \"^-*\" " + in_quotes(argument.metavar, ":\\") : " ";
    case value_kind::file:
      return "_files";
    case value_kind::directory:
      return "_files -/";
    case value_kind::program:
      return "_normal";
  }
  return {};
}

std::string spec(const argument_shape& argument) {
  const auto name = in_quotes(argument.metavar, ":\\");
  if (!argument.positional) {
    const auto doc = in_quotes(argument.doc, "[]:\\");
    if (argument.kind == value_kind::none) return fmt::format("'{}[{}]'", argument.name, doc);
    return fmt::format("'{}{}=[{}]:{}:{}'", argument.repeats ? "*" : "", argument.name, doc, name,
                       action(argument));
  }
  if (argument.kind == value_kind::program) return fmt::format("'*::{}:{}'", name, action(argument));
  return fmt::format("'{}:{}:{}'", argument.repeats ? "*" : "", name, action(argument));
}

}  // namespace

std::string zsh_completion(std::span<const command_shape> commands) {
  std::string out =
      "#compdef exeat\n"
      "# zsh completion for exeat, written by `exeat completion zsh`.\n\n"
      "_exeat() {\n"
      "  local context state state_descr line\n"
      "  local -A opt_args\n"
      "  _arguments -C -S \\\n";
  for (const auto& argument : commands.front().arguments) out += "    " + spec(argument) + " \\\n";
  out +=
      "    '1:command:->command' '*::argument:->argument' && return\n"
      "  case $state in\n"
      "    command)\n"
      "      local -a commands=(\n";
  for (const auto& command : commands.subspan(1))
    out += fmt::format("        '{}:{}'\n", command.name, in_quotes(command.about, "\\"));
  out +=
      "      )\n"
      "      _describe -t commands command commands ;;\n"
      "    argument)\n"
      "      case $line[1] in\n";
  for (const auto& command : commands.subspan(1)) {
    out += fmt::format("        {})\n          _arguments -S", command.name);
    for (const auto& argument : command.arguments) out += " \\\n            " + spec(argument);
    out += " ;;\n";
  }
  out +=
      "      esac ;;\n"
      "  esac\n"
      "}\n\n"
      "# Loaded by compinit from $fpath this file is the body of the function; sourced it registers it.\n"
      "if [[ $funcstack[1] == _exeat ]]; then\n"
      "  _exeat \"$@\"\n"
      "else\n"
      "  compdef _exeat exeat\n"
      "fi\n";
  return out;
}

}  // namespace exeat::cli
