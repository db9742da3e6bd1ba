// The flags and subcommands, once: parsed, explained and documented from here.
#pragma once
#include <string>

namespace exeat::cli {

/// Parses the arguments, runs the subcommand and returns its exit status.
int run(int argc, char** argv);

/// docs/reference/command-line.md.
std::string command_line_page();

}  // namespace exeat::cli
