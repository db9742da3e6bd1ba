#include "review/sqlite.hpp"

#include <fmt/format.h>

namespace exeat::review {
namespace {

[[noreturn]] void fail_on(sqlite3* database, int result) {
  const int code = database == nullptr ? result : ::sqlite3_extended_errcode(database);
  const char* text = database == nullptr ? ::sqlite3_errstr(result) : ::sqlite3_errmsg(database);
  throw sqlite_failure(code, fmt::format("{} (SQLite {})", text, code));
}

}  // namespace

statement::statement(sqlite3* database, std::string_view sql) : database_(database) {
  sqlite3_stmt* made = nullptr;
  const int result = ::sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()),
                                          SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  statement_.reset(made);
  if (result != SQLITE_OK) fail_on(database, result);
}

void statement::fail(int result) const {
  // Before the reset, which may set another error.
  const int code = ::sqlite3_extended_errcode(database_);
  const std::string text = ::sqlite3_errmsg(database_);
  ::sqlite3_reset(statement_.get());
  throw sqlite_failure(code == SQLITE_OK ? result : code, fmt::format("{} (SQLite {})", text, code));
}

bool statement::step() {
  const int result = ::sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  if (result != SQLITE_DONE) fail(result);
  ::sqlite3_reset(statement_.get());
  return false;
}

void statement::run() {
  while (step()) {
  }
}

std::string statement::text(int column) const {
  const auto* text = ::sqlite3_column_text(statement_.get(), column);
  const auto size = static_cast<std::size_t>(::sqlite3_column_bytes(statement_.get(), column));
  return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text), size);
}

void statement::bind(int at, std::int64_t value) {
  if (const int result = ::sqlite3_bind_int64(statement_.get(), at, value); result != SQLITE_OK) fail(result);
}

void statement::bind(int at, std::string_view value) {
  const char* text = value.data() == nullptr ? "" : value.data();
  const int result =
      ::sqlite3_bind_text(statement_.get(), at, text, static_cast<int>(value.size()), SQLITE_STATIC);
  if (result != SQLITE_OK) fail(result);
}

void statement::bind(int at, std::chrono::system_clock::time_point value) {
  bind(at, to_micros(value));
}

database::database(const std::string& path, int flags) {
  sqlite3* made = nullptr;
  const int result = ::sqlite3_open_v2(path.c_str(), &made, flags, nullptr);
  database_.reset(made);
  if (result != SQLITE_OK) fail_on(made, result);
  ::sqlite3_extended_result_codes(made, 1);
}

void database::run(const char* sql) {
  if (const int result = ::sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr); result != SQLITE_OK)
    fail_on(database_.get(), result);
}

std::int64_t database::number(std::string_view sql) {
  statement asked(get(), sql);
  return asked.step() ? asked.number(0) : 0;
}

}  // namespace exeat::review
