// The order of phases as text: "setup,agent+mcp".
#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "jobs/job.hpp"

namespace exeat::jobs {

/// Comma (or `>`) between steps, plus between the phases of one step; blanks around both are no part of it.
/// Reads what plan::to_string() prints. Errors: as valid_plan(), and empty places.
std::expected<plan, std::string> parse_plan(std::string_view text);

/// Whether it has a step, each step a phase, each phase a name that a policy may give (a lower-case letter,
/// then letters, digits and hyphens, 63 at most) and only one place, and no more than 64 phases. The error
/// names what is wrong.
std::expected<void, std::string> valid_plan(const plan& of);

}  // namespace exeat::jobs
