// Random calls, restarts, crashes and damage against book_model.hpp. What a call that returned has sealed is
// sealed after each of them, until new_job().
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

#include "jobs/book_model.hpp"
#include "jobs/test_directory.hpp"

namespace exeat::jobs {
namespace {

namespace fs = std::filesystem;

// A call that a child has begun or, with what came of it, ended.
struct news {
  call one;
  std::array<char, 16> given{};
  bool ended = false;
  bool done = false;
};
static_assert(sizeof(news) <= 512, "a write to a pipe must not be split");

book opened(const test_directory& at, const plan& declared) {
  auto out = book::open(at.state(), declared);
  REQUIRE(out);
  return std::move(*out);
}

// What the book shows and the model does not, or the other way round; empty: the same.
std::string difference(const book& of, const model& wanted) {
  if (shown(of, *of.implicit()) != implicit_view(wanted)) return "the implicit job";
  const auto jobs = of.open_jobs();
  if (jobs.size() != wanted.open.size()) return "the number of jobs";
  for (const auto& live : jobs) {
    const auto at = wanted.open.find(live->id());
    if (at == wanted.open.end()) return "a job that should not be";
    auto expected = at->second;
    expected.hours = 0;
    if (shown(of, *live) != expected) return "an explicit job";
  }
  return {};
}

// Calls until it is killed; what it says of each is in the pipe before the next one begins.
[[noreturn]] void child(const test_directory& at, model of, std::mt19937 random, int pipe) {
  auto now = book::open(at.state(), of.declared);
  if (!now) ::_exit(3);
  for (;;) {
    news told{.one = random_call(random, of)};
    if (::write(pipe, &told, sizeof told) != sizeof told) ::_exit(4);
    std::string given;
    told.done = perform(*now, told.one, given);
    told.ended = true;
    put_in(told.given, given);
    of.perform(told.one, given);
    if (::write(pipe, &told, sizeof told) != sizeof told) ::_exit(4);
  }
}

struct crash {
  std::vector<news> ended;
  std::optional<call> begun;  // the one that the kill has cut
};

crash run_and_kill(const test_directory& at, const model& of, std::mt19937& random) {
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  const std::mt19937 seed(random());
  const auto pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::close(pipe[0]);
    child(at, of, seed, pipe[1]);
  }
  ::close(pipe[1]);
  // From its first call on, lest it mostly dies before it has done anything.
  ::pollfd first{.fd = pipe[0], .events = POLLIN, .revents = 0};
  (void)::poll(&first, 1, -1);
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 6000));
  ::kill(pid, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status));
  crash out;
  news told;
  while (::read(pipe[0], &told, sizeof told) == sizeof told) {
    if (told.ended) out.ended.push_back(told);
    if (told.ended)
      out.begun.reset();
    else
      out.begun = told.one;
  }
  ::close(pipe[0]);
  return out;
}

// Brings the model to what the book shows, where that is one of the two: the cut call did nothing, or all.
void settle(const book& found, model& of, const std::optional<call>& begun) {
  auto done = of;
  if (begun && begun->what != deed::open) done.perform(*begun, "");
  const auto view = shown(found, *found.implicit());
  if (view != implicit_view(of)) {
    CHECK(view == implicit_view(done));
    of.implicit = done.implicit;
  }
  std::size_t strangers = 0;
  std::map<std::string, model_job> jobs;
  for (const auto& live : found.open_jobs()) {
    const auto seen = shown(found, *live);
    const auto before = of.open.find(live->id());
    if (before == of.open.end()) {
      ++strangers;  // whose id nobody has been told
      REQUIRE(begun);
      CHECK(begun->what == deed::open);
      const auto& as = jobs[live->id()] = {.plan = plans()[begun->plan],
                                           .current = 0,
                                           .ended = ending::none,
                                           .hours = begun->number,
                                           .policy = {}};
      CHECK(seen.plan == as.plan);
      continue;
    }
    const auto after = done.open.find(live->id());
    for (const auto& candidates = {before, after}; const auto& one : candidates) {
      if (one == of.open.end() || one == done.open.end()) continue;
      auto expected = one->second;
      expected.hours = 0;
      if (seen == expected) jobs[live->id()] = one->second;
    }
    CHECK(jobs.contains(live->id()));
  }
  CHECK(strangers <= 1);
  for (const auto& [id, job] : of.open) {
    if (!jobs.contains(id)) CHECK_FALSE(done.open.contains(id));
  }
  of.open = jobs;
}

