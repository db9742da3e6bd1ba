#include "identity/process_finder.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace exeat::identity;

namespace {

using outcome = lookup_outcome;
constexpr ::uid_t nobody = 65534;
constexpr auto own_uid = static_cast<::uid_t>(-1);
constexpr int patience_ms = 20'000;  // nothing waits so long unless something is broken
// What a look-up costs on a busy machine is none of these tests' business, but where they say so.
constexpr lookup_bounds unhurried{.time = std::chrono::seconds(10), .burst = std::chrono::hours(1)};

std::uint64_t inode_of(int socket) {
  struct stat found{};
  return ::fstat(socket, &found) == 0 ? found.st_ino : 0;
}

// Both ends of a TCP connection over loopback, the first the client's.
struct connection {
  int client = -1;
  int server = -1;

  connection() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof at;
    client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&at), size) == 0 && ::listen(listener, 1) == 0 &&
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) == 0 &&
        ::connect(client, reinterpret_cast<sockaddr*>(&at), size) == 0)
      server = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    ::close(listener);
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() {
    hand_over();
    ::close(server);
  }
  // The client's end is somebody else's from now on.
  void hand_over() {
    if (client >= 0) ::close(std::exchange(client, -1));
  }
};

// A shell that waits, holds `sockets`, and was given `arguments`. Gone with the object.
class shell {
 public:
  shell(const std::vector<int>& sockets, const std::vector<std::string>& arguments = {},
        ::uid_t uid = own_uid) {
    std::array<int, 2> started{}, waits{};
    if (::pipe2(started.data(), O_CLOEXEC) != 0 || ::pipe2(waits.data(), O_CLOEXEC) != 0) return;
    std::vector<std::string> words{"/bin/sh", "-c", "read x"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(waits[0], 0);
      for (const int one : sockets) ::fcntl(one, F_SETFD, 0);
      if (uid != own_uid && ::setresuid(uid, uid, uid) != 0) ::_exit(1);
      ::execv("/bin/sh", argv.data());
      ::_exit(1);
    }
    ::close(started[1]);
    ::close(waits[0]);
    lifeline_ = waits[1];
    char end = 0;
    static_cast<void>(::read(started[0], &end, 1));  // ends with exec()
    ::close(started[0]);
  }
  shell(const shell&) = delete;
  shell& operator=(const shell&) = delete;
  ~shell() { end(); }

  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, 0), nullptr, 0);
    ::close(lifeline_);
  }
  ::pid_t pid() const { return pid_; }
  std::string exe() const {
    std::error_code failed;
    return std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid_), failed).string();
  }

 private:
  ::pid_t pid_ = 0;
  int lifeline_ = -1;
};

bool is_readable(int descriptor) {
  pollfd one{.fd = descriptor, .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, patience_ms) == 1;
}

process_answer asked(process_finder& finder, const process_question& question, unsigned worker = 0) {
  if (finder.ask(worker, question) && is_readable(finder.descriptor(worker))) {
    if (const auto answer = finder.receive(worker)) return *answer;
  }
  return {.id = ~question.id, .outcome = outcome::unavailable};
}

std::string status_field(::pid_t pid, const std::string& name) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":\t")) return line.substr(name.size() + 2);
  }
  return {};
}

std::uint64_t now_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

// The helper of a root without CAP_SYS_PTRACE (that of a container, say) becomes nobody, and sees nobody
// else.
bool sees_ours(const process_finder& finder) {
  return finder.sees_all() || ::geteuid() != 0;
}

