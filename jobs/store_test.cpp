#include "jobs/store.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "jobs/test_directory.hpp"

namespace exeat::jobs {
namespace {

namespace fs = std::filesystem;

::mode_t mode_of(const std::string& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("init makes a private directory with a marker and a first state, once") {
  const test_directory at;
  const auto before = ::umask(0277);  // must make no difference
  const auto made = init_state(at.state());
  ::umask(before);
  REQUIRE(made);
  CHECK(mode_of(at.state()) == 0700);
  const auto opened = store::open(at.state());
  REQUIRE(opened);
  CHECK(opened->names().value() == std::vector<std::string>{"exeat-state", "job"});
  CHECK(opened->id().size() == 32);

  const auto again = init_state(at.state());
  REQUIRE_FALSE(again);
  CHECK(contains(again.error(), "has been initialised already"));
}

TEST_CASE("init takes an empty directory, and one that has lost its marker") {
  const test_directory at;
  fs::create_directory(at.state());
  fs::permissions(at.state(), fs::perms::owner_all);
  CHECK(init_state(at.state()));
  fs::remove(at.state() + "/exeat-state");
  CHECK(init_state(at.state()));
  CHECK(store::open(at.state()));
}

TEST_CASE("init refuses what is not ours alone") {
  const test_directory at;
  CHECK_FALSE(init_state(""));
  CHECK_FALSE(init_state("/"));
  CHECK_FALSE(init_state(std::string("/tmp/a\0b", 8)));
  CHECK_FALSE(init_state(at.path() + "/no/state"));
  CHECK_FALSE(init_state(at.path() + "/.."));

  fs::create_directory(at.state());
  for (const auto mode : {0755, 0750, 0701, 01700, 0500}) {
    CAPTURE(mode);
    ::chmod(at.state().c_str(), static_cast<::mode_t>(mode));
    const auto made = init_state(at.state());
    REQUIRE_FALSE(made);
    CHECK(contains(made.error(), "chmod 700"));
  }
  ::chmod(at.state().c_str(), 0700);

  fs::create_directory_symlink(at.state(), at.path() + "/link");
  CHECK(contains(init_state(at.path() + "/link").error(), "is a symlink"));
  put_text(at.path() + "/file", "");
  CHECK(contains(init_state(at.path() + "/file").error(), "is not a directory"));
  fs::create_symlink(at.path() + "/nowhere", at.path() + "/dangling");
  CHECK_FALSE(init_state(at.path() + "/dangling"));
  CHECK_FALSE(fs::exists(at.path() + "/nowhere"));
}

TEST_CASE("A directory that others could replace is refused") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  for (const auto mode : {0777, 0770, 01720}) {
    CAPTURE(mode);
    ::chmod(at.path().c_str(), static_cast<::mode_t>(mode));
    const auto opened = store::open(at.state());
    // The sticky bit helps where the directory is root's.
    if (mode == 01720 && ::geteuid() == 0) {
      CHECK(opened);
    } else {
      REQUIRE_FALSE(opened);
      CHECK(contains(opened.error().text, "may be written by others"));
    }
  }
  ::chmod(at.path().c_str(), 0700);
  CHECK(store::open(at.state()));

  // A symlink on the way is as good as its owner.
  const test_directory other;
  fs::create_directory_symlink(at.path(), other.path() + "/way");
  CHECK(store::open(other.path() + "/way/state"));
  fs::create_directory_symlink("loop", other.path() + "/loop");
  CHECK_FALSE(store::open(other.path() + "/loop/state"));
  if (::geteuid() == 0) {
    REQUIRE(::lchown((other.path() + "/way").c_str(), 1, 1) == 0);
    CHECK(contains(store::open(other.path() + "/way/state").error().text, "belongs to uid 1"));
    REQUIRE(::chown(at.state().c_str(), 1, 1) == 0);
    CHECK(contains(store::open(at.state()).error().text, "belongs to uid 1, not to this process's"));
    REQUIRE(::chown(at.state().c_str(), 0, 0) == 0);
    REQUIRE(::chown(at.path().c_str(), 1, 1) == 0);
    CHECK(contains(store::open(at.state()).error().text, "belongs to uid 1"));
  } else {
    MESSAGE("not run as root: other owners are not tested");
  }
}

TEST_CASE("One process at a time") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  {
    const auto one = store::open(at.state());
    REQUIRE(one);
    const auto other = store::open(at.state());
    REQUIRE_FALSE(other);
    CHECK(other.error().locked);
    CHECK(contains(other.error().text, "in use by another process"));
  }
  CHECK(store::open(at.state()));
}

TEST_CASE("A marker that is absent, damaged or no file is told apart") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  const auto marker = at.state() + "/exeat-state";
  const auto whole = text_of(marker);
  const auto complaint = [&] {
    const auto opened = store::open(at.state());
    REQUIRE_FALSE(opened);
    CHECK_FALSE(opened.error().locked);
    return opened.error().text;
  };
  for (const auto& text :
       {std::string(), whole.substr(0, whole.size() - 1), whole + "x", "exeat-state 2 " + whole.substr(14)}) {
    put_text(marker, text);
    CHECK(contains(complaint(), "is damaged, or of another version"));
  }
  put_text(marker, whole);
  CHECK(store::open(at.state()));
  ::chmod(marker.c_str(), 0644);
  CHECK(contains(complaint(), "is not a regular file of this process's user alone"));
  fs::remove(marker);
  CHECK(contains(complaint(), "has no marker"));
  put_text(at.path() + "/elsewhere", whole);
  fs::create_symlink(at.path() + "/elsewhere", marker);
  CHECK(contains(complaint(), "cannot be opened"));
  fs::remove(marker);
  REQUIRE(::mkfifo(marker.c_str(), 0600) == 0);
  CHECK(contains(complaint(), "is not a regular file"));
}

