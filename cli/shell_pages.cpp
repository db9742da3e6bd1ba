// `exeat completion SHELL` and `exeat man`: what is installed beside the binary, written by the binary.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "cli/command_tree.hpp"
#include "cli/commands.hpp"
#include "cli/completion.hpp"
#include "cli/man.hpp"
#include "config/error.hpp"

namespace exeat::cli {
namespace {

bool write_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  if (file) return true;
  fmt::print(stderr, "exeat man: {}: {}\n", config::printable(path), std::strerror(errno));
  return false;
}

}  // namespace

int run_completion(const std::string& shell) {
  const command_line line;
  const auto commands = command_shapes(line.app);
  fmt::print("{}", shell == "bash"  ? bash_completion(commands)
                   : shell == "zsh" ? zsh_completion(commands)
                                    : fish_completion(commands));
  return exit_ok;
}

int run_man(const man_options& options) {
  const command_line line;
  const auto commands = command_shapes(line.app);
  if (!options.directory.empty()) {
    const bool written = std::ranges::all_of(commands, [&](const command_shape& command) {
      return write_file(options.directory + "/" + man_page_name(command) + ".1",
                        man_page(command, commands, command_line::version()));
    });
    return written ? exit_ok : exit_error;
  }
  const auto command = std::ranges::find(commands, options.command, &command_shape::name);
  fmt::print("{}", man_page(*command, commands, command_line::version()));
  return exit_ok;
}

}  // namespace exeat::cli