// Runs a scenario, which says what went wrong or nothing, as another user in a process of its own.
using scenario = std::function<std::string()>;
std::string run_as(::uid_t uid, const scenario& run) {
  std::array<int, 2> told{};
  if (::pipe2(told.data(), O_CLOEXEC) != 0) return "no pipe";
  const auto child = ::fork();
  if (child == 0) {
    std::string said = "cannot become another user";
    if (::setgroups(0, nullptr) == 0 && ::setresgid(uid, uid, uid) == 0 && ::setresuid(uid, uid, uid) == 0)
      said = run();
    static_cast<void>(::write(told[1], said.data(), said.size()));
    ::_exit(said.empty() ? 0 : 1);
  }
  ::close(told[1]);
  std::string said;
  std::array<char, 512> buffer;
  for (::ssize_t size = 0; (size = ::read(told[0], buffer.data(), buffer.size())) > 0;)
    said.append(buffer.data(), static_cast<std::size_t>(size));
  ::close(told[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return status == 0 || !said.empty() ? said : fmt::format("it ended with {}", status);
}

// A user namespace may have no other uid than root's.
bool has_nobody() {
  return ::geteuid() == 0 && run_as(nobody, [] { return std::string(); }).empty();
}

// As who runs the tests, and where that is root as nobody too.
void run_as_both(const scenario& run) {
  CHECK(run() == "");
  if (has_nobody()) CHECK(run_as(nobody, run) == "");
}

std::string difference(const process_answer& answer, const shell& wanted, std::uint64_t id) {
  if (answer.id != id) return fmt::format("the answer {} for the question {}", answer.id, id);
  if (answer.outcome != outcome::found) return fmt::format("outcome {}", static_cast<int>(answer.outcome));
  if (answer.pid != wanted.pid()) return fmt::format("pid {}, not {}", answer.pid, wanted.pid());
  if (wanted.exe().empty() || answer.exe.view() != wanted.exe())
    return fmt::format("exe {}, not {}", answer.exe.view(), wanted.exe());
  if (!answer.cmdline.view().starts_with("/bin/sh -c read x"))
    return fmt::format("cmdline {}", answer.cmdline.view());
  std::ifstream groups(fmt::format("/proc/{}/cgroup", wanted.pid()));
  std::string line;
  while (std::getline(groups, line) && !line.starts_with("0::")) {
  }
  if (answer.cgroup.view() != (line.empty() ? "" : line.substr(3)))
    return fmt::format("cgroup {}", answer.cgroup.view());
  return {};
}

}  // namespace

TEST_CASE("the process behind a socket is found by its inode, and by its pid") {
  run_as_both([]() -> std::string {
    auto finder = process_finder::start(2, unhurried);
    if (!finder) return finder.error();
    if (!sees_ours(**finder)) return {};
    connection made;
    const auto inode = inode_of(made.client);
    shell client({made.client}, {"name", "argument"});
    made.hand_over();
    for (const unsigned worker : {0U, 1U}) {
      const auto answer = asked(**finder, {.id = 7 + worker, .value = inode}, worker);
      if (auto wrong = difference(answer, client, 7 + worker); !wrong.empty()) return "by inode: " + wrong;
      if (answer.holders != 1) return fmt::format("{} holders", answer.holders);
      if (answer.cmdline.view() != "/bin/sh -c read x name argument") return "its arguments";
    }
    const process_question by_pid{.id = 9,
                                  .kind = process_question::by::pid,
                                  .value = static_cast<std::uint64_t>(client.pid()),
                                  .connected = now_since_boot()};
    return difference(asked(**finder, by_pid), client, 9);
  });
}

TEST_CASE("root's helper finds the process of another user, and holds nothing else of root") {
  if (!has_nobody()) return;
  auto finder = process_finder::start(3, unhurried);
  REQUIRE(finder);
  auto& it = **finder;
  if (!it.sees_all()) return;  // a container without CAP_SYS_PTRACE
  connection made;
  const auto inode = inode_of(made.client);
  const shell client({made.client}, {}, 12'345);
  made.hand_over();
  CHECK(difference(asked(it, {.id = 1, .value = inode}), client, 1) == "");

  constexpr const char* ptrace_and_read_search = "0000000000080004";
  CHECK(status_field(it.pid(), "CapPrm") == ptrace_and_read_search);
  CHECK(status_field(it.pid(), "CapEff") == ptrace_and_read_search);
  CHECK(status_field(it.pid(), "CapInh") == "0000000000000000");
  CHECK(status_field(it.pid(), "CapBnd") == "0000000000000000");
  CHECK(status_field(it.pid(), "CapAmb") == "0000000000000000");
  CHECK(status_field(it.pid(), "NoNewPrivs") == "1");
  CHECK(status_field(it.pid(), "Uid") == "65534\t65534\t65534\t65534");
  CHECK(status_field(it.pid(), "Gid") == "65534\t65534\t65534\t65534");
  CHECK(status_field(it.pid(), "Groups").find_first_not_of(' ') == std::string::npos);
  int descriptors = 0;
  for (const auto& one : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", it.pid()))) {
    static_cast<void>(one);
    ++descriptors;
  }
  CHECK(descriptors == 3 + 3 + 1);  // /dev/null three times, a socket for each worker, /proc
}

TEST_CASE("without privileges another user's process is unavailable, which is not the same as none") {
  if (!has_nobody()) return;
  connection made;
  const auto inode = inode_of(made.client);
  const shell client({made.client});  // root's
  made.hand_over();
  CHECK(run_as(nobody, [&]() -> std::string {
          auto finder = process_finder::start(1, unhurried);
          if (!finder) return finder.error();
          if ((*finder)->sees_all()) return "it says that it sees all";
          const auto answer = asked(**finder, {.id = 1, .value = inode});
          return answer.id == 1 && answer.outcome == outcome::unavailable && answer.cmdline.size == 0
                     ? ""
                     : "it was found";
        }) == "");
}

TEST_CASE("whatever a process writes into its arguments, the answer is bounded") {
  run_as_both([]() -> std::string {
    auto finder = process_finder::start(1, unhurried);
    if (!finder) return finder.error();
    if (!sees_ours(**finder)) return {};
    connection made;
    const auto inode = inode_of(made.client);
    std::string hostile = "\n{\"a\":\x1b[31m\r\xff\xfe";
    hostile += std::string(100'000, 'A');
    const shell client({made.client}, {hostile, "\"", ""});
    made.hand_over();
    const auto answer = asked(**finder, {.id = 1, .value = inode});
    if (auto wrong = difference(answer, client, 1); !wrong.empty()) return wrong;
    if (answer.cmdline.view() != ("/bin/sh -c read x " + hostile).substr(0, 512)) return "its arguments";
    return answer.cmdline.view().find('\0') == std::string_view::npos ? "" : "a NUL";
  });
}

TEST_CASE("of several that hold the socket the lowest pid is told, and how many there are") {
  auto finder = process_finder::start(1, unhurried);
  REQUIRE(finder);
  if (!sees_ours(**finder)) return;
  connection made;
  const auto inode = inode_of(made.client);
  const shell one({made.client}), two({made.client}), three({});
  made.hand_over();
  const auto answer = asked(**finder, {.id = 1, .value = inode});
  CHECK(answer.outcome == outcome::found);
  CHECK(answer.holders == 2);
  CHECK(answer.pid == std::min(one.pid(), two.pid()));
}

TEST_CASE("who is gone is not found, nor who has the number only") {
  auto finder = process_finder::start(1, unhurried);
  REQUIRE(finder);
  auto& it = **finder;
  connection made;
  const auto inode = inode_of(made.client);
  shell client({made.client});
  made.hand_over();
  const auto pid = static_cast<std::uint64_t>(client.pid());
  const auto by_pid = [&](std::uint64_t value, std::uint64_t connected) {
    return asked(it, {.id = 4, .kind = process_question::by::pid, .value = value, .connected = connected});
  };
  CHECK(by_pid(pid, 0).outcome == outcome::found);
  const auto before = by_pid(pid, 1);
  CHECK(before.id == 4);
  CHECK(before.outcome == outcome::none);
  CHECK(before.cmdline.size == 0);
  client.end();
  // Some machine keeps one of its processes from everybody: then nobody knows.
  const auto is_found = [](const process_answer& one) {
    return one.outcome == outcome::found || one.pid != 0;
  };
  const auto answer = asked(it, {.id = 5, .value = inode});
  CHECK(answer.id == 5);
  CHECK_FALSE(is_found(answer));
  CHECK(by_pid(pid, 0).outcome == outcome::none);
  CHECK(by_pid(0, 0).outcome == outcome::none);
  CHECK(by_pid(~0ULL, 0).outcome == outcome::none);
  CHECK_FALSE(is_found(asked(it, {.id = 6, .value = 0})));
  // The one who asks is not the answer: it is the proxy, and holds thousands.
  CHECK_FALSE(is_found(asked(it, {.id = 7, .value = inode_of(made.server)})));
}

TEST_CASE("past its bounds a look-up says that it does not know") {
  connection made;
  const shell client({made.client});
  const int proc = ::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  REQUIRE(proc >= 0);
  const process_question question{.id = 3, .value = inode_of(made.client)};
  const std::array self{::getpid()};
  recent_holders recent;
  const auto with = [&](lookup_bounds bounds) {
    return look_up(proc, question, bounds, self, recent).outcome;
  };
  CHECK(with({.time = std::chrono::hours(1), .descriptors = 1'000'000}) == outcome::found);
  recent = {};
  CHECK(with({.time = std::chrono::hours(1), .descriptors = 0}) == outcome::unavailable);
  CHECK(with({.time = std::chrono::hours(1), .descriptors = 1}) == outcome::unavailable);
  CHECK(with({.time = std::chrono::milliseconds(0), .descriptors = 1'000'000}) == outcome::unavailable);
  ::close(proc);
}

TEST_CASE("of the processes found lately the last few are kept, the latest first") {
  recent_holders recent;
  for (const ::pid_t pid : {1, 2, 3, 2, 4, 5, 3}) recent.note(pid);
  const auto kept = recent.all();
  CHECK(std::vector(kept.begin(), kept.end()) == std::vector<::pid_t>{3, 5, 4, 2});
}

TEST_CASE("look-ups may take so much processor time at once, and one part in a hundred in the long run") {
  using namespace std::chrono_literals;
  const auto start = lookup_allowance::clock::now();
  lookup_allowance allowance(20ms, 100);
  int taken = 0;
  for (; allowance.has(start); ++taken) allowance.take(start, 1ms);
  CHECK(taken == 21);  // the last one overdraws
  CHECK_FALSE(allowance.has(start + 99ms));
  CHECK(allowance.has(start + 100ms));
  taken = 0;
  for (auto now = start; now < start + 100s; now += 1ms) {
    if (!allowance.has(now)) continue;
    allowance.take(now, 500us);
    allowance.settle(500us);
    ++taken;
  }
  CHECK(taken >= 998);
  CHECK(taken <= 1'000);  // 1 s of 100
  // One that took long is made up for.
  const auto later = start + 1h;
  allowance.take(later, 1ms);
  allowance.settle(119ms);
  CHECK_FALSE(allowance.has(later + 9s));
  CHECK(allowance.has(later + 10s));
  allowance.settle(-1ms);
}

TEST_CASE("a helper whose look-ups have had their share is not asked") {
  auto finder = process_finder::start(1, {.burst = std::chrono::milliseconds(1)});
  REQUIRE(finder);
  auto& it = **finder;
  ::kill(it.pid(), SIGSTOP);
  const process_question question{
      .id = 1, .kind = process_question::by::pid, .value = static_cast<std::uint64_t>(::getpid())};
  unsigned asked = 0;
  while (it.may_ask() && it.ask(0, question)) ++asked;
  CHECK(asked == 2);  // of half a millisecond each, as long as nobody knows better
  CHECK_FALSE(it.may_ask());
  CHECK_FALSE(it.ask(0, question));
  CHECK_FALSE(it.is_gone(0));
  ::kill(it.pid(), SIGCONT);
  for (unsigned i = 0; i < asked; ++i) {
    REQUIRE(is_readable(it.descriptor(0)));
    CHECK(it.receive(0));
  }
}

TEST_CASE("so many questions wait and no more; each is answered") {
  auto finder = process_finder::start(1, unhurried);
  REQUIRE(finder);
  auto& it = **finder;
  CHECK_FALSE(it.receive(0));
  ::kill(it.pid(), SIGSTOP);
  const auto self = static_cast<std::uint64_t>(::getpid());
  for (std::uint64_t id = 0; id < process_finder::max_waiting; ++id)
    CHECK(it.ask(0, {.id = id, .kind = process_question::by::pid, .value = self}));
  CHECK_FALSE(it.ask(0, {.id = 99, .kind = process_question::by::pid, .value = self}));
  CHECK_FALSE(it.is_gone(0));
  ::kill(it.pid(), SIGCONT);
  for (std::uint64_t id = 0; id < process_finder::max_waiting; ++id) {
    REQUIRE(is_readable(it.descriptor(0)));
    const auto answer = it.receive(0);
    REQUIRE(answer);
    CHECK(answer->id == id);
    CHECK(answer->pid == ::getpid());
  }
  CHECK_FALSE(it.receive(0));
  CHECK(it.ask(0, {.id = 99, .kind = process_question::by::pid, .value = self}));
}

TEST_CASE("what a terminal sends to all does not end the helper; killed, it is gone for good") {
  run_as_both([]() -> std::string {
    auto finder = process_finder::start(2, unhurried);
    if (!finder) return finder.error();
    auto& it = **finder;
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1}) ::kill(it.pid(), number);
    const process_question question{
        .id = 1, .kind = process_question::by::pid, .value = static_cast<std::uint64_t>(::getpid())};
    if (asked(it, question).outcome != outcome::found) return "a signal ended it";
    ::kill(it.pid(), SIGKILL);
    if (!is_readable(it.descriptor(0))) return "nobody was told";
    if (it.receive(0) || !it.is_gone(0)) return "it is not gone";
    if (it.ask(0, question) || it.ask(1, question) || !it.is_gone(1)) return "it was asked all the same";
    if (it.receive(0) || it.receive(1)) return "an answer";
    return {};
  });
}

TEST_CASE("the helper ends with the process that started it, also one that is killed") {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // what it leaves behind becomes ours
  for (const bool is_killed : {false, true}) {
    std::array<int, 2> told{};
    REQUIRE(::pipe2(told.data(), O_CLOEXEC) == 0);
    const auto parent = ::fork();
    if (parent == 0) {
      auto finder = process_finder::start(1, unhurried);
      const ::pid_t helper = finder ? (*finder)->pid() : 0;
      static_cast<void>(::write(told[1], &helper, sizeof helper));
      if (!is_killed) ::_exit(0);
      ::pause();
    }
    ::pid_t helper = 0;
    REQUIRE(::read(told[0], &helper, sizeof helper) == sizeof helper);
    ::close(told[0]);
    ::close(told[1]);
    if (is_killed) ::kill(parent, SIGKILL);
    CHECK(::waitpid(parent, nullptr, 0) == parent);
    REQUIRE(helper > 0);
    CHECK(::waitpid(helper, nullptr, 0) == helper);  // the time limit of the test is the bound
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
}

TEST_CASE("the destructor leaves no process behind; nobody to ask for is an error") {
  ::pid_t helper = 0;
  {
    auto finder = process_finder::start(1, unhurried);
    REQUIRE(finder);
    helper = (*finder)->pid();
    CHECK(::kill(helper, 0) == 0);
  }
  CHECK(::waitpid(helper, nullptr, WNOHANG) == -1);
  CHECK_FALSE(process_finder::start(0));
}
