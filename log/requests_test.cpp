#include "log/requests.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <vector>

using namespace exeat::log;

namespace {

constexpr const char* decision =
    R"({"time":"2026-11-20T12:03:44.000123Z","event":"decision","decision":"0N6M4ZVY5F3QK","phase":"agent","method":"CONNECT","scheme":"https","host":"a.example","port":443,"address":"192.0.2.1","verdict":"deny","reason":"no-rule","rule":"agent/x"})";

requests_read read(const std::string& text, std::vector<std::string>& seen) {
  std::istringstream in(text);
  return read_requests(in, [&](const recorded_request& r) {
    std::string line;
    for (const auto part :
         {r.time, r.phase, r.scheme, r.method, r.host, r.address, r.verdict, r.reason, r.rule})
      line.append(part).append(" ");
    seen.push_back(line + std::to_string(r.port));
  });
}

}  // namespace

TEST_CASE("the decisions of a log, and no other lines of it") {
  std::vector<std::string> seen;
  const auto count = read(std::string(decision) + "\n" +
                              R"({"time":"2026-11-20T12:03:44.000123Z","event":"close","decision":"0"})"
                              "\n" +
                              R"({"time":"2026-11-20T12:03:44.000123Z","event":"process","text":"ready"})"
                              "\n\n" +
                              R"({"time":"2026-11-20T12:03:44.000123Z","event":"dropped","count":7})"
                              "\n" +
                              decision,
                          seen);
  CHECK(count.decisions == 2);
  CHECK(count.lost == 7);
  CHECK(count.malformed == 0);
  REQUIRE(seen.size() == 2);
  CHECK(seen[1] ==
        "2026-11-20T12:03:44.000123Z agent https CONNECT a.example 192.0.2.1 deny no-rule agent/x 443");
}

TEST_CASE("tunnels that were cut for what they carried, where somebody asks for them") {
  std::istringstream in(
      std::string(decision) + "\n" +
      R"({"event":"close","phase":"agent","host":"a.example","port":443,"verdict":"deny","reason":"sni-mismatch"})"
      "\n"
      R"({"event":"close","phase":"agent","host":"a.example","port":443,"verdict":"would_deny","reason":"not-tls"})"
      "\n"
      R"({"event":"close","phase":"agent","host":"a.example","port":443,"verdict":"allow","reason":"allowed"})"
      "\n"
      R"({"event":"close","verdict":"deny","port":65536})");
  unsigned visited = 0;
  std::vector<std::string> cut;
  const auto count = read_requests(
      in, [&](const recorded_request&) { ++visited; },
      [&](const recorded_request& r) { cut.push_back(std::string(r.host) + " " + std::string(r.reason)); });
  CHECK(visited == 1);
  CHECK(count.decisions == 1);
  CHECK(count.malformed == 1);
  CHECK(cut == std::vector<std::string>{"a.example sni-mismatch", "a.example not-tls"});
}

TEST_CASE("what is no line of a log is counted, whatever it is") {
  std::vector<std::string> seen;
  const std::string deep(5000, '[');
  const auto count = read("nonsense\n{}\n[]\n" + deep + "\n" + std::string(200'000, 'x') +
                              "\n{\"event\":\"decision\",\"port\":65536}\n{\"event\":7}\n" + decision + "\n",
                          seen);
  CHECK(count.malformed == 7);
  CHECK(seen.size() == 1);
  // Values of another type read as absent.
  const auto odd = read(R"({"event":"decision","host":["a"],"port":-1,"phase":null})", seen);
  CHECK(odd.decisions == 1);
  CHECK(seen.back() == "         0");
}

TEST_CASE("a log that cannot be read is named") {
  requests_read count;
  std::istringstream standard_input(decision);
  const auto ignore = [](const recorded_request&) {};
  CHECK(read_requests("-", standard_input, count, ignore).empty());
  CHECK(count.decisions == 1);
  CHECK(read_requests("no/such/file", standard_input, count, ignore)
            .starts_with("cannot read no/such/file: No such"));
  CHECK(read_requests(".", standard_input, count, ignore) == "cannot read .: Is a directory");
}
