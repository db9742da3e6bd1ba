// Patterns of plain HTTP paths: `paths:` of a rule.
#pragma once
#include <string_view>

namespace exeat::allowlist {

/// True where a path can be read in one way only: it starts with `/`, holds no empty segment but the last, no
/// `.` or `..` (nor one in front of a `;`), no backslash, no octet outside printable ASCII, and percent
/// signs only as RFC 3986 escapes of what could not stand there plainly (so no `%2e`, `%2f`, `%41`).
bool is_unambiguous_path(std::string_view path) noexcept;

/// What is wrong with a text as a pattern; empty where nothing is. A pattern is an unambiguous path in which
/// a whole segment may be `*`, and the last one `**`.
std::string_view path_pattern_fault(std::string_view pattern) noexcept;

/// `/a/b`: that path. `/a/*/c`: any one segment, not an empty one. `/a/**`: `/a/` and everything under it,
/// not
/// `/a` itself. Octets compare as they stand. False for every path that is ambiguous.
bool path_matches(std::string_view pattern, std::string_view path) noexcept;

}  // namespace exeat::allowlist
