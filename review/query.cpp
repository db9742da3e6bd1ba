#include "review/query.hpp"

#include <algorithm>

#include "review/query_where.hpp"

namespace exeat::review {
namespace {

// 2: proxy::outcome::would_deny.
static_assert(static_cast<int>(proxy::outcome::would_deny) == 2);
constexpr std::string_view columns =
    "SELECT min(id), host, port, scheme, phase, reason, sum(count), sum(CASE verdict WHEN 2 THEN count ELSE "
    "0 END),"
    " count(DISTINCT job), min(first_seen), max(last_seen)";
constexpr std::string_view grouped = " GROUP BY host, port, scheme, phase, reason";

conditions where_of(const filter& wanted) {
  conditions out("refused = 1");
  add_place(out, wanted);
  if (wanted.job) out.add("job = ?", *wanted.job);
  if (wanted.reason) out.add("reason = ?", *wanted.reason);
  if (wanted.since) out.add("last_seen >= ?", *wanted.since);
  return out;
}

std::string_view having(refusals mode) noexcept {
  switch (mode) {
    case refusals::enforced:
      return " HAVING sum(CASE verdict WHEN 2 THEN 0 ELSE count END) > 0";
    case refusals::audit:
      return " HAVING sum(CASE verdict WHEN 2 THEN count ELSE 0 END) > 0";
    case refusals::any:
      break;
  }
  return " HAVING sum(count) > 0";
}

std::string_view ordered(order by) noexcept {
  switch (by) {
    case order::last_seen:
      return " ORDER BY 11 DESC, host, port, scheme, phase, reason";
    case order::first_seen:
      return " ORDER BY 10 DESC, host, port, scheme, phase, reason";
    case order::host:
      return " ORDER BY host, port, scheme, phase, reason";
    case order::count:
      break;
  }
  return " ORDER BY 7 DESC, host, port, scheme, phase, reason";
}

blocked_group row_of(const statement& at) {
  return {.id = at.number(0),
          .host = at.text(1),
          .port = static_cast<std::uint16_t>(at.number(2)),
          .scheme = at.text(3),
          .phase = at.text(4),
          .reason = at.text(5),
          .rule = {},
          .rule_at = {},
          .hint = {},
          .count = at.count(6),
          .would_deny = at.count(7),
          .jobs = at.count(8),
          .first_seen = at.time(9),
          .last_seen = at.time(10)};
}

constexpr std::string_view same_group =
    " FROM groups WHERE host = ? AND port = ? AND phase = ? AND scheme = ? AND reason = ? AND refused = 1";

void add_latest(database& from, std::vector<blocked_group>& groups) {
  statement latest(from.get(),
                   fmt::format("SELECT rule, rule_at, hint{} ORDER BY last_seen DESC LIMIT 1", same_group));
  for (auto& one : groups) {
    latest.with(one.host, int{one.port}, one.phase, one.scheme, one.reason);
    if (!latest.step()) continue;
    one.rule = latest.text(0);
    one.rule_at = latest.text(1);
    one.hint = latest.text(2);
  }
}

std::int64_t hour_of(time_point time) noexcept {
  return std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
}

std::vector<std::array<std::uint64_t, 48>> hours_of(database& from, const std::vector<blocked_group>& groups,
                                                    const std::optional<std::string>& job, time_point now) {
  const auto oldest = hour_of(now) - 47;
  statement hours(
      from.get(),
      fmt::format("SELECT hour, sum(hours.count) FROM hours WHERE hour >= ? AND hour < ? AND group_id IN"
                  " (SELECT id{} AND (? = 0 OR job = ?)) GROUP BY hour",
                  same_group));
  std::vector<std::array<std::uint64_t, 48>> out;
  const std::string none;
  for (const auto& one : groups) {
    auto& line = out.emplace_back();
    hours.with(oldest, oldest + 48, one.host, int{one.port}, one.phase, one.scheme, one.reason, job ? 1 : 0,
               job ? *job : none);
    while (hours.step()) line.at(static_cast<std::size_t>(hours.number(0) - oldest)) = hours.count(1);
  }
  return out;
}

std::vector<sample> samples_of(database& from, const blocked_group& group) {
  statement at(
      from.get(),
      fmt::format("SELECT time, decision, client, process, command, method, sni, error FROM samples WHERE"
                  " group_id IN (SELECT id{}) ORDER BY time DESC LIMIT 40",
                  same_group));
  at.with(group.host, int{group.port}, group.phase, group.scheme, group.reason);
  std::vector<sample> out;
  while (out.size() < 20 && at.step()) {
    sample one{.time = at.time(0),
               .decision = at.text(1),
               .client = at.text(2),
               .process = at.text(3),
               .command = at.text(4),
               .method = at.text(5),
               .sni = at.text(6),
               .error = at.text(7)};
    // The first of a group is its latest as well, where it is the only one.
    const auto same = [&](const sample& other) {
      return other.decision == one.decision && other.time == one.time;
    };
    if (std::ranges::none_of(out, same)) out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

answer<blocked_page> blocked(database& from, const filter& wanted, const page& page) {
  return in_snapshot(from, [&] {
    const auto where = where_of(wanted);
    blocked_page out;
    statement rows(from.get(), fmt::format("{} FROM groups WHERE {}{}{}{} LIMIT ? OFFSET ?", columns,
                                           where.sql(), grouped, having(wanted.mode), ordered(page.by)));
    const int next = where.bind_to(rows);
    rows.bind(next, limit_of(page));
    rows.bind(next + 1, static_cast<std::int64_t>(page.offset));
    while (rows.step()) out.groups.push_back(row_of(rows));
    add_latest(from, out.groups);
    if (page.offset == 0 && out.groups.size() < static_cast<std::size_t>(limit_of(page))) {
      out.groups_total = out.groups.size();
      for (const auto& one : out.groups) out.count_total += one.count;
      return out;
    }
    statement totals(from.get(),
                     fmt::format("SELECT count(*), coalesce(sum(n), 0) FROM (SELECT sum(count) AS n FROM"
                                 " groups WHERE {}{}{})",
                                 where.sql(), grouped, having(wanted.mode)));
    where.bind_to(totals);
    totals.step();
    out.groups_total = totals.count(0);
    out.count_total = totals.count(1);
    return out;
  });
}

answer<std::optional<blocked_detail>> group_by_id(database& from, std::int64_t id, time_point now) {
  return in_snapshot(from, [&]() -> std::optional<blocked_detail> {
    statement key(from.get(),
                  "SELECT host, port, scheme, phase, reason FROM groups WHERE id = ? AND refused = 1");
    key.with(id);
    if (!key.step()) return std::nullopt;
    const std::string host = key.text(0);
    const auto port = key.number(1);
    const std::string scheme = key.text(2);
    const std::string phase = key.text(3);
    const std::string reason = key.text(4);
    statement whole(from.get(), fmt::format("{}{}{}", columns, same_group, grouped));
    whole.with(host, port, phase, scheme, reason);
    if (!whole.step()) return std::nullopt;
    std::vector<blocked_group> one{row_of(whole)};
    add_latest(from, one);
    blocked_detail out{.group = one.front(), .jobs = {}, .samples = samples_of(from, one.front())};
    out.hours = hours_of(from, one, std::nullopt, now).front();
    statement jobs(
        from.get(),
        fmt::format("SELECT job, sum(count){} GROUP BY job ORDER BY 2 DESC, job LIMIT 100", same_group));
    jobs.with(host, port, phase, scheme, reason);
    while (jobs.step()) out.jobs.emplace_back(jobs.text(0), jobs.count(1));
    return out;
  });
}

answer<std::optional<std::int64_t>> group_of_decision(database& from, const std::string& decision) {
  return in_snapshot(from, [&]() -> std::optional<std::int64_t> {
    statement found(from.get(), "SELECT group_id FROM samples WHERE decision = ? LIMIT 1");
    found.with(decision);
    if (!found.step()) return std::nullopt;
    return found.number(0);
  });
}

answer<std::vector<std::array<std::uint64_t, 48>>> sparklines(database& from,
                                                              const std::vector<blocked_group>& groups,
                                                              const filter& wanted, time_point now) {
  return in_snapshot(from, [&] { return hours_of(from, groups, wanted.job, now); });
}

}  // namespace exeat::review
