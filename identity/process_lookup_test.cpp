#include "identity/process_lookup.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "config/temporary_directory.hpp"

using namespace exeat::identity;
namespace fs = std::filesystem;
using outcome = lookup_outcome;

namespace {

constexpr std::string_view stat_of_sh =
    "(sh) S 1 7 7 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 500 2500000 200";

// A /proc of our own making.
class fake_proc {
 public:
  fake_proc() { add(1, {"pipe:[3]"}); }

  void add(int pid, const std::vector<std::string>& descriptors, std::string_view stat = stat_of_sh) {
    const auto at = root_.path() / std::to_string(pid);
    fs::create_directories(at / "fd");
    for (std::size_t i = 0; i < descriptors.size(); ++i)
      fs::create_symlink(descriptors[i], at / "fd" / std::to_string(i));
    fs::create_symlink("/usr/bin/dash", at / "exe");
    write(pid, "stat", std::to_string(pid) + " " + std::string(stat) + "\n");
    write(pid, "cmdline", std::string("sh\0-c\0x\0", 8));
    write(pid, "cgroup", "12:cpu:/a\n1:name=systemd:/0::/b\n0::/ci/agent\n");
  }
  void write(int pid, const char* name, std::string_view text) {
    std::ofstream(root_.path() / std::to_string(pid) / name, std::ios::binary) << text;
  }
  fs::path at(int pid) const { return root_.path() / std::to_string(pid); }

