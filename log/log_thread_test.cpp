#include "log/log_thread.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstring>
#include <map>
#include <thread>

#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::log;
namespace json = boost::json;

namespace {

std::uint64_t dropped(const metrics::log_counters& counters, metrics::log_sink sink) {
  return counters.dropped[static_cast<std::size_t>(sink)].value();
}
std::uint64_t written(const metrics::log_counters& counters, metrics::log_sink sink) {
  return counters.written[static_cast<std::size_t>(sink)].value();
}
std::uint64_t errors(const metrics::log_counters& counters, metrics::log_sink sink) {
  return counters.errors[static_cast<std::size_t>(sink)].value();
}

proxy::event allowance() {
  proxy::event event = refusal("api.example");
  event.verdict = proxy::outcome::allow;
  event.reason = core::reason::allowed;
  return event;
}

}  // namespace

TEST_CASE("all lines go to the file, refusals to blocked.log as well") {
  const temporary_directory directory;
  metrics::log_counters counters;
  auto thread =
      log_thread::start({.file = directory / "exeat.log", .blocked = directory / "blocked.log"}, 2, counters);
  REQUIRE(thread);
  (*thread)->push(0, refusal());
  (*thread)->push(1, allowance());
  (*thread)->post(level::info, "ready", std::string(3000, 'x'));
  REQUIRE((*thread)->flush());
  const auto lines = lines_of(read_all(directory / "exeat.log"));
  CHECK(lines.size() == 3);
  const auto blocked = lines_of(read_all(directory / "blocked.log"));
  REQUIRE(blocked.size() == 1);
  CHECK(json::parse(blocked[0]).as_object().at("host") == "evil.example");
  CHECK(written(counters, metrics::log_sink::file) == 3);
  CHECK(written(counters, metrics::log_sink::blocked) == 1);
  const auto process = std::ranges::find_if(lines, [](auto& l) { return l.find("\"process\"") != l.npos; });
  REQUIRE(process != lines.end());
  CHECK(json::parse(*process).as_object().at("text").as_string().size() == 2000);
  struct stat status{};
  REQUIRE(::stat((directory / "blocked.log").c_str(), &status) == 0);
  CHECK((status.st_mode & 0137) == 0);
}

TEST_CASE("an event that nobody flushes arrives by itself, after a sleep as well") {
  const temporary_directory directory;
  metrics::log_counters counters;
  auto thread = log_thread::start({.file = directory / "l"}, 1, counters);
  REQUIRE(thread);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    (*thread)->push(0, refusal());
    while (written(counters, metrics::log_sink::file) < i)
      std::this_thread::yield();  // ctest ends it if never
    std::this_thread::sleep_for(std::chrono::milliseconds{15 * (i % 3)});
  }
  CHECK(lines_of(read_all(directory / "l")).size() == 5);
}

TEST_CASE("lines of one worker keep their order, and none is lost or doubled under load") {
  const temporary_directory directory;
  metrics::log_counters counters;
  constexpr unsigned workers = 4;
  constexpr std::uint64_t each = 5000;
  auto thread = log_thread::start({.file = directory / "l", .rotate_size = 0, .ring_size = 32 << 10}, workers,
                                  counters);
  REQUIRE(thread);
  std::vector<std::thread> pushers;
  for (unsigned w = 0; w < workers; ++w) {
    pushers.emplace_back([&, w] {
      for (std::uint64_t i = 1; i <= each; ++i) {
        proxy::event event = allowance();
        event.port = static_cast<std::uint16_t>(w + 1);
        event.bytes_up = i;
        (*thread)->push(w, event);
        if (i % 64 == 0) std::this_thread::yield();
      }
    });
  }
  for (std::thread& pusher : pushers) pusher.join();
  (*thread)->stop();
  std::map<std::int64_t, std::uint64_t> last;
  std::uint64_t received = 0;
  std::uint64_t told = 0;
  bool ordered = true;
  for (const std::string& line : lines_of(read_all(directory / "l"))) {
    const json::object object = json::parse(line).as_object();
    if (object.at("event") == "dropped") {
      told += object.at("count").to_number<std::uint64_t>();
      CHECK(object.at("sink") == "ring");
      continue;
    }
    ++received;
    const auto i = object.at("bytes_up").to_number<std::uint64_t>();
    ordered = ordered && i > last[object.at("port").as_int64()];
    last[object.at("port").as_int64()] = i;
  }
  CHECK(ordered);
  CHECK(received + told == workers * each);
  CHECK(dropped(counters, metrics::log_sink::ring) == told);
}

