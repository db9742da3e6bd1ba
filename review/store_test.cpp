#include "review/store.hpp"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <limits>
#include <new>
#include <thread>

#include "log/test_event.hpp"
#include "review/proposals.hpp"
#include "review/query.hpp"

using namespace exeat;
using namespace exeat::review;
using namespace std::chrono_literals;

namespace {

std::int64_t total(const std::string& path) {
  return open_to_read(path)->number("SELECT coalesce(sum(count), 0) FROM groups");
}

struct running {
  explicit running(store_options wanted = {}) {
    options = std::move(wanted);
    options.database = path;
    options.on_trouble = [this](bool ok, const std::string&) { ok ? ++recoveries : ++troubles; };
    auto opened = store::open(options);
    REQUIRE_MESSAGE(opened, (opened ? "" : opened.error()));
    it = std::move(*opened);
    REQUIRE(it->begin());
  }
  void see(unsigned hosts, unsigned from = 0, std::string_view job = "") const {
    for (unsigned i = from; i < from + hosts; ++i) {
      const auto host = "h" + std::to_string(i) + ".example";
      auto event = log::refusal(host);
      event.job = job;
      event.time = std::chrono::system_clock::now();
      it->see(event);
    }
  }

  log::temporary_directory directory;
  std::string path = directory / "review.sqlite";
  store_options options;
  std::atomic<int> troubles{0}, recoveries{0};
  std::unique_ptr<store> it;
};

}  // namespace

TEST_CASE("what is seen is in the database after a flush, and adds up over runs") {
  running r;
  r.see(3);
  r.see(3);
  REQUIRE(r.it->flush());
  CHECK(total(r.path) == 6);
  CHECK(r.it->sample().decisions == 6);
  CHECK(r.it->sample().waiting == 0);
  r.see(1);
  CHECK(r.it->stop().empty());
  auto again = store::open(r.options);
  REQUIRE(again);
  REQUIRE((*again)->begin());
  (*again)->see(log::refusal("h0.example"));
  CHECK((*again)->stop().empty());
  auto reader = open_to_read(r.path);
  const auto page = blocked(*reader, {});
  REQUIRE(page);
  CHECK(page->groups_total == 3);
  CHECK(page->count_total == 8);
}

TEST_CASE("while another program holds the lock nothing is lost") {
  running r;
  r.see(2);
  REQUIRE(r.it->flush());
  {
    database holder(r.path, SQLITE_OPEN_READWRITE);
    transaction lock(holder);
    r.see(5, 1);
    CHECK_FALSE(r.it->flush());
    r.see(5, 2);
    CHECK_FALSE(r.it->flush());
    const auto sample = r.it->sample();
    CHECK(sample.waiting == 6);
    CHECK(sample.failures >= 2);
    CHECK(sample.trouble.find("database is locked") != std::string::npos);
    CHECK(r.troubles == 1);
  }
  CHECK(r.it->flush());
  CHECK(total(r.path) == 12);
  CHECK(r.it->sample().waiting == 0);
  CHECK(r.it->sample().trouble.empty());
  CHECK(r.it->sample().detail_lost == 0);
  CHECK(r.recoveries == 1);
}

TEST_CASE("a disk that is full costs detail beyond the bounds of memory, and no count") {
  store_options bounded;
  bounded.memory = {.groups_per_job = 100, .groups = 200};
  running r(bounded);
  r.see(1);
  REQUIRE(r.it->flush());
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight{1, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tight);
  bool wrote = false;
  for (unsigned i = 0; i < 4; ++i) {
    r.see(100, i * 100);
    wrote = r.it->flush() || wrote;
  }
  const auto sample = r.it->sample();
  ::setrlimit(RLIMIT_FSIZE, &before);
  CHECK_FALSE(wrote);
  CHECK(sample.waiting == 101);
  CHECK(sample.detail_lost == 300);
  CHECK_FALSE(sample.trouble.empty());
  REQUIRE(r.it->flush());
  CHECK(total(r.path) == 401);
  CHECK(r.it->sample().detail_lost == 300);
}

TEST_CASE("what cannot be written at the end is said") {
  running r;
  r.see(1);
  REQUIRE(r.it->flush());
  database holder(r.path, SQLITE_OPEN_READWRITE);
  transaction lock(holder);
  r.see(3);
  const auto text = r.it->stop();
  CHECK(text.starts_with("3 decisions are not in the review store: "));
}

