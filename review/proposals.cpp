#include "review/proposals.hpp"

#include <array>

#include "core/host_name.hpp"
#include "core/ip_address.hpp"
#include "review/query_where.hpp"

namespace exeat::review {
namespace {

constexpr std::array<std::string_view, 3> words{"open", "approved", "rejected"};

std::string_view word_of(proposal_state state) noexcept {
  return words.at(static_cast<std::size_t>(state));
}

proposal_state state_of(const std::string& word) noexcept {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (word == words.at(i)) return static_cast<proposal_state>(i);
  }
  return proposal_state::open;
}

constexpr std::string_view columns =
    "SELECT id, state, by_job, job, requester, phase, host, port, why, times, made, changed FROM proposals";

proposal row_of(const statement& at) {
  return {.id = at.number(0),
          .state = state_of(at.text(1)),
          .wanted = {.by_job = at.number(2) != 0,
                     .job = at.text(3),
                     .requester = at.text(4),
                     .phase = at.text(5),
                     .host = at.text(6),
                     .port = static_cast<std::uint16_t>(at.number(7)),
                     .why = at.text(8)},
          .times = at.count(9),
          .made = at.time(10),
          .changed = at.time(11)};
}

std::optional<proposal> find(database& from, std::int64_t id) {
  statement one(from.get(), fmt::format("{} WHERE id = ?", columns));
  one.with(id);
  if (!one.step()) return std::nullopt;
  return row_of(one);
}

std::int64_t count(database& from, std::string_view where, const std::string& job, std::int64_t since = 0) {
  statement asked(from.get(), fmt::format("SELECT count(*) FROM proposals WHERE {}", where));
  asked.bind(1, job);
  asked.bind(2, since);
  asked.step();
  return asked.number(0);
}

/// A sentence where a new one is one too many.
std::string too_many(database& from, const wish& wanted, const proposal_bounds& bounds, time_point now) {
  const auto more_than = [](std::int64_t have, std::size_t most) {
    return static_cast<std::size_t>(have) >= most;
  };
  if (more_than(count(from, "state = 'open' AND ?1 IS NOT NULL AND ?2 = 0", wanted.job), bounds.open))
    return fmt::format("{} proposals are open: somebody has to decide on them first", bounds.open);
  if (!wanted.by_job) return {};
  if (more_than(count(from, "state = 'open' AND by_job = 1 AND job = ?1 AND ?2 = 0", wanted.job),
                bounds.open_of_job))
    return fmt::format("this job has {} open proposals of its own, and may have no more", bounds.open_of_job);
  if (more_than(count(from, "by_job = 1 AND job = ?1 AND made > ?2", wanted.job,
                      to_micros(now - std::chrono::hours{1})),
                bounds.hourly_of_job))
    return fmt::format("this job has asked for {} destinations within an hour, and has to wait",
                       bounds.hourly_of_job);
  return {};
}

std::string cannot(const sqlite_failure& failed) {
  return fmt::format("the review store cannot be written: {}", failed.what());
}

}  // namespace

answer<proposal> file(database& into, wish wanted, const proposal_bounds& bounds, time_point now) {
  if (const auto literal = core::ip_address::parse(wanted.host)) {
    wanted.host = literal->to_string();
  } else if (const auto name = core::host_name::parse(wanted.host)) {
    wanted.host = name->view();
  } else {
    return std::unexpected("that is no host: a name such as example.org, or an address");
  }
  if (wanted.port == 0) return std::unexpected("that is no port");
  wanted.why.resize(std::min(wanted.why.size(), bounds.why));
  try {
    transaction all(into);
    statement again(
        into.get(),
        "UPDATE proposals SET times = times + 1, changed = ?1, why = ?2 WHERE state = 'open' AND by_job ="
        " ?3 AND job = ?4 AND requester = ?5 AND phase = ?6 AND host = ?7 AND port = ?8 RETURNING id");
    again.with(now, wanted.why, int{wanted.by_job}, wanted.job, wanted.requester, wanted.phase, wanted.host,
               int{wanted.port});
    std::int64_t id = again.step() ? again.number(0) : 0;
    again.reset();
    if (id == 0) {
      if (auto refused = too_many(into, wanted, bounds, now); !refused.empty())
        return std::unexpected(std::move(refused));
      statement(into.get(),
                "INSERT INTO proposals (state, by_job, job, requester, phase, host, port, why, times, made, "
                "changed)"
                " VALUES ('open', ?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?8)")
          .with(int{wanted.by_job}, wanted.job, wanted.requester, wanted.phase, wanted.host, int{wanted.port},
                wanted.why, now)
          .run();
      id = ::sqlite3_last_insert_rowid(into.get());
    }
    auto out = find(into, id);
    all.commit();
    return std::move(*out);
  } catch (const sqlite_failure& failed) {
    return std::unexpected(cannot(failed));
  }
}

answer<std::vector<proposal>> proposals(database& from, std::optional<proposal_state> state,
                                        const page& page) {
  return in_snapshot(from, [&] {
    statement rows(from.get(),
                   fmt::format("{} WHERE ?1 = '' OR state = ?1 ORDER BY changed DESC, id DESC LIMIT ?2 OFFSET"
                               " ?3",
                               columns));
    const std::string word(state ? word_of(*state) : "");
    rows.with(word, limit_of(page), static_cast<std::int64_t>(page.offset));
    std::vector<proposal> out;
    while (rows.step()) out.push_back(row_of(rows));
    return out;
  });
}

answer<std::optional<proposal>> proposal_by_id(database& from, std::int64_t id) {
  return in_snapshot(from, [&] { return find(from, id); });
}

answer<proposal> decide(database& into, std::int64_t id, proposal_state state, audit_entry entry,
                        time_point now) {
  if (state == proposal_state::open) return std::unexpected("to leave it open is no decision");
  try {
    transaction all(into);
    auto found = find(into, id);
    if (!found) return std::unexpected(fmt::format("there is no proposal {}", id));
    if (found->state != proposal_state::open)
      return std::unexpected(fmt::format("proposal {} is {} already", id, word_of(found->state)));
    if (state == proposal_state::approved && entry.who == found->wanted.requester)
      return std::unexpected("whoever has asked for it cannot approve it");
    statement(into.get(), "UPDATE proposals SET state = ?1, changed = ?2 WHERE id = ?3")
        .with(word_of(state), now, id)
        .run();
    statement(into.get(),
              "INSERT INTO audit (time, who, what, proposal, seen, digest_before, digest_after) VALUES "
              "(?,?,?,?,?,?,?)")
        .with(now, entry.who, word_of(state), id, entry.seen, entry.digest_before, entry.digest_after)
        .run();
    found->state = state;
    found->changed = now;
    all.commit();
    return std::move(*found);
  } catch (const sqlite_failure& failed) {
    return std::unexpected(cannot(failed));
  }
}

answer<std::vector<audit_entry>> audit(database& from, std::int64_t after, std::size_t limit) {
  return in_snapshot(from, [&] {
    statement rows(from.get(),
                   "SELECT id, time, who, what, proposal, seen, digest_before, digest_after FROM audit WHERE"
                   " id > ? ORDER BY id LIMIT ?");
    rows.with(after, limit_of({.limit = limit}));
    std::vector<audit_entry> out;
    while (rows.step()) {
      out.push_back({.id = rows.number(0),
                     .time = rows.time(1),
                     .who = rows.text(2),
                     .what = rows.text(3),
                     .proposal = rows.number(4),
                     .seen = rows.text(5),
                     .digest_before = rows.text(6),
                     .digest_after = rows.text(7)});
    }
    return out;
  });
}

}  // namespace exeat::review
