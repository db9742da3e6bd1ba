// Values as a shell, a unit file or $GITHUB_ENV must have them to read them back as they are.
#pragma once
#include <string>
#include <string_view>

namespace exeat::cli {

/// For sh, bash, dash, zsh: one word in single quotes (POSIX.1-2017 XCU 2.2.2).
std::string quoted_for_sh(std::string_view text);
/// For fish: in single quotes, where \\ and \' stand for themselves.
std::string quoted_for_fish(std::string_view text);
/// For PowerShell: a verbatim string, every quotation mark doubled; the typographic ones (U+2018 to U+201B)
/// end it as well.
std::string quoted_for_powershell(std::string_view text);
/// One assignment of systemd's Environment= (systemd.exec(5), systemd.syntax(7)), quotes included; % is
/// doubled, for specifiers.
std::string quoted_for_systemd(std::string_view assignment);
/// What a file of $GITHUB_ENV holds for a variable, with the end of the line; what has line breaks stands
/// between two lines of `delimiter`, which must not be in the value.
std::string line_for_github(std::string_view name, std::string_view value, std::string_view delimiter);

}  // namespace exeat::cli