TEST_CASE("a process that is killed loses at most the last second") {
  // A machine under load may hold its thread up for longer: one of a few tries counts.
  constexpr std::size_t most = 200'000;
  using times = std::array<std::atomic<std::int64_t>, most>;
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (int attempt = 0; attempt < 5 && best > 1'000'000; ++attempt) {
    const log::temporary_directory directory;
    const auto path = directory / "review.sqlite";
    void* shared = ::mmap(nullptr, sizeof(times), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(shared != MAP_FAILED);
    auto& seen = *new (shared) times;
    const auto child = ::fork();
    if (child == 0) {
      auto opened =
          store::open({.database = path, .bounds = {}, .memory = {}, .budgets = {}, .on_trouble = {}});
      if (!opened || !(*opened)->begin()) ::_exit(1);
      for (std::size_t i = 0; i < most; ++i) {
        const auto host = "h" + std::to_string(i) + ".example";
        auto event = log::refusal(host);
        event.time = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
        (*opened)->see(event);
        seen.at(i) = to_micros(event.time);
        std::this_thread::sleep_for(1ms);
      }
      ::_exit(0);
    }
    std::this_thread::sleep_for(2500ms);
    ::kill(child, SIGKILL);
    const auto killed = to_micros(std::chrono::system_clock::now());
    int status = 0;
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    auto after = open_to_write(path, 64U << 20);  // as the next start does
    REQUIRE_MESSAGE(after, (after ? "" : after.error()));
    statement check(after->get(), "PRAGMA integrity_check");
    REQUIRE(check.step());
    CHECK(check.text(0) == "ok");
    check.reset();
    std::int64_t oldest_lost = killed;
    for (std::size_t i = 0; i < most && seen.at(i) != 0; ++i) {
      statement there(after->get(), "SELECT 1 FROM groups WHERE host = ?");
      const auto host = "h" + std::to_string(i) + ".example";
      there.with(host);
      if (there.step()) continue;
      oldest_lost = std::min(oldest_lost, seen.at(i).load());
    }
    best = std::min(best, killed - oldest_lost);
    ::munmap(shared, sizeof(times));
  }
  CHECK(best <= 1'000'000);
}

TEST_CASE("decisions that a full ring has dropped are counted") {
  running r;
  r.it->lost(proxy::outcome::deny, core::reason::no_rule, 41);
  r.it->lost(proxy::outcome::deny, core::reason::no_rule, 1);
  REQUIRE(r.it->flush());
  auto reader = open_to_read(r.path);
  const auto page = blocked(*reader, {});
  REQUIRE(page);
  REQUIRE(page->groups.size() == 1);
  CHECK(page->groups[0].host == other_host);
  CHECK(page->groups[0].count == 42);
  CHECK(r.it->sample().detail_lost == 42);
}

TEST_CASE("one job's destinations are bounded, and no other job pays for it") {
  store_options bounded;
  bounded.bounds.groups_per_job = 10;
  running r(bounded);
  for (unsigned i = 0; i < 5; ++i) {
    r.see(10, i * 10, "noisy");
    REQUIRE(r.it->flush());
  }
  r.see(10, 0, "quiet");
  REQUIRE(r.it->flush());
  auto reader = open_to_read(r.path);
  CHECK(total(r.path) == 60);
  CHECK(reader->number("SELECT count(*) FROM groups WHERE job = 'noisy'") == 11);
  CHECK(reader->number("SELECT count FROM groups WHERE host = '(other)'") == 40);
  CHECK(reader->number("SELECT count(*) FROM groups WHERE job = 'quiet'") == 10);
  CHECK(r.it->sample().detail_lost == 40);
}

TEST_CASE("beyond its size the oldest groups become one, and the sum stays") {
  store_options bounded;
  bounded.bounds.max_size = 1U << 20;
  running r(bounded);
  for (unsigned i = 0; i < 10; ++i) {
    r.see(1000, i * 1000);
    REQUIRE(r.it->flush());
  }
  CHECK(total(r.path) == 10'000);
  auto reader = open_to_read(r.path);
  CHECK(r.it->sample().octets <= 1U << 20);
  CHECK(std::filesystem::file_size(r.path) < 3U << 19);
  CHECK(reader->number("SELECT count FROM groups WHERE host = '(other)'") > 0);
  CHECK(reader->number("SELECT count(*) FROM groups WHERE host = 'h9999.example'") == 1);
  CHECK(reader->number("SELECT count(*) FROM samples WHERE group_id NOT IN (SELECT id FROM groups)") == 0);
  CHECK(r.it->sample().detail_lost > 0);
}

TEST_CASE("more at once than the database may hold is written all the same") {
  store_options bounded;
  bounded.bounds.max_size = 1U << 20;
  running r(bounded);
  for (unsigned i = 0; i < 15'000; ++i) {
    const auto host = "h" + std::to_string(i) + ".example";
    auto event = log::refusal(host);
    const std::string command(500, 'x');
    event.command = command;
    r.it->see(event);
  }
  REQUIRE(r.it->flush(60'000));
  CHECK(total(r.path) == 15'000);
  CHECK(r.it->sample().octets <= 1U << 20);
  CHECK(r.it->sample().failures == 0);
}

TEST_CASE("what was not seen for long is forgotten") {
  log::temporary_directory directory;
  ledger book(std::move(*open_to_write(directory / "x", 1U << 20)), {.max_age = 24h});
  aggregate all;
  auto event = log::refusal("old.example");
  all.add(event);
  event.host = "new.example";
  event.time += 48h;
  all.add(event);
  std::uint64_t lost = 0;
  book.write(all, lost);
  CHECK(all.empty());
  book.forget_old(event.time + 1h);
  CHECK(book.connection().number("SELECT count(*) FROM groups") == 1);
  CHECK(book.connection().number("SELECT count(*) FROM samples") == 2);
  CHECK(book.connection().number("SELECT count(*) FROM groups WHERE host = 'new.example'") == 1);
}

TEST_CASE("others write on the store's thread, between its own writes") {
  running r;
  r.see(1);
  const auto id = std::make_shared<std::int64_t>(0);
  REQUIRE(r.it->call([id](database& on) {
    if (const auto filed = file(on, {.requester = "uid 7", .phase = "agent", .host = "a.example"}, {}, {}))
      *id = filed->id;
  }));
  CHECK(*id == 1);
  REQUIRE(r.it->flush());
  CHECK(total(r.path) == 1);
  r.it->stop();
  CHECK_FALSE(r.it->call([](database&) {}));
}