// One file cut short or changed: what it says must be sealed or not there, and nothing else may change.
void damage(const test_directory& at, const model& of, std::mt19937& random) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(at.state())) files.push_back(entry.path());
  std::ranges::sort(files);
  const auto& file = files[random() % files.size()];
  const auto name = file.filename().string();
  CAPTURE(name);
  const auto whole = text_of(file);
  auto text = whole;
  const auto place = random() % text.size();
  if (random() % 2 == 0) {
    text.resize(place);
  } else {
    text[place] = static_cast<char>(static_cast<unsigned char>(text[place]) ^ (1U << (random() % 8)));
  }
  put_text(file, text);
  const bool all = name == store::marker;
  const bool policy = name.starts_with("policy-");
  const auto hit = [&](const std::string& id, const model_job& job) {
    return all || (policy ? job.policy && name == "policy-" + hex_of(*sha256_of(*job.policy))
                          : name == (id.empty() ? std::string(store::implicit_job) : id));
  };
  const auto backup = fs::path(at.path()) / "backup";
  fs::remove_all(backup);
  fs::copy(at.state(), backup);
  {
    const auto now = opened(at, of.declared);
    CHECK_FALSE(now.trouble().empty());
    const auto view = shown(now, *now.implicit());
    if (hit("", of.implicit)) {
      CHECK(view.current == of.declared.end());
      CHECK(view.ended == ending::state_damaged);
    } else {
      CHECK(view == implicit_view(of));
    }
    std::size_t expected = 0;
    for (const auto& [id, job] : of.open) {
      const auto jobs = now.open_jobs();
      const auto there = std::ranges::any_of(jobs, [&](const auto& live) { return live->id() == id; });
      CHECK(there != hit(id, job));
      if (there) ++expected;
    }
    CHECK(now.open_jobs().size() == expected);
  }
  // What was in it comes back, as from a disk that has been repaired, with what open() has swept out.
  for (const auto& entry : fs::directory_iterator(backup)) {
    const auto target = at.state() + "/" + entry.path().filename().string();
    put_text(target, text_of(entry.path()));
  }
  put_text(file, whole);
}

// So many rounds of calls in this process, a restart, calls in a child that is killed, a restart, and damage.
void rounds(unsigned seed, int count, std::size_t& calls, std::size_t& cut) {
  CAPTURE(seed);
  std::mt19937 random(seed);
  const test_directory at(memory_directory());
  REQUIRE(init_state(at.state()));
  model of;
  of.reopen(plans()[0]);
  for (int round = 0; round < count; ++round) {
    CAPTURE(round);
    {
      auto now = opened(at, of.declared);
      REQUIRE(difference(now, of).empty());
      for (int i = 0; i < 16; ++i) {
        const auto one = random_call(random, of);
        CAPTURE(static_cast<int>(one.what));
        const auto held = now.implicit();
        const auto before = held->current();
        std::string given;
        const bool done = perform(now, one, given);
        REQUIRE(of.perform(one, given) == done);
        REQUIRE(difference(now, of) == "");
        CHECK(held->current() >= before);
        ++calls;
      }
    }
    const auto told = run_and_kill(at, of, random);
    for (const auto& each : told.ended) REQUIRE(of.perform(each.one, text_in(each.given)) == each.done);
    calls += told.ended.size();
    if (told.begun) ++cut;
    {
      const auto now = opened(at, of.declared);
      CHECK(now.trouble().empty() == !of.implicit_is_foreign());
      settle(now, of, told.begun);
      REQUIRE(difference(now, of).empty());
    }
    if (random() % 3 == 0) damage(at, of, random);
    if (random() % 4 == 0) of.reopen(plans()[random() % plans().size()]);
  }
}

TEST_CASE("No order of calls, restarts, crashes and damage unseals anything") {
  (void)model_start();
  std::size_t calls = 0;
  std::size_t cut = 0;
  for (const unsigned seed : {1U, 20260U, 777U, 4'000'000'000U}) rounds(seed, 60, calls, cut);
  MESSAGE(calls << " calls, " << cut << " of 240 kills within one");
  CHECK(calls >= 4UL * 60 * 16);
}

TEST_CASE("init killed at any place can be done again, or is done") {
  std::mt19937 random(5);
  for (int i = 0; i < 60; ++i) {
    const test_directory at(memory_directory());
    const auto pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      ::_exit(init_state(at.state()) ? 0 : 1);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    ::kill(pid, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
    const bool initialised = fs::exists(at.state() + "/exeat-state");
    {
      const auto now = opened(at, plans()[0]);
      CHECK(now.implicit()->current() == (initialised ? 0 : plans()[0].end()));
    }
    CHECK(init_state(at.state()).has_value() == !initialised);
    CHECK(opened(at, plans()[0]).implicit()->current() == 0);
  }
}

}  // namespace
}  // namespace exeat::jobs