TEST_CASE("Files are replaced whole, private and without traces") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  put_text(at.state() + "/.tmp-left", "of a crash");
  put_text(at.state() + "/other", "not ours to remove");
  auto opened = store::open(at.state());
  REQUIRE(opened);
  CHECK(opened->names().value() == std::vector<std::string>{"exeat-state", "job", "other"});
  const auto before = ::umask(0);
  CHECK(opened->write("one", "first"));
  ::umask(before);
  CHECK(opened->read("one") == "first");
  CHECK(mode_of(at.state() + "/one") == 0600);
  // A temporary file that an earlier failure left is in nobody's way, and a symlink there is not followed.
  fs::create_symlink(at.path() + "/victim", at.state() + "/.tmp-one");
  CHECK(opened->write("one", "second"));
  CHECK(opened->read("one") == "second");
  CHECK_FALSE(fs::exists(at.path() + "/victim"));
  CHECK(opened->remove("one"));
  CHECK(opened->remove("one"));
  REQUIRE_FALSE(opened->read("one"));
  CHECK(opened->read("one").error().not_there);
  CHECK(opened->names().value() == std::vector<std::string>{"exeat-state", "job", "other"});
}

TEST_CASE("What is no regular file, or too large, is not read") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  auto opened = store::open(at.state());
  REQUIRE(opened);
  REQUIRE(::mkfifo((at.state() + "/fifo").c_str(), 0600) == 0);
  fs::create_symlink("job", at.state() + "/link");
  fs::create_directory(at.state() + "/directory");
  for (const auto* const name : {"fifo", "link", "directory"}) {
    CAPTURE(name);
    REQUIRE_FALSE(opened->read(name));
    CHECK_FALSE(opened->read(name).error().not_there);
  }
  fs::resize_file(at.state() + "/job", store::largest + 1);
  CHECK(contains(opened->read("job").error().text, "larger than 16 MiB"));
  CHECK_FALSE(opened->write("job", std::string(store::largest + 1, 'x')));
  // A rename onto a directory fails; nothing stays behind.
  CHECK(contains(opened->write("directory", "text").error(), "cannot be renamed"));
  CHECK_FALSE(fs::exists(at.state() + "/.tmp-directory"));
  CHECK(contains(opened->remove("directory").error(), "cannot be removed"));
}

TEST_CASE("A full disk leaves the old file") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  auto opened = store::open(at.state());
  REQUIRE(opened);
  REQUIRE(opened->write("one", "first"));
  for (const ::rlim_t room : {0UL, 3UL}) {
    CAPTURE(room);
    std::expected<void, std::string> done;
    {
      const full_disk now(room);
      done = opened->write("one", "second");
    }
    REQUIRE_FALSE(done);
    CHECK(contains(done.error(), "cannot be written"));
    CHECK(opened->read("one") == "first");
    CHECK_FALSE(fs::exists(at.state() + "/.tmp-one"));
  }
  std::expected<void, std::string> made;
  {
    const full_disk now;
    made = init_state(at.path() + "/other");
  }
  CHECK_FALSE(made);
  CHECK(contains(store::open(at.path() + "/other").error().text, "has no marker"));
  CHECK(init_state(at.path() + "/other"));
}

TEST_CASE("Without descriptors nothing is written") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  auto opened = store::open(at.state());
  REQUIRE(opened);
  ::rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  auto none = before;
  none.rlim_cur = 0;
  ::setrlimit(RLIMIT_NOFILE, &none);
  const auto done = opened->write("one", "text");
  const auto names = opened->names();
  const auto read = opened->read("job");
  ::setrlimit(RLIMIT_NOFILE, &before);
  CHECK_FALSE(done);
  CHECK_FALSE(names);
  REQUIRE_FALSE(read);
  CHECK_FALSE(read.error().not_there);
}

TEST_CASE("Nothing is written where a restart would not find it") {
  const test_directory at;
  REQUIRE(init_state(at.state()));
  auto opened = store::open(at.state());
  REQUIRE(opened);
  SUBCASE("the directory is gone") {
    fs::remove_all(at.state());
  }
  SUBCASE("the directory is another") {
    fs::rename(at.state(), at.path() + "/old");
    REQUIRE(init_state(at.state()));
  }
  SUBCASE("the marker is gone") {
    fs::remove(at.state() + "/exeat-state");
  }
  SUBCASE("the marker is another") {
    fs::remove(at.state() + "/exeat-state");
    REQUIRE(init_state(at.state()));
  }
  const auto done = opened->write("one", "text");
  REQUIRE_FALSE(done);
  CHECK(contains(done.error(), "taken away or replaced"));
  CHECK_FALSE(opened->remove("job"));
  CHECK_FALSE(fs::exists(at.state() + "/one"));
}

}  // namespace
}  // namespace exeat::jobs