  process_answer ask(const process_question& question, std::vector<::pid_t> skipped = {},
                     lookup_bounds bounds = {.time = std::chrono::hours(1)}) const {
    const int proc = ::open(root_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    const auto answer = look_up(proc, question, bounds, skipped, recent);
    ::close(proc);
    return answer;
  }
  mutable recent_holders recent;
  process_answer holder_of(std::uint64_t inode) const { return ask({.id = 5, .value = inode}); }
  process_answer with_pid(std::uint64_t pid, std::uint64_t connected = 0) const {
    return ask({.id = 6, .kind = process_question::by::pid, .value = pid, .connected = connected});
  }

 private:
  exeat::config::temporary_directory root_;
};

}  // namespace

TEST_CASE("all is read of the process that holds the socket") {
  fake_proc proc;
  proc.add(20, {"/dev/null", "socket:[78]", "anon_inode:[77]", "socket:[7]", "pipe:[77]"});
  proc.add(21, {"/dev/null", "/tmp/socket:[77]", "socket:[77]"});
  const auto answer = proc.holder_of(77);
  CHECK(answer.id == 5);
  CHECK(answer.outcome == outcome::found);
  CHECK(answer.pid == 21);
  CHECK(answer.holders == 1);
  CHECK(answer.exe.view() == "/usr/bin/dash");
  CHECK(answer.cmdline.view() == "sh -c x");
  CHECK(answer.cgroup.view() == "/ci/agent");
}

TEST_CASE("none is none only where all could be looked at") {
  fake_proc proc;
  proc.add(20, {"socket:[78]"});
  CHECK(proc.holder_of(77).outcome == outcome::none);
  CHECK(proc.ask({.value = 78}, {20}).outcome == outcome::none);
  fs::remove_all(proc.at(1));  // as with hidepid
  CHECK(proc.holder_of(77).outcome == outcome::unavailable);
  CHECK(proc.holder_of(78).outcome == outcome::found);
}

TEST_CASE("the lowest of several, whatever the order of the directory") {
  fake_proc proc;
  for (const int pid : {900, 30, 31, 500, 29, 1000}) proc.add(pid, {"socket:[9]", "socket:[9]"});
  const auto answer = proc.holder_of(9);
  CHECK(answer.pid == 29);
  CHECK(answer.holders == 6);
  CHECK(proc.ask({.value = 9}, {29, 30}).pid == 31);
}

TEST_CASE("who was the answer lately is looked at first, and is the answer only where it holds the socket") {
  fake_proc proc;
  proc.add(20, {"socket:[8]"});
  proc.add(30, {"socket:[8]", "socket:[9]"});
  CHECK(proc.holder_of(9).pid == 30);
  auto answer = proc.holder_of(8);
  CHECK(answer.pid == 30);  // not 20: nobody else was looked at
  CHECK(answer.holders == 1);
  CHECK(proc.ask({.value = 8}, {}, {.time = std::chrono::hours(1), .descriptors = 1}).pid == 30);
  fs::remove_all(proc.at(30));
  answer = proc.holder_of(8);
  CHECK(answer.pid == 20);
  CHECK(answer.exe.view() == "/usr/bin/dash");
  CHECK(proc.holder_of(9).outcome == outcome::none);
}

TEST_CASE("who holds a great many descriptors takes no time from the others") {
  fake_proc proc;
  proc.add(20, {"socket:[7]"});
  CHECK(proc.holder_of(7).pid == 20);
  std::vector<std::string> many(2'000, "pipe:[1]");
  many.emplace_back("socket:[7]");
  fs::remove_all(proc.at(20));
  proc.add(20, many);
  proc.add(19, {"socket:[9]"});
  // 1 and its pipe, 19 and its socket, 20: not the 2,000.
  const auto first = proc.ask({.value = 9}, {20}, {.time = std::chrono::hours(1), .descriptors = 5});
  CHECK(first.outcome == outcome::found);
  CHECK(proc.holder_of(7).pid == 20);  // found all the same
}

TEST_CASE("the bounds count processes and their descriptors") {
  fake_proc proc;
  proc.add(20, {"a", "b", "c", "socket:[9]"});
  const auto within = [&](std::uint32_t descriptors) {
    proc.recent = {};
    return proc.ask({.value = 9}, {}, {.time = std::chrono::hours(1), .descriptors = descriptors}).outcome;
  };
  CHECK(within(7) == outcome::found);  // 1 and its pipe, 20 and four of its own
  CHECK(within(1) == outcome::unavailable);
  CHECK(within(0) == outcome::unavailable);
}

TEST_CASE("texts are cut, and what cannot be read is empty") {
  fake_proc proc;
  proc.add(20, {});
  proc.write(20, "cmdline", std::string(3'000, 'a'));
  proc.write(20, "cgroup", "0::/" + std::string(3'000, 'b') + "\n");
  fs::remove(proc.at(20) / "exe");
  fs::create_symlink("/" + std::string(1'000, 'c'), proc.at(20) / "exe");
  auto answer = proc.with_pid(20);
  CHECK(answer.outcome == outcome::found);
  CHECK(answer.cmdline.view() == std::string(512, 'a'));
  CHECK(answer.cgroup.view() == "/" + std::string(255, 'b'));
  CHECK(answer.exe.view() == "/" + std::string(255, 'c'));
  for (const auto* name : {"cmdline", "cgroup", "exe"}) fs::remove(proc.at(20) / name);
  answer = proc.with_pid(20);
  CHECK(answer.outcome == outcome::found);
  CHECK(answer.cmdline.view().empty());
  CHECK(answer.cgroup.view().empty());
  CHECK(answer.exe.view().empty());
  proc.write(20, "cmdline", std::string("\0\0\0", 3));
  proc.write(20, "cgroup", "3:cpu:/x");
  answer = proc.with_pid(20);
  CHECK(answer.cmdline.view().empty());
  CHECK(answer.cgroup.view().empty());
}

TEST_CASE("a process that began after the connection is another one with its pid") {
  fake_proc proc;
  proc.add(20, {});
  const auto tick = 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  CHECK(proc.with_pid(20, 0).outcome == outcome::found);
  CHECK(proc.with_pid(20, 500 * tick).outcome == outcome::found);
  CHECK(proc.with_pid(20, 500 * tick - 1).outcome == outcome::none);
  CHECK(proc.with_pid(21, 0).outcome == outcome::none);
}

TEST_CASE("a name that looks like the rest of its line does not move the start") {
  const auto tick = 1'000'000'000U / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  fake_proc proc;
  proc.add(20, {}, "(a) S 1 1 1 1 (b\n) S 1 7 7 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 500 2500000");
  CHECK(proc.with_pid(20, 500 * tick).outcome == outcome::found);
  CHECK(proc.with_pid(20, 499 * tick).outcome == outcome::none);
  int pid = 30;
  for (const std::string_view broken : {"", "sh S 1", "(sh)", "(sh) S 1 2 3",
                                        "(sh) S 1 7 7 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 -5 2500000",
                                        "(sh) S 1 7 7 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0"}) {
    CAPTURE(broken);
    proc.add(++pid, {}, broken);
    CHECK(proc.with_pid(static_cast<std::uint64_t>(pid)).outcome == outcome::none);
  }
}
