// How each tool is asked for two names that do not exist, and what to do where it goes around the proxy.
#pragma once
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace exeat::cli {

/// Names under a domain that nobody can register (RFC 6761 6.2).
inline constexpr std::string_view plain_name = "plain.exeat-doctor.test";
inline constexpr std::string_view tls_name = "tls.exeat-doctor.test";

struct tool_trial {
  std::string name;     ///< as results show it
  std::string program;  ///< what it must find in $PATH; several spellings, the first found counts: "pip3 pip"
  std::vector<std::vector<std::string>> commands;  ///< PROGRAM stands for what was found
  std::vector<std::string> variables;              ///< "NAME=value", over the environment
  bool plain = true;                               ///< it is asked for http://plain_name/
  bool tls = true;                                 ///< it is asked for https://tls_name/
  std::string_view remedy;                         ///< what helps, beyond `exeat env`
};

/// `scratch`: a directory that they may fill; the table writes a source file and lists of packages into it.
/// `seconds` is what each of their own limits of time is set to.
std::vector<tool_trial> tool_trials(const std::string& scratch, unsigned seconds);

/// The first program of `names` (blanks between) that $PATH has, as a path; empty: none.
std::string find_program(std::string_view names);

}  // namespace exeat::cli
