// SQLite's C interface with owners: just what this floor needs of it.
#pragma once
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace exeat::review {

/// What SQLite refused; thrown within this floor, never out of it.
class sqlite_failure : public std::runtime_error {
 public:
  sqlite_failure(int code, const std::string& text) : std::runtime_error(text), code_(code) {}
  int code() const noexcept { return code_; }  ///< the extended result code

 private:
  int code_;
};

/// A prepared statement. Columns and parameters count from 0; texts of a row live until the next step.
class statement {
 public:
  statement(sqlite3* database, std::string_view sql);

  /// Binds all parameters, in order. Texts must outlive the next run() or the last step().
  template <typename... Values>
  statement& with(const Values&... values) {
    ::sqlite3_reset(statement_.get());
    int at = 0;
    (bind(++at, values), ...);
    return *this;
  }
  /// True where there is a row.
  bool step();
  /// To the end; for what gives no rows.
  void run();
  /// Lets go of what a row not read to the end holds.
  void reset() noexcept { ::sqlite3_reset(statement_.get()); }

  std::int64_t number(int column) const noexcept { return ::sqlite3_column_int64(statement_.get(), column); }
  std::uint64_t count(int column) const noexcept { return static_cast<std::uint64_t>(number(column)); }
  std::string text(int column) const;
  std::chrono::system_clock::time_point time(int column) const noexcept {
    return std::chrono::system_clock::time_point{std::chrono::microseconds{number(column)}};
  }

  void bind(int at, std::int64_t value);
  void bind(int at, std::uint64_t value) { bind(at, static_cast<std::int64_t>(value)); }
  void bind(int at, int value) { bind(at, static_cast<std::int64_t>(value)); }
  void bind(int at, std::string_view value);
  void bind(int at, const std::string& value) { bind(at, std::string_view(value)); }
  void bind(int at, std::chrono::system_clock::time_point value);

 private:
  [[noreturn]] void fail(int result) const;

  struct release {
    void operator()(sqlite3_stmt* it) const noexcept { ::sqlite3_finalize(it); }
  };
  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, release> statement_;
};

/// Microseconds since 1970, as every time in the database.
inline std::int64_t to_micros(std::chrono::system_clock::time_point time) noexcept {
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}

/// One connection, for one thread at a time.
class database {
 public:
  /// `flags` as of sqlite3_open_v2. Throws sqlite_failure.
  database(const std::string& path, int flags);

  sqlite3* get() const noexcept { return database_.get(); }
  /// Any number of statements without parameters.
  void run(const char* sql);
  /// The first column of the first row; 0 without one.
  std::int64_t number(std::string_view sql);

 private:
  struct release {
    void operator()(sqlite3* it) const noexcept { ::sqlite3_close(it); }
  };
  std::unique_ptr<sqlite3, release> database_;
};

/// From its making on everything is one transaction, undone where commit() is not reached.
class transaction {
 public:
  explicit transaction(database& on, const char* begin = "BEGIN IMMEDIATE") : on_(on) { on_.run(begin); }
  ~transaction() {
    if (!done_) ::sqlite3_exec(on_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  void commit() {
    on_.run("COMMIT");
    done_ = true;
  }

 private:
  database& on_;
  bool done_ = false;
};

}  // namespace exeat::review
