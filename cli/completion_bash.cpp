#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/completion.hpp"

namespace exeat::cli {
namespace {

// What _exeat_takes says of an argument: a kind, and behind `words` the words.
std::string takes(const argument_shape& argument) {
  switch (argument.kind) {
    case value_kind::none:
      return {};
    case value_kind::words:
      return fmt::format("words {}", fmt::join(argument.words, " "));
    case value_kind::free:
      return "free";
    case value_kind::file:
      return "file";
    case value_kind::directory:
      return "directory";
    case value_kind::program:
      return "program";
  }
  return {};
}

constexpr std::string_view head = R"BASH(# bash completion for exeat, written by `exeat completion bash`.

# Sets `takes` to what stands behind the flag $2 of the command $1, or as its positional argument number $2.
_exeat_takes() {
  takes=
  case "$1 $2" in
)BASH";

constexpr std::string_view tail = R"BASH(  esac
}

_exeat() {
  COMPREPLY=()
  # Readline splits words at = and : for completion alone; here they are whole again.
  local -a words=()
  local i raw glued=
  for ((i = 1; i <= COMP_CWORD; i++)); do
    raw=${COMP_WORDS[i]}
    if [[ ($raw == +([=:]) || $glued) && ${#words[@]} -gt 0 ]]; then
      words[${#words[@]} - 1]+=$raw
    else
      words+=("$raw")
    fi
    glued=
    [[ $raw == *[=:] ]] && glued=yes  # no argument of exeat ends so
  done
  local current=${words[${#words[@]} - 1]} command= takes= flag= only_positional= position=0 word
  [[ $raw == +([=:]) ]] && raw=
  local lead=${current%"$raw"}  # what readline keeps as it is

  # Which command, which flag waits for its value, and the number of the positional argument.
  unset 'words[${#words[@]} - 1]'
  for word in "${words[@]}"; do
    if [[ $flag ]]; then
      flag=
    elif [[ $only_positional ]]; then
      position=$((position + 1))
    elif [[ $word == -- ]]; then
      only_positional=yes
    elif [[ $word == --*=* ]]; then
      :
    elif [[ $word == -?* ]]; then
      _exeat_takes "$command" "$word"
      [[ $takes ]] && flag=$word
    elif [[ ! $command ]]; then
      command=$word
    else
      position=$((position + 1))
    fi
  done

  local value=$current
  if [[ $flag ]]; then
    _exeat_takes "$command" "$flag"
  elif [[ ! $only_positional && $current == --*=* ]]; then
    _exeat_takes "$command" "${current%%=*}"
    value=${current#*=}
  elif [[ ! $only_positional && $current == -* ]]; then
    _exeat_flags "$command"
    value=$current
  else
    _exeat_takes "$command" "$((position + 1))"
  fi

  local kind=${takes%% *}
  local prefix=${current%"$value"}
  case $kind in
    words)
      takes=${takes#words }
      mapfile -t COMPREPLY < <(compgen -W "$takes" -- "$value")
      COMPREPLY=("${COMPREPLY[@]/#/$prefix}")
      COMPREPLY=("${COMPREPLY[@]#"$lead"}") ;;
    file) compopt -o default 2>/dev/null ;;
    directory) compopt -o dirnames 2>/dev/null ;;
    program)
      if ((position == 0)); then mapfile -t COMPREPLY < <(compgen -c -- "$value"); else compopt -o default 2>/dev/null; fi ;;
  esac
}

complete -F _exeat exeat
)BASH";

}  // namespace

std::string bash_completion(std::span<const command_shape> commands) {
  std::string out(head);
  std::string flags = "# Sets `takes` to the flags of the command $1.\n_exeat_flags() {\n  case \"$1\" in\n";
  for (const auto& command : commands) {
    std::string names;
    int position = 0;
    for (const auto& argument : command.arguments) {
      if (!argument.positional) names += " " + argument.name;
      const auto text = takes(argument);
      if (text.empty()) continue;
      if (!argument.positional) {
        out += fmt::format("    '{} {}') takes='{}' ;;\n", command.name, argument.name, text);
      } else if (argument.repeats) {
        out += fmt::format("    '{} '[1-9]*) takes='{}' ;;\n", command.name, text);
      } else {
        out += fmt::format("    '{} {}') takes='{}' ;;\n", command.name, ++position, text);
      }
    }
    if (command.name.empty()) {
      std::string subcommands;
      for (const auto& sub : commands.subspan(1)) subcommands += " " + sub.name;
      out += fmt::format("    ' 1') takes='words{}' ;;\n", subcommands);
    }
    flags += fmt::format("    '{}') takes='words{}' ;;\n", command.name, names);
  }
  auto end = std::string(tail);
  const auto cut = end.find("_exeat() {");
  return out + end.substr(0, cut) + flags + "    *) takes= ;;\n  esac\n}\n\n" + end.substr(cut);
}

}  // namespace exeat::cli
