#include "config/watch.hpp"

#include <doctest/doctest.h>
#include <poll.h>

#include <filesystem>

#include "config/temporary_directory.hpp"

using namespace exeat;
using config::temporary_directory;
namespace fs = std::filesystem;

namespace {

config::file_watch watch(std::vector<std::string> paths) {
  auto started = config::file_watch::start(std::move(paths));
  REQUIRE(started);
  return std::move(*started);
}

bool readable(const config::file_watch& watch) {
  pollfd poll{.fd = watch.descriptor(), .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

// inotify queues an event before the system call that causes it returns: nothing needs to wait here.
bool noticed(config::file_watch& watch) {
  return readable(watch) && watch.changed();
}

}  // namespace

TEST_CASE("nothing has changed where nothing has") {
  const temporary_directory dir;
  auto w = watch({dir.write("p", "1")});
  CHECK_FALSE(w.changed());
}

TEST_CASE("writing in place is noticed, once") {
  const temporary_directory dir;
  auto w = watch({dir.write("p", "1")});
  dir.write("p", "22");
  CHECK(noticed(w));
  CHECK_FALSE(w.changed());
}

TEST_CASE("an editor's rename over the file is noticed, and what follows too") {
  const temporary_directory dir;
  const auto path = dir.write("p", "1");
  auto w = watch({path});
  for (const auto* text : {"22", "333"}) {
    dir.write(".p.swp", text);
    fs::rename(dir / ".p.swp", path);
    CHECK(noticed(w));
  }
  dir.write("p", "4444");
  CHECK(noticed(w));
}

TEST_CASE("a file that goes and comes again is noticed both times") {
  const temporary_directory dir;
  const auto path = dir.write("p", "1");
  auto w = watch({path});
  fs::remove(path);
  CHECK(noticed(w));
  dir.write("p", "1");
  CHECK(noticed(w));
  dir.write("p", "22");
  CHECK(noticed(w));
}

TEST_CASE("the swap of ..data in a ConfigMap is noticed, again and again") {
  const temporary_directory dir;
  fs::create_directory(dir / "..1");
  dir.write("..1/policy.yaml", "same");
  fs::create_symlink("..1", dir / "..data");
  fs::create_symlink("..data/policy.yaml", dir / "policy.yaml");
  auto w = watch({dir / "policy.yaml"});
  for (int i = 2; i < 5; ++i) {
    const auto next = ".." + std::to_string(i);
    fs::create_directory(dir / next);
    dir.write(next + "/policy.yaml", "same");
    fs::create_symlink(next, dir / "..data_tmp");
    fs::rename(dir / "..data_tmp", dir / "..data");
    fs::remove_all(dir / (".." + std::to_string(i - 1)));
    CHECK(noticed(w));
    dir.write(next + "/policy.yaml", "written in the new place");
    CHECK(noticed(w));
  }
}

TEST_CASE("a symlink to another directory is followed there") {
  const temporary_directory dir;
  fs::create_directory(dir / "a");
  dir.write("a/real", "1");
  fs::create_symlink(dir / "a/real", dir / "p");
  auto w = watch({dir / "p"});
  dir.write("a/real", "22");
  CHECK(noticed(w));
}

TEST_CASE("a directory that is moved away and made anew is followed") {
  const temporary_directory dir;
  fs::create_directory(dir / "d");
  auto w = watch({dir.write("d/p", "1")});
  fs::rename(dir / "d", dir / "old");
  CHECK(noticed(w));
  fs::create_directory(dir / "d");
  dir.write("d/p", "22");
  CHECK(noticed(w));
  dir.write("d/p", "333");
  CHECK(noticed(w));
  dir.write("old/p", "4444");
  CHECK_FALSE(noticed(w));
}

TEST_CASE("a file that is not there yet, nor its directory, is noticed when it comes") {
  const temporary_directory dir;
  auto w = watch({dir / "a/b/p"});
  fs::create_directories(dir / "a/b");
  w.changed();
  dir.write("a/b/p", "1");
  CHECK(noticed(w));
}

TEST_CASE("neighbours do not count") {
  const temporary_directory dir;
  auto w = watch({dir.write("p", "1")});
  dir.write("q", "1");
  fs::remove(dir / "q");
  CHECK_FALSE(noticed(w));
}

TEST_CASE("several files are watched at once, across a move of the object") {
  const temporary_directory dir;
  auto first = watch({dir.write("p", "1"), dir.write("q", "1")});
  auto w = std::move(first);
  dir.write("q", "22");
  CHECK(noticed(w));
  dir.write("p", "22");
  CHECK(noticed(w));
}

TEST_CASE("of a directory, names that come and go count") {
  const temporary_directory dir;
  fs::create_directory(dir / "d");
  auto w = watch({dir.write("p", "1"), dir / "d/"});
  dir.write("q", "1");
  CHECK_FALSE(noticed(w));
  dir.write("d/a.yaml", "1");
  CHECK(noticed(w));
  fs::remove(dir / "d/a.yaml");
  CHECK(noticed(w));
}

TEST_CASE("the files that are watched can be others from some time on") {
  const temporary_directory dir;
  auto w = watch({dir.write("p", "1")});
  dir.write("q", "1");
  w.watch({dir / "p", dir / "q"});
  dir.write("q", "22");
  CHECK(noticed(w));
  dir.write("p", "22");
  CHECK(noticed(w));
  w.watch({dir / "q"});
  dir.write("p", "333");
  CHECK_FALSE(noticed(w));
}
