// Parts of the queries: conditions with their values, and what turns a failure into a sentence.
#pragma once
#include <fmt/format.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "review/query.hpp"

namespace exeat::review {

/// "a AND b AND ...", each with the values of its `?`.
class conditions {
 public:
  explicit conditions(std::string first) : sql_(std::move(first)) {}

  template <typename... Values>
  void add(std::string_view sql, const Values&... values) {
    sql_.append(" AND ").append(sql);
    (put(values), ...);
  }
  const std::string& sql() const noexcept { return sql_; }

  /// Binds all from the first `?` on; the number of the next.
  int bind_to(statement& to) const {
    int at = 0;
    for (const auto& value : values_) std::visit([&](const auto& it) { to.bind(++at, it); }, value);
    return at + 1;
  }

 private:
  void put(std::int64_t value) { values_.emplace_back(value); }
  void put(int value) { values_.emplace_back(std::int64_t{value}); }
  void put(std::uint16_t value) { values_.emplace_back(std::int64_t{value}); }
  void put(time_point value) { values_.emplace_back(to_micros(value)); }
  void put(const std::string& value) { values_.emplace_back(value); }

  std::string sql_;
  std::vector<std::variant<std::int64_t, std::string>> values_;
};

/// All but `since`, `reason` and `mode`.
inline void add_place(conditions& to, const filter& wanted) {
  if (wanted.phase) to.add("phase = ?", *wanted.phase);
  if (wanted.port) to.add("port = ?", *wanted.port);
  if (!wanted.host.empty()) to.add("instr(host, ?) > 0", wanted.host);
}

/// `work` in one snapshot; what SQLite refuses is a sentence.
template <typename Work>
auto in_snapshot(database& on, const Work& work) -> answer<decltype(work())> {
  try {
    transaction snapshot(on, "BEGIN");
    auto out = work();
    snapshot.commit();
    return out;
  } catch (const sqlite_failure& failed) {
    return std::unexpected(fmt::format("the review store cannot be read: {}", failed.what()));
  }
}

inline std::int64_t limit_of(const page& page) noexcept {
  constexpr std::size_t most = 10'000;
  return static_cast<std::int64_t>(page.limit < most ? page.limit : most);
}

}  // namespace exeat::review
