// Man pages, written from the command tree.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "cli/command_shape.hpp"

namespace exeat::cli {

/// The name of a command's page without its section: "exeat-check"; "exeat" for exeat itself.
std::string man_page_name(const command_shape& command);

/// The page in section 1, in roff with the man macros. `command` is one of `commands`, `version` stands in
/// its footer.
std::string man_page(const command_shape& command, std::span<const command_shape> commands,
                     std::string_view version);

}  // namespace exeat::cli
