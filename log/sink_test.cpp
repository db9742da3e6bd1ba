#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "log/line_sink.hpp"
#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::log;

namespace {

void put(line_sink& sink, std::string_view line, spdlog::level::level_enum level = spdlog::level::info) {
  sink.log({{}, level, {line.data(), line.size()}});
}

struct fixture {
  temporary_directory directory;
  metrics::log_counters counters;
  std::string path = directory / "l";

  std::shared_ptr<line_sink> open(std::uint64_t rotate_size = 0, std::uint32_t keep = 3) {
    auto sink = open_file_sink(metrics::log_sink::file, counters, path, rotate_size, keep);
    REQUIRE(sink);
    return *sink;
  }
};

}  // namespace

TEST_CASE_FIXTURE(fixture, "files rotate between lines, the oldest goes, and no line is lost before that") {
  const auto sink = open(10, 2);
  for (const char* line : {"11111\n", "222\n", "3\n", "444444444\n", "a line longer than the limit\n", "6\n"})
    put(*sink, line);
  sink->flush();
  CHECK(read_all(path) == "6\n");
  CHECK(read_all(path + ".1") == "a line longer than the limit\n");
  CHECK(read_all(path + ".2") == "444444444\n");
  CHECK_FALSE(std::filesystem::exists(path + ".3"));
  CHECK(counters.errors[1].value() == 0);
}

TEST_CASE_FIXTURE(fixture, "the size of a file that was there counts") {
  std::ofstream(path) << "123456789\n";
  const auto sink = open(12, 5);
  put(*sink, "ab\n");
  sink->flush();
  CHECK(read_all(path) == "ab\n");
  CHECK(read_all(path + ".1") == "123456789\n");
}

TEST_CASE_FIXTURE(fixture, "with nothing to keep the file starts over") {
  const auto sink = open(8, 0);
  for (int i = 0; i < 3; ++i) put(*sink, "12345\n");
  sink->flush();
  CHECK(read_all(path) == "12345\n");
  CHECK_FALSE(std::filesystem::exists(path + ".1"));
}

TEST_CASE_FIXTURE(fixture, "where a rotation fails the file grows on") {
  std::filesystem::create_directories(path + ".1/not-empty");
  const auto sink = open(8, 1);
  for (int i = 0; i < 4; ++i) put(*sink, "12345\n");
  sink->flush();
  CHECK(read_all(path) == "12345\n12345\n12345\n12345\n");
  CHECK(counters.errors[1].value() >= 1);
}

TEST_CASE_FIXTURE(fixture, "a line that the last run left torn is ended first") {
  std::ofstream(path) << "whole\ntor";
  const auto sink = open();
  put(*sink, "new\n");
  sink->flush();
  CHECK(read_all(path) == "whole\ntor\nnew\n");
}

TEST_CASE_FIXTURE(fixture,
                  "a disk that fills in the middle of a line and gets room again leaves no torn line") {
  // RLIMIT_FSIZE is per process and raises a signal; a small pipe stands for the disk instead.
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const int capacity = ::fcntl(ends[1], F_SETPIPE_SZ, 4096);
  REQUIRE(capacity == 4096);
  const auto sink = open_stream_sink(metrics::log_sink::standard_output, counters, ends[1]);
  const std::string line = std::string(2999, 'x') + "\n";
  put(*sink, line);
  put(*sink, line);
  sink->flush();
  CHECK(counters.written[2].value() == 1);
  CHECK(sink->pending() > 0);
  CHECK_FALSE(sink->failed());
  std::string got;
  char buffer[4096];
  for (int i = 0; i < 3; ++i) {
    const auto size = ::read(ends[0], buffer, sizeof buffer);
    if (size > 0) got.append(buffer, static_cast<std::size_t>(size));
    sink->flush();
  }
  CHECK(got == line + line);
  CHECK(counters.written[2].value() == 2);
  CHECK(sink->pending() == 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE_FIXTURE(fixture, "beyond what may wait, whole lines are dropped and counted") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const auto sink = open_stream_sink(metrics::log_sink::standard_output, counters, ends[1]);
  const std::string line = std::string(9999, 'x') + "\n";
  for (int i = 0; i < 100; ++i) put(*sink, line);
  CHECK(sink->pending() <= line_sink::pending_max);
  const std::uint64_t lost = sink->drops();
  CHECK(lost > 0);
  CHECK(counters.dropped[2].value() == lost);
  sink->abandon();
  CHECK(counters.written[2].value() + counters.dropped[2].value() == 100);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE_FIXTURE(fixture, "the rest of a torn line does not go to the file that is opened after it") {
  // A FIFO that is full within a line, then a file in its place.
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const auto sink = open();
  const std::string line = std::string(49'999, 'x') + "\n";
  put(*sink, line);
  put(*sink, line);
  put(*sink, "next\n");
  sink->flush();
  REQUIRE(sink->pending() > 5);
  std::filesystem::remove(path);
  REQUIRE(sink->reopen());
  sink->flush();
  CHECK(read_all(path) == "next\n");
  CHECK(sink->drops() == 1);
  ::close(reader);
}

TEST_CASE_FIXTURE(fixture, "syslog takes one datagram per line, and survives a restart of the daemon") {
  const auto listen = [&] {
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    return fd;
  };
  const auto receive = [](int fd) {
    char buffer[4096];
    const auto size = ::recv(fd, buffer, sizeof buffer, 0);
    return size < 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(size));
  };
  CHECK_FALSE(open_syslog_sink(counters, path));
  int daemon = listen();
  auto sink = open_syslog_sink(counters, path);
  REQUIRE(sink);
  put(**sink, "{\"a\":1}\n", spdlog::level::warn);
  put(**sink, "second\n");
  (*sink)->flush();
  const std::string first = receive(daemon);
  CHECK(first.starts_with("<28>"));
  CHECK(first.ends_with(" exeat[" + std::to_string(::getpid()) + "]: {\"a\":1}"));
  CHECK(receive(daemon).starts_with("<30>"));
  ::close(daemon);
  ::unlink(path.c_str());
  put(**sink, "while away\n");
  (*sink)->flush();
  CHECK((*sink)->failed());
  CHECK((*sink)->pending() > 0);
  daemon = listen();
  (*sink)->flush();
  CHECK(receive(daemon).ends_with("while away"));
  CHECK((*sink)->pending() == 0);
  CHECK(counters.written[3].value() == 3);
  ::close(daemon);
}
