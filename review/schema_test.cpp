#include "review/schema.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::review;

namespace {
constexpr std::uint64_t size = 1U << 20;
}

TEST_CASE("a new database is the owner's alone, has the version, and opens again") {
  const log::temporary_directory directory;
  const auto path = directory / "review.sqlite";
  {
    auto made = open_to_write(path, size);
    REQUIRE(made);
    CHECK(made->number("PRAGMA user_version") == schema_version());
    struct stat status{};
    for (const auto* const suffix : {"", "-wal"}) {
      REQUIRE(::stat((path + suffix).c_str(), &status) == 0);
      CHECK((status.st_mode & 0777) == 0600);
    }
    auto beside = open_to_read(path);
    REQUIRE(beside);
    CHECK_THROWS_AS(beside->run("DELETE FROM groups"), sqlite_failure);
  }
  CHECK(open_to_write(path, size));
  CHECK(open_to_read(path));
}

TEST_CASE("a newer database is refused with a sentence, by writers and readers") {
  const log::temporary_directory directory;
  const auto path = directory / "review.sqlite";
  open_to_write(path, size)->run("PRAGMA user_version=99");
  const auto wanted = path + " was written by a newer exeat (its schema is 99, this one knows " +
                      std::to_string(schema_version()) +
                      "): run the newer one, or let `review.database` name another file";
  auto writer = open_to_write(path, size);
  REQUIRE_FALSE(writer);
  CHECK(writer.error() == wanted);
  auto reader = open_to_read(path);
  REQUIRE_FALSE(reader);
  CHECK(reader.error() == wanted);
}

TEST_CASE("the database of another program is left alone") {
  const log::temporary_directory directory;
  const auto path = directory / "theirs.sqlite";
  {
    database theirs(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    theirs.run("CREATE TABLE mine (x)");
  }
  auto opened = open_to_write(path, size);
  REQUIRE_FALSE(opened);
  CHECK(opened.error() ==
        path + " is the database of another program: let `review.database` name another file");
}

TEST_CASE("what is no database, and what is not there") {
  const log::temporary_directory directory;
  const auto path = directory / "notes.txt";
  std::ofstream(path)
      << "dear diary, this is no database at all, and longer than a header of one hundred octets,"
         " which SQLite wants to see first\n";
  auto opened = open_to_write(path, size);
  REQUIRE_FALSE(opened);
  CHECK(opened.error() == "cannot open the review store " + path + ": file is not a database (SQLite 26)");
  CHECK(open_to_write(directory / "notes.txt/x", size).error() ==
        "cannot open the review store " + (directory / "notes.txt/x") + ": Not a directory");
  CHECK(open_to_write(directory / "made/for/x", size));
  CHECK(open_to_read(directory / "x").error() ==
        "cannot open the review store " + (directory / "x") + ": No such file or directory");
  std::ofstream(directory / "empty");
  CHECK(open_to_read(directory / "empty").error().find("has not run on it yet") != std::string::npos);
}

TEST_CASE("a database that nobody writes can be read where its directory cannot be written") {
  const log::temporary_directory directory;
  const auto path = directory / "review.sqlite";
  REQUIRE(open_to_write(path, size));
  REQUIRE(::access((path + "-wal").c_str(), F_OK) != 0);
  ::chmod((directory / "").c_str(), 0500);
  auto reader = open_to_read(path);
  CHECK_MESSAGE(reader, (reader ? "" : reader.error()));
  ::chmod((directory / "").c_str(), 0700);
}

TEST_CASE("the audit table only grows") {
  const log::temporary_directory directory;
  auto made = open_to_write(directory / "review.sqlite", size);
  REQUIRE(made);
  made->run("INSERT INTO audit VALUES (1, 0, 'uid 0', 'approved', 1, '', '', '')");
  CHECK_THROWS_WITH_AS(made->run("DELETE FROM audit"), "append-only (SQLite 1811)", sqlite_failure);
  CHECK_THROWS_AS(made->run("UPDATE audit SET who = 'x'"), sqlite_failure);
}
