#include "cli/man.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace exeat::cli {
namespace {

// One line of text: what roff would read is escaped, `...` is set in bold.
std::string text(std::string_view plain) {
  std::string out;
  bool bold = false;
  for (const char c : plain) {
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      case '\n':
        out += ' ';
        break;
      case '`':
        bold = !bold;
        out += bold ? "\\fB" : "\\fR";
        break;
      default:
        out += c;
    }
  }
  if (bold) out += "\\fR";
  return out.starts_with('.') ? "\\&" + out : out;
}

std::string bold(std::string_view plain) {
  return "\\fB" + text(plain) + "\\fR";
}
std::string italic(std::string_view plain) {
  return "\\fI" + text(plain) + "\\fR";
}

std::string upper(std::string_view name) {
  std::string out(name);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return out;
}

std::string synopsis(const command_shape& command) {
  auto out = bold("exeat");
  if (command.name.empty()) return out + " " + italic("COMMAND") + " [" + italic("ARGUMENT") + " ...]\n";
  out += " " + bold(command.name);
  for (const bool positional : {false, true}) {
    for (const auto& argument : command.arguments) {
      if (argument.positional != positional || argument.name == "--help") continue;
      auto one = positional ? italic(argument.name) : bold(argument.name);
      if (!positional && argument.kind != value_kind::none) one += " " + italic(argument.metavar);
      if (argument.repeats) one += " ...";
      if (argument.kind == value_kind::program) one = bold("--") + " " + one;
      out += argument.required ? " " + one : " [" + one + "]";
    }
  }
  return out + "\n";
}

std::string options(const command_shape& command) {
  std::string out;
  for (const auto& argument : command.arguments) {
    out += ".TP\n";
    if (argument.positional) {
      out += italic(argument.name) + "\n";
    } else {
      out += bold(argument.name);
      if (argument.kind != value_kind::none) out += " " + italic(argument.metavar);
      out += "\n";
    }
    out += text(argument.doc);
    if (argument.required) out += " (required)";
    out += "\n";
    if (argument.kind == value_kind::words) {
      out += ".br\nOne of ";
      for (bool first = true; const auto& word : argument.words) {
        out += (first ? "" : ", ") + bold(word);
        first = false;
      }
      out += ".\n";
    }
  }
  return out;
}

// "0 yes, 1 no, 2 error." as a list: a status begins after ", " or "; ".
std::string statuses(std::string_view line) {
  std::string out;
  while (!line.empty()) {
    std::size_t end = 1;
    while (end < line.size() &&
           !(line[end] >= '0' && line[end] <= '2' && line.substr(end + 1).starts_with(' ') &&
             (line.substr(end - 2).starts_with(", ") || line.substr(end - 2).starts_with("; "))))
      ++end;
    auto one = line.substr(0, end);
    line.remove_prefix(end);
    const auto space = std::min(one.find(' '), one.size());
    const auto status = one.substr(0, space);
    one.remove_prefix(std::min(space + 1, one.size()));
    while (!one.empty() && (one.back() == ' ' || one.back() == ',' || one.back() == ';' || one.back() == '.'))
      one.remove_suffix(1);
    out += ".TP\n" + bold(status) + "\n" + text(one) + "\n";
  }
  return out;
}

struct file_row {
  std::string_view argument;  ///< stands in the page of a command that has it; empty: in every page
  std::string_view name;
  std::string_view doc;
};
constexpr file_row files[]{
    {"--config", "exeat.yaml", "How a process runs: listeners, log, limits, DNS, and where the policy is."},
    {"--policy", "policy.yaml",
     "Who may reach what. Like exeat.yaml it must be writable by nobody but root and the user that exeat "
     "runs as, and so must every directory on the way to it."},
    {"--no-rotated", "blocked.log",
     "What was refused, one JSON object a line; rotated to blocked.log.1, blocked.log.2, ..."},
};

bool has(const command_shape& command, std::string_view argument) {
  return std::ranges::find(command.arguments, argument, &argument_shape::name) != command.arguments.end();
}

std::string files_of(const command_shape& command) {
  std::string out;
  for (const auto& row : files) {
    if (command.name.empty() || has(command, row.argument))
      out += ".TP\n" + italic(row.name) + "\n" + text(row.doc) + "\n";
  }
  return out.empty() ? out : ".SH FILES\n" + out;
}

std::string see_also(const command_shape& command, std::span<const command_shape> commands) {
  std::string out;
  for (const auto& other : commands) {
    if (&other == &command || other.name == command.name) continue;
    out += fmt::format("{}.BR {} (1)", out.empty() ? "" : " ,\n", text(man_page_name(other)));
  }
  return ".SH SEE ALSO\n.nh\n.ad l\n" + out + "\n";
}

// The first sentence, as NAME wants it: no full stop, no capital.
std::string one_line(std::string_view about) {
  auto out = std::string(about.substr(0, about.find(". ")));
  out.resize(std::min(out.size(), out.find_last_not_of('.') + 1));
  std::erase(out, '`');
  if (!out.empty() && out[0] >= 'A' && out[0] <= 'Z') out[0] = static_cast<char>(out[0] + 32);
  return out;
}

}  // namespace

std::string man_page_name(const command_shape& command) {
  return command.name.empty() ? "exeat" : "exeat-" + command.name;
}

std::string man_page(const command_shape& command, std::span<const command_shape> commands,
                     std::string_view version) {
  const auto name = man_page_name(command);
  auto out =
      fmt::format(".\\\" Written by `exeat man`.\n.TH {} 1 \"\" \"{}\" \"Exeat\"\n.SH NAME\n{} \\- {}\n",
                  text(upper(name)), text(version), text(name), text(one_line(command.about)));
  out += ".SH SYNOPSIS\n.nh\n.ad l\n" + synopsis(command) + ".ad\n.hy\n";
  out += ".SH DESCRIPTION\n" + text(command.about) + "\n";
  if (command.name.empty()) {
    out += ".SH COMMANDS\n";
    for (const auto& sub : commands.subspan(1))
      out += ".TP\n" + bold(sub.name) + "\n" + text(sub.about) + "\n";
  }
  out += ".SH OPTIONS\n" + options(command);
  out += ".SH EXIT STATUS\n" + statuses(command.status);
  return out + files_of(command) + see_also(command, commands);
}

}  // namespace exeat::cli