TEST_CASE("stop writes all that was pushed, and later messages harm nobody") {
  const temporary_directory directory;
  metrics::log_counters counters;
  auto thread = log_thread::start({.file = directory / "l"}, 1, counters);
  REQUIRE(thread);
  for (int i = 0; i < 500; ++i) (*thread)->push(0, refusal());
  (*thread)->stop();
  CHECK(lines_of(read_all(directory / "l")).size() == 500);
  (*thread)->post(level::info, "late", "late");
  (*thread)->reopen();
  CHECK((*thread)->flush(10));
  (*thread)->stop();
}

TEST_CASE("reopen goes on in a new file, and in the old one where that fails") {
  const temporary_directory directory;
  metrics::log_counters counters;
  const std::string file = directory / "d/l";
  std::filesystem::create_directory(directory / "d");
  auto thread = log_thread::start({.file = file}, 1, counters);
  REQUIRE(thread);
  (*thread)->push(0, refusal("one"));
  REQUIRE((*thread)->flush());
  std::filesystem::rename(file, directory / "moved");
  (*thread)->push(0, refusal("two"));
  REQUIRE((*thread)->flush());
  CHECK(lines_of(read_all(directory / "moved")).size() == 2);
  (*thread)->reopen();
  (*thread)->push(0, refusal("three"));
  REQUIRE((*thread)->flush());
  CHECK(lines_of(read_all(directory / "moved")).size() == 2);
  CHECK(lines_of(read_all(file)).size() == 1);

  std::filesystem::rename(directory / "d", directory / "e");
  (*thread)->reopen();
  (*thread)->push(0, refusal("four"));
  REQUIRE((*thread)->flush());
  const auto lines = lines_of(read_all(directory / "e/l"));
  REQUIRE(lines.size() == 3);
  CHECK(lines[1].find("log-reopen-failed") != std::string::npos);
  CHECK(errors(counters, metrics::log_sink::file) == 1);
}

TEST_CASE("a full disk is counted, loses nothing at first, and never ends the process") {
  metrics::log_counters counters;
  auto thread = log_thread::start({.file = "/dev/full"}, 1, counters);
  REQUIRE(thread);
  (*thread)->push(0, refusal());
  CHECK_FALSE((*thread)->flush(50));
  CHECK(errors(counters, metrics::log_sink::file) >= 1);
  CHECK(dropped(counters, metrics::log_sink::file) == 0);
  for (int i = 0; i < 1000; ++i) (*thread)->post(level::info, "x", std::string(2000, 'x'));
  CHECK_FALSE((*thread)->flush(50));
  (*thread)->stop();
  CHECK(written(counters, metrics::log_sink::file) == 0);
  CHECK(dropped(counters, metrics::log_sink::file) == 1001);
}

