#include "review/schema.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace exeat::review {
namespace {

constexpr std::int64_t application_id = 0x45786561;  // "Exea"

// Each brings the tables from the version of its place to the next.
constexpr std::array migrations = {
    R"(
CREATE TABLE groups (
  id INTEGER PRIMARY KEY,
  host TEXT NOT NULL, port INTEGER NOT NULL, phase TEXT NOT NULL, job TEXT NOT NULL, verdict INTEGER NOT NULL,
  reason TEXT NOT NULL, scheme TEXT NOT NULL, rule TEXT NOT NULL,
  refused INTEGER NOT NULL,
  count INTEGER NOT NULL, bytes_up INTEGER NOT NULL, bytes_down INTEGER NOT NULL,
  first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
  rule_at TEXT NOT NULL, hint TEXT NOT NULL,
  UNIQUE (host, port, phase, job, verdict, reason, scheme, rule)
) STRICT;
CREATE INDEX groups_of_job ON groups (job);
CREATE TABLE samples (
  group_id INTEGER NOT NULL, place INTEGER NOT NULL,
  time INTEGER NOT NULL, decision TEXT NOT NULL, client TEXT NOT NULL, process TEXT NOT NULL,
  command TEXT NOT NULL, method TEXT NOT NULL, sni TEXT NOT NULL, error TEXT NOT NULL,
  PRIMARY KEY (group_id, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE hours (
  group_id INTEGER NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL,
  PRIMARY KEY (group_id, hour)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER groups_gone AFTER DELETE ON groups BEGIN
  DELETE FROM samples WHERE group_id = OLD.id;
  DELETE FROM hours WHERE group_id = OLD.id;
END;
CREATE TABLE budgets (
  phase TEXT NOT NULL, rule TEXT NOT NULL, kind TEXT NOT NULL, used INTEGER NOT NULL, amount INTEGER NOT NULL,
  at INTEGER NOT NULL,
  PRIMARY KEY (phase, rule, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE proposals (
  id INTEGER PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'rejected')),
  by_job INTEGER NOT NULL, job TEXT NOT NULL, requester TEXT NOT NULL,
  phase TEXT NOT NULL, host TEXT NOT NULL, port INTEGER NOT NULL, why TEXT NOT NULL,
  times INTEGER NOT NULL, made INTEGER NOT NULL, changed INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX proposals_open ON proposals (by_job, job, requester, phase, host, port) WHERE state = 'open';
CREATE INDEX proposals_state ON proposals (state, changed);
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  time INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, proposal INTEGER NOT NULL, seen TEXT NOT NULL,
  digest_before TEXT NOT NULL, digest_after TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_stays_as_it_is BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
)",
};

void harden(database& on) {
  ::sqlite3_busy_timeout(on.get(), 250);
  ::sqlite3_db_config(on.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  ::sqlite3_db_config(on.get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  ::sqlite3_limit(on.get(), SQLITE_LIMIT_ATTACHED, 0);
  on.run("PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0");
}

/// Empty where it is ours, or empty itself.
std::string foreign(database& on, const std::string& path) {
  const auto version = on.number("PRAGMA user_version");
  const bool empty = on.number("SELECT count(*) FROM sqlite_schema") == 0;
  if (on.number("PRAGMA application_id") != application_id && !(empty && version == 0)) {
    return fmt::format("{} is the database of another program: let `review.database` name another file",
                       path);
  }
  if (version > schema_version()) {
    return fmt::format(
        "{} was written by a newer exeat (its schema is {}, this one knows {}): run the newer one, or let "
        "`review.database` name another file",
        path, version, schema_version());
  }
  return {};
}

// Under $XDG_STATE_HOME they are ours to make, for our user alone.
void make_directories_of(const std::string& path) {
  for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
    ::mkdir(path.substr(0, at).c_str(), 0700);
}

std::string cannot(const std::string& path, const std::string& why) {
  return fmt::format("cannot open the review store {}: {}", path, why);
}

}  // namespace

int schema_version() noexcept {
  return static_cast<int>(migrations.size());
}

std::expected<database, std::string> open_to_write(const std::string& path, std::uint64_t max_size) {
  make_directories_of(path);
  // SQLite would make it with the umask's mode, and gives its companions the mode of the file.
  const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
  if (made < 0) return std::unexpected(cannot(path, std::generic_category().message(errno)));
  ::close(made);
  try {
    database out(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX);
    harden(out);
    if (auto other = foreign(out, path); !other.empty()) return std::unexpected(std::move(other));
    // Only before the first table has it an effect.
    out.run("PRAGMA auto_vacuum=INCREMENTAL");
    out.run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=8388608");
    {
      transaction all(out);
      const auto version = out.number("PRAGMA user_version");
      for (auto at = static_cast<std::size_t>(version); at < migrations.size(); ++at) out.run(migrations[at]);
      if (version < schema_version()) {
        out.run(
            fmt::format("PRAGMA user_version={}; PRAGMA application_id={}", schema_version(), application_id)
                .c_str());
      }
      all.commit();
    }
    // The last line of defence; the ledger keeps it below, but for what it writes at once.
    const auto page = static_cast<std::uint64_t>(out.number("PRAGMA page_size"));
    out.run(fmt::format("PRAGMA max_page_count={}", (max_size + max_size / 4 + (16U << 20)) / page).c_str());
    return out;
  } catch (const sqlite_failure& failed) {
    return std::unexpected(cannot(path, failed.what()));
  }
}

std::expected<database, std::string> open_to_read(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0)
    return std::unexpected(cannot(path, std::generic_category().message(errno)));
  std::string failure;
  // Where no writer runs, and the directory is not ours to write, SQLite cannot make what WAL needs; nothing
  // changes the file then.
  const bool alone = ::access((path + "-wal").c_str(), F_OK) != 0;
  for (const bool immutable : {false, true}) {
    if (immutable && (!alone || path.find_first_of("?#%") != std::string::npos)) break;
    try {
      database out(immutable ? "file:" + path + "?immutable=1" : path,
                   SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | (immutable ? SQLITE_OPEN_URI : 0));
      harden(out);
      if (auto other = foreign(out, path); !other.empty()) return std::unexpected(std::move(other));
      if (const auto version = out.number("PRAGMA user_version"); version < schema_version()) {
        return std::unexpected(
            cannot(path, fmt::format("its schema is {}, and `exeat serve` of this version, which would take "
                                     "it on to {}, has not run on it yet",
                                     version, schema_version())));
      }
      return out;
    } catch (const sqlite_failure& failed) {
      failure = failed.what();
    }
  }
  return std::unexpected(cannot(path, failure));
}

}  // namespace exeat::review
