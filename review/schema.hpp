// The database file: its tables, its version, and how it is opened.
#pragma once
#include <cstdint>
#include <expected>
#include <string>

#include "review/sqlite.hpp"

namespace exeat::review {

/// The version that this binary writes (`PRAGMA user_version`).
int schema_version() noexcept;

/// The host of what is beyond a bound: no host name has a parenthesis.
inline constexpr const char* other_host = "(other)";

/// For the one writer: made where it is not there (mode 0600, its directories 0700), taken on to
/// schema_version() where it is older. The error is a sentence that names the file: no database, another
/// program's, or a newer exeat's.
std::expected<database, std::string> open_to_write(const std::string& path, std::uint64_t max_size);

/// For readers, of this process and of others, beside the writer. A database of an older exeat, and of a
/// newer one, is refused as well.
std::expected<database, std::string> open_to_read(const std::string& path);

}  // namespace exeat::review