TEST_CASE("a pipe that nobody reads holds up neither the other targets nor the end, and tells what it lost") {
  const temporary_directory directory;
  metrics::log_counters counters;
  const std::string fifo = directory / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_FALSE(log_thread::start({.file = fifo}, 1, counters));  // no reader: an error, not a hang
  const int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  auto thread = log_thread::start({.file = fifo, .blocked = directory / "blocked"}, 1, counters);
  REQUIRE(thread);
  constexpr std::uint64_t total = 4000;
  for (std::uint64_t i = 0; i < total; ++i) {
    while (written(counters, metrics::log_sink::blocked) + 1000 < i) std::this_thread::yield();
    (*thread)->push(0, refusal());
  }
  while (written(counters, metrics::log_sink::blocked) < total) std::this_thread::yield();
  CHECK(dropped(counters, metrics::log_sink::file) > 0);
  CHECK(lines_of(read_all(directory / "blocked")).size() == total);

  // Once somebody reads, the rest comes whole, and the loss is told.
  std::string text;
  bool told = false;
  while (!told) {
    char buffer[65536];
    const auto size = ::read(reader, buffer, sizeof buffer);
    if (size > 0) text.append(buffer, static_cast<std::size_t>(size));
    told = text.find("\"dropped\"") != std::string::npos && text.back() == '\n';
    if (size <= 0) std::this_thread::yield();
  }
  std::uint64_t arrived = 0;
  std::uint64_t lost = 0;
  for (const std::string& line : lines_of(text)) {
    const json::object object = json::parse(line).as_object();
    if (object.at("event") == "dropped") {
      lost += object.at("count").to_number<std::uint64_t>();
    } else {
      ++arrived;
    }
  }
  CHECK(arrived + lost == total);
  ::close(reader);  // from here on EPIPE
  (*thread)->push(0, refusal());
  (*thread)->stop();
  CHECK(dropped(counters, metrics::log_sink::file) == lost + 1);
}

TEST_CASE("what cannot be opened is an error that names it") {
  const temporary_directory directory;
  metrics::log_counters counters;
  const std::string missing = directory / "missing/exeat.log";
  auto thread = log_thread::start({.file = missing}, 1, counters);
  REQUIRE_FALSE(thread);
  CHECK(thread.error() == "cannot open the log file " + missing + ": No such file or directory");
  CHECK_FALSE(log_thread::start({.file = directory / ""}, 1, counters));
  CHECK_FALSE(log_thread::start({.file = directory / "l", .blocked = directory / "l"}, 1, counters));
  CHECK_FALSE(log_thread::start({.ring_size = 100'000}, 1, counters));
}

TEST_CASE("no target at all is fine") {
  metrics::log_counters counters;
  auto thread = log_thread::start({}, 1, counters);
  REQUIRE(thread);
  (*thread)->push(0, refusal());
  CHECK((*thread)->flush());
}

TEST_CASE("an observer sees every event, and is told by verdict and reason what a full ring has dropped") {
  struct counting final : event_observer {
    void see(const proxy::event& event) noexcept override {
      ++seen;
      last_host = event.host == "evil.example";
    }
    void lost(proxy::outcome verdict, core::reason reason, std::uint64_t count) noexcept override {
      (verdict == proxy::outcome::deny && reason == core::reason::no_rule ? dropped : wrong) += count;
    }
    std::uint64_t seen = 0, dropped = 0, wrong = 0;
    bool last_host = false;
  } observer;
  metrics::log_counters counters;
  auto opened = log_thread::open({.ring_size = 16U << 10}, 2, counters);
  REQUIRE(opened);
  (*opened)->observe(&observer);
  proxy::event end = refusal();  // not counted by the metrics, and so no decision that is lost
  end.kind = proxy::event::kind::close;
  end.verdict = proxy::outcome::allow;
  for (unsigned i = 0; i < 100; ++i) {
    (*opened)->push(0, refusal());
    (*opened)->push(1, end);
  }
  REQUIRE((*opened)->begin());
  REQUIRE((*opened)->flush());
  (*opened)->stop();
  CHECK(observer.last_host);
  CHECK(observer.wrong == 0);
  CHECK(observer.dropped > 0);
  const auto all = counters.dropped[static_cast<std::size_t>(metrics::log_sink::ring)].value();
  CHECK(observer.seen == 200 - all);
  CHECK(observer.dropped < all);
}
