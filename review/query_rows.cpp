#include "review/query.hpp"
#include "review/query_where.hpp"

namespace exeat::review {
namespace {

// 0: proxy::outcome::allow.
static_assert(static_cast<int>(proxy::outcome::allow) == 0);

time_point started(database& from) {
  statement at(from.get(), "SELECT value FROM facts WHERE name = 'started'");
  return at.step() ? at.time(0) : time_point{};
}

std::vector<std::pair<std::string, std::uint64_t>> refusals_by(database& from, std::string_view column) {
  statement at(from.get(),
               fmt::format("SELECT {0}, sum(count) FROM groups WHERE refused = 1 GROUP BY {0} HAVING"
                           " sum(count) > 0 ORDER BY 2 DESC, 1 LIMIT 1000",
                           column));
  std::vector<std::pair<std::string, std::uint64_t>> out;
  while (at.step()) out.emplace_back(at.text(0), at.count(1));
  return out;
}

std::string_view ordered(order by) noexcept {
  switch (by) {
    case order::last_seen:
      return " ORDER BY 9 DESC, host, port, phase";
    case order::first_seen:
      return " ORDER BY 8 DESC, host, port, phase";
    case order::host:
      return " ORDER BY host, port, phase";
    case order::count:
      break;
  }
  return " ORDER BY 4 DESC, host, port, phase";
}

}  // namespace

answer<std::vector<new_destination>> allowed_first_seen(database& from, const filter& wanted,
                                                        const page& page) {
  return in_snapshot(from, [&] {
    conditions where("refused = 0 AND verdict = 0 AND host != '(other)' AND host != ''");
    add_place(where, wanted);
    std::string sql = fmt::format(
        "SELECT host, port, phase, sum(count), count(DISTINCT job), sum(bytes_up), sum(bytes_down), "
        "min(first_seen),"
        " max(last_seen) FROM groups WHERE {} GROUP BY host, port, phase HAVING sum(count) > 0 AND "
        "min(first_seen) >= ?",
        where.sql());
    if (wanted.job) sql += " AND min(CASE WHEN job = ? THEN first_seen END) = min(first_seen)";
    statement rows(from.get(), sql.append(ordered(page.by)).append(" LIMIT ? OFFSET ?"));
    int next = where.bind_to(rows);
    rows.bind(next++, wanted.since ? *wanted.since : wanted.job ? time_point{} : started(from));
    if (wanted.job) rows.bind(next++, *wanted.job);
    rows.bind(next++, limit_of(page));
    rows.bind(next, static_cast<std::int64_t>(page.offset));
    std::vector<new_destination> out;
    while (rows.step()) {
      out.push_back({.host = rows.text(0),
                     .port = static_cast<std::uint16_t>(rows.number(1)),
                     .phase = rows.text(2),
                     .rule = {},
                     .rule_at = {},
                     .count = rows.count(3),
                     .jobs = rows.count(4),
                     .bytes_up = rows.count(5),
                     .bytes_down = rows.count(6),
                     .first_seen = rows.time(7),
                     .last_seen = rows.time(8)});
    }
    statement latest(
        from.get(),
        "SELECT rule, rule_at FROM groups WHERE host = ? AND port = ? AND phase = ? AND refused = 0 AND"
        " verdict = 0 ORDER BY last_seen DESC LIMIT 1");
    for (auto& one : out) {
      latest.with(one.host, int{one.port}, one.phase);
      if (!latest.step()) continue;
      one.rule = latest.text(0);
      one.rule_at = latest.text(1);
    }
    return out;
  });
}

answer<std::vector<rule_hits>> hits_by_rule(database& from) {
  return in_snapshot(from, [&] {
    statement rows(from.get(),
                   "SELECT phase, rule, sum(count), count(DISTINCT host), sum(bytes_up), sum(bytes_down),"
                   " max(last_seen) FROM groups WHERE rule != '' AND (refused = 0 OR reason = 'deny-rule')"
                   " GROUP BY phase, rule ORDER BY phase, rule");
    std::vector<rule_hits> out;
    while (rows.step()) {
      out.push_back({.phase = rows.text(0),
                     .rule = rows.text(1),
                     .count = rows.count(2),
                     .hosts = rows.count(3),
                     .bytes_up = rows.count(4),
                     .bytes_down = rows.count(5),
                     .last_hit = rows.time(6)});
    }
    return out;
  });
}

answer<std::vector<std::string>> hosts_of_rule(database& from, const std::string& phase,
                                               const std::string& rule, std::size_t limit) {
  return in_snapshot(from, [&] {
    statement rows(from.get(),
                   "SELECT DISTINCT host FROM groups WHERE phase = ? AND rule = ? AND refused = 0 ORDER BY "
                   "host LIMIT ?");
    rows.with(phase, rule, static_cast<std::int64_t>(limit));
    std::vector<std::string> out;
    while (rows.step()) out.push_back(rows.text(0));
    return out;
  });
}

answer<std::vector<budget_use>> budgets(database& from) {
  return in_snapshot(from, [&] {
    statement rows(from.get(),
                   "SELECT phase, rule, kind, used, amount, at FROM budgets ORDER BY phase, rule, kind");
    std::vector<budget_use> out;
    while (rows.step()) {
      out.push_back({.phase = rows.text(0),
                     .rule = rows.text(1),
                     .kind = rows.text(2),
                     .used = rows.count(3),
                     .limit = rows.count(4),
                     .at = rows.time(5)});
    }
    return out;
  });
}

answer<overview> overview_of(database& from) {
  return in_snapshot(from, [&] {
    overview out;
    out.phases = refusals_by(from, "phase");
    out.reasons = refusals_by(from, "reason");
    out.jobs = refusals_by(from, "job");
    statement sums(
        from.get(),
        "SELECT coalesce(sum(count), 0), coalesce(sum(CASE refused WHEN 1 THEN count END), 0), count(*),"
        " coalesce(sum(CASE host WHEN '(other)' THEN count END), 0), coalesce(min(first_seen), 0) FROM"
        " groups");
    sums.step();
    out.decisions = sums.count(0);
    out.refused = sums.count(1);
    out.groups = sums.count(2);
    out.other = sums.count(3);
    if (out.groups != 0) out.oldest = sums.time(4);
    out.started = started(from);
    return out;
  });
}

}  // namespace exeat::review
