#include "review/ledger.hpp"

#include <algorithm>
#include <utility>

#include "review/schema.hpp"

namespace exeat::review {
namespace {

constexpr auto hours_kept = std::chrono::hours{48};
constexpr std::size_t most_at_once = 1'000;

constexpr std::string_view update_sql =
    "UPDATE groups SET count = count + ?1, bytes_up = bytes_up + ?2, bytes_down = bytes_down + ?3,"
    " first_seen = min(first_seen, ?4), last_seen = max(last_seen, ?5),"
    " rule_at = CASE ?6 WHEN '' THEN rule_at ELSE ?6 END, hint = CASE ?7 WHEN '' THEN hint ELSE ?7 END"
    " WHERE host = ?8 AND port = ?9 AND phase = ?10 AND job = ?11 AND verdict = ?12 AND reason = ?13"
    " AND scheme = ?14 AND rule = ?15 RETURNING id";
constexpr std::string_view insert_sql =
    "INSERT INTO groups (host, port, phase, job, verdict, reason, scheme, rule, refused, count, bytes_up,"
    " bytes_down, first_seen, last_seen, rule_at, hint) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) RETURNING "
    "id";
constexpr std::string_view sample_sql =
    "INSERT INTO samples (group_id, place, time, decision, client, process, command, method, sni, error)"
    " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10) ON CONFLICT DO UPDATE SET time = ?3, decision = ?4, client = "
    "?5,"
    " process = ?6, command = ?7, method = ?8, sni = ?9, error = ?10 WHERE place != 0";
constexpr std::string_view hour_sql =
    "INSERT INTO hours (group_id, hour, count) VALUES (?1,?2,?3)"
    " ON CONFLICT DO UPDATE SET count = count + ?3";

// Groups become one per job, phase, verdict, reason and rule; the sum of all counts stays.
constexpr const char* fold_sql =
    "INSERT INTO groups (host, port, phase, job, verdict, reason, scheme, rule, refused, count, bytes_up,"
    " bytes_down, first_seen, last_seen, rule_at, hint)"
    " SELECT '(other)', 0, phase, job, verdict, reason, '', rule, max(refused), sum(count), sum(bytes_up),"
    " sum(bytes_down), min(first_seen), max(last_seen), '', '' FROM groups"
    " WHERE id IN temp.folded GROUP BY phase, job, verdict, reason, rule"
    " ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes_up = bytes_up + excluded.bytes_up,"
    " bytes_down = bytes_down + excluded.bytes_down, first_seen = min(first_seen, excluded.first_seen),"
    " last_seen = max(last_seen, excluded.last_seen)";

std::string_view name_of(metrics::budget_kind kind) noexcept {
  switch (kind) {
    case metrics::budget_kind::upload:
      return "upload";
    case metrics::budget_kind::download:
      return "download";
    case metrics::budget_kind::names:
      return "names";
    case metrics::budget_kind::requests:
      return "requests";
    case metrics::budget_kind::time:
      break;
  }
  return "time";
}

}  // namespace

ledger::ledger(database&& on, const ledger_bounds& bounds)
    : database_(std::move(on)),
      bounds_(bounds),
      update_(database_.get(), update_sql),
      insert_(database_.get(), insert_sql),
      count_of_job_(database_.get(), "SELECT count(*) FROM groups WHERE job = ?"),
      sample_(database_.get(), sample_sql),
      hour_(database_.get(), hour_sql) {
  database_.run("CREATE TEMP TABLE folded (id INTEGER PRIMARY KEY)");
}

/// 0 where there is none yet.
std::int64_t ledger::update(const group& from) {
  update_.with(from.count, from.bytes_up, from.bytes_down, from.first_seen, from.last_seen, from.rule_at,
               from.hint, from.host, int{from.port}, from.phase, from.job, static_cast<int>(from.verdict),
               core::code_of(from.reason), from.scheme, from.rule);
  const std::int64_t id = update_.step() ? update_.number(0) : 0;
  update_.reset();
  return id;
}

std::int64_t ledger::insert(const group& from) {
  insert_.with(from.host, int{from.port}, from.phase, from.job, static_cast<int>(from.verdict),
               core::code_of(from.reason), from.scheme, from.rule, int{from.refused}, from.count,
               from.bytes_up, from.bytes_down, from.first_seen, from.last_seen, from.rule_at, from.hint);
  insert_.step();
  const auto id = insert_.number(0);
  insert_.reset();
  ++of_job_[from.job];
  return id;
}

bool ledger::has_room(const std::string& job) {
  auto found = of_job_.find(job);
  if (found == of_job_.end()) {
    count_of_job_.with(job);
    count_of_job_.step();
    found = of_job_.emplace(job, static_cast<std::size_t>(count_of_job_.number(0))).first;
    count_of_job_.reset();
  }
  return found->second < bounds_.groups_per_job;
}

void ledger::write_sample(std::int64_t group_id, int place, const sample& from) {
  sample_
      .with(group_id, place, from.time, from.decision, from.client, from.process, from.command, from.method,
            from.sni, from.error)
      .run();
}

void ledger::write_group(const group& from, std::uint64_t& lost) {
  auto id = update(from);
  if (id == 0 && (from.host == other_host || has_room(from.job))) id = insert(from);
  if (id == 0) {
    lost += from.count;
    group other{from};
    other.host = other_host;
    other.port = 0;
    other.scheme.clear();
    other.rule_at.clear();
    other.hint.clear();
    other.first.reset();
    other.last.reset();
    return write_group(other, lost);
  }
  if (!from.refused || from.count == 0) return;
  const auto hour = std::chrono::floor<std::chrono::hours>(from.last_seen).time_since_epoch().count();
  hour_.with(id, std::int64_t{hour}, from.count).run();
  if (from.first) write_sample(id, 0, *from.first);
  if (const auto& latest = from.last ? from.last : from.first) write_sample(id, 1, *latest);
}

void ledger::write(aggregate& from, std::uint64_t& lost) {
  while (!from.empty()) {
    std::uint64_t lost_now = 0;
    std::size_t taken = 0;
    try {
      transaction all(database_);
      for (const auto& [key, one] : from.groups()) {
        write_group(one, lost_now);
        if (++taken == most_at_once) break;
      }
      all.commit();
    } catch (const sqlite_failure& failed) {
      of_job_.clear();  // counted what is undone now
      if ((failed.code() & 0xff) == SQLITE_FULL) shrink(lost);
      throw;
    }
    from.remove_first(taken);
    lost += lost_now;
    shrink(lost);
  }
}

void ledger::note_start(std::chrono::system_clock::time_point now) {
  statement(database_.get(), "INSERT INTO facts VALUES ('started', ?1) ON CONFLICT DO UPDATE SET value = ?1")
      .with(now)
      .run();
}

void ledger::write_budgets(const std::vector<metrics::budget_sample>& all,
                           std::chrono::system_clock::time_point now) {
  transaction whole(database_);
  database_.run("DELETE FROM budgets");
  statement insert(database_.get(), "INSERT OR REPLACE INTO budgets VALUES (?,?,?,?,?,?)");
  for (const auto& one : all) {
    insert.with(one.phase, one.rule, name_of(one.kind), one.used, one.limit, now).run();
  }
  whole.commit();
}

void ledger::forget_old(std::chrono::system_clock::time_point now) {
  transaction whole(database_);
  const auto hour = std::chrono::floor<std::chrono::hours>(now - hours_kept).time_since_epoch().count();
  statement(database_.get(), "DELETE FROM hours WHERE hour < ?").with(std::int64_t{hour}).run();
  if (bounds_.max_age.count() != 0) {
    const auto oldest = now - bounds_.max_age;
    statement(database_.get(), "DELETE FROM groups WHERE last_seen < ?").with(oldest).run();
    statement(database_.get(), "DELETE FROM proposals WHERE changed < ?").with(oldest).run();
  }
  whole.commit();
  of_job_.clear();
}

std::uint64_t ledger::size() {
  const auto pages = database_.number("PRAGMA page_count") - database_.number("PRAGMA freelist_count");
  return static_cast<std::uint64_t>(pages * database_.number("PRAGMA page_size"));
}

void ledger::shrink(std::uint64_t& lost) {
  if (size() <= bounds_.max_size) return;
  while (size() > bounds_.max_size / 10 * 9) {
    transaction whole(database_);
    database_.run(
        "DELETE FROM temp.folded; INSERT INTO temp.folded SELECT id FROM groups WHERE host != '(other)'"
        " ORDER BY last_seen LIMIT 1 + (SELECT count(*) FROM groups) / 10");
    if (database_.number("SELECT count(*) FROM temp.folded") == 0) break;
    const auto folded =
        database_.number("SELECT coalesce(sum(count), 0) FROM groups WHERE id IN temp.folded");
    database_.run(fold_sql);
    database_.run("DELETE FROM groups WHERE id IN temp.folded; DELETE FROM temp.folded");
    whole.commit();
    lost += static_cast<std::uint64_t>(folded);
  }
  database_.run("PRAGMA incremental_vacuum");
  of_job_.clear();
}

}  // namespace exeat::review
