// Completion scripts for the shells, written from the command tree.
#pragma once
#include <span>
#include <string>

#include "cli/command_shape.hpp"

namespace exeat::cli {

/// To be sourced, or to lie in a directory that bash-completion reads, as `exeat`.
std::string bash_completion(std::span<const command_shape> commands);
/// To be sourced, or to lie in a directory of $fpath, as `_exeat`.
std::string zsh_completion(std::span<const command_shape> commands);
/// To be sourced, or to lie in a directory of $fish_complete_path, as `exeat.fish`.
std::string fish_completion(std::span<const command_shape> commands);

}  // namespace exeat::cli
