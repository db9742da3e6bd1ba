// The command tree as plain values: what completion scripts and man pages are written from.
#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace exeat::cli {

/// What stands behind a flag, or as a positional argument.
enum class value_kind : std::uint8_t {
  none,       ///< nothing: a switch
  words,      ///< one of argument_shape::words
  free,       ///< a text that nobody can complete
  file,       ///< a path
  directory,  ///< a path of a directory
  program,    ///< a program and its arguments
};

struct argument_shape {
  std::string name;     ///< "--format"; of a positional its name in the usage, "FILE"
  std::string metavar;  ///< what stands for the value; empty for a switch
  value_kind kind = value_kind::none;
  std::vector<std::string> words;  ///< of value_kind::words
  std::string doc;
  bool positional = false;
  bool required = false;
  bool repeats = false;
};

struct command_shape {
  std::string name;    ///< empty for exeat itself
  std::string about;   ///< what it does, without the exit statuses
  std::string status;  ///< the exit statuses: "0 yes, 1 no, 2 error."
  std::vector<argument_shape> arguments;
};

/// The kind of the value that `metavar` stands for ("FILE", "PHASE"); nothing where the table does not know
/// it.
std::optional<value_kind> kind_of_metavar(std::string_view metavar) noexcept;

/// exeat itself, and then each listed subcommand.
std::vector<command_shape> command_shapes(const CLI::App& app);

}  // namespace exeat::cli
