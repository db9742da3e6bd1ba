#include "log/event_ring.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <thread>

#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::log;

TEST_CASE("a record comes out as it went in") {
  event_ring ring(16 << 10);
  CHECK(ring.empty());
  CHECK_FALSE(ring.front());
  proxy::event in = refusal();
  in.job = "job-1";
  in.rule = "agent/allow/0";
  in.rule_where = "policy.yaml:7";
  in.error = "error";
  in.hint = "hint";
  in.sni = "sni.example";
  in.alpn = "h2";
  in.tls_version = "1.3";
  in.bytes_up = 1;
  in.bytes_down = 2;
  in.address = core::ip_address::v4(0x01020304);
  REQUIRE(ring.push(in));
  CHECK_FALSE(ring.empty());
  const auto out = ring.front();
  REQUIRE(out);
  CHECK(out->host == in.host);
  CHECK(out->host.data() != in.host.data());
  CHECK(out->id.view() == in.id.view());
  CHECK(out->time == in.time);
  CHECK(out->address == in.address);
  CHECK(out->client == in.client);
  CHECK(out->total == in.total);
  CHECK(out->dns == in.dns);
  const std::string joined =
      std::string(out->phase) + "|" + std::string(out->job) + "|" + std::string(out->method) + "|" +
      std::string(out->scheme) + "|" + std::string(out->rule) + "|" + std::string(out->rule_where) + "|" +
      std::string(out->error) + "|" + std::string(out->hint) + "|" + std::string(out->sni) + "|" +
      std::string(out->alpn) + "|" + std::string(out->tls_version);
  CHECK(joined == "agent|job-1|CONNECT|https|agent/allow/0|policy.yaml:7|error|hint|sni.example|h2|1.3");
  ring.pop();
  CHECK(ring.empty());
}

TEST_CASE("strings are cut to their bounds, and say so") {
  event_ring ring(16 << 10);
  const std::string huge(100'000, 'x');
  proxy::event in = refusal(huge);
  in.phase = in.job = in.method = in.scheme = in.rule = in.rule_where = in.error = in.hint = huge;
  in.sni = in.alpn = in.tls_version = huge;
  REQUIRE(ring.push(in));
  const auto out = ring.front();
  CHECK(out->host == std::string(250, 'x') + "...");
  CHECK(out->error == std::string(297, 'x') + "...");
  CHECK(out->hint.size() == 400);
  CHECK(out->method.size() == 32);
  const std::string fits(253, 'y');
  ring.pop();
  REQUIRE(ring.push(refusal(fits)));
  CHECK(ring.front()->host == fits);
}

TEST_CASE("a full ring drops and counts, and takes again once there is room") {
  event_ring ring(16 << 10);
  std::size_t taken = 0;
  while (ring.push(refusal())) ++taken;
  CHECK(taken > 20);
  CHECK(taken <= ring.records_max());
  CHECK(ring.dropped() == 1);
  CHECK_FALSE(ring.push(refusal()));
  CHECK(ring.dropped() == 2);
  ring.front();
  ring.pop();
  CHECK(ring.push(refusal()));
  CHECK_FALSE(ring.push(refusal()));
}

TEST_CASE("any lengths wrap around the end without a torn record") {
  event_ring ring(16 << 10);
  std::mt19937 random(7);
  std::uniform_int_distribution<std::size_t> length(0, 253);
  for (int round = 0; round < 20'000; ++round) {
    const std::string host(length(random), static_cast<char>('a' + round % 26));
    const std::string hint(length(random), 'h');
    proxy::event in = refusal(host);
    in.hint = hint;
    REQUIRE(ring.push(in));
    if (round % 3 != 0) REQUIRE(ring.push(in));
    for (int i = 0; i < (round % 3 != 0 ? 2 : 1); ++i) {
      const auto out = ring.front();
      REQUIRE(out);
      REQUIRE(out->host == host);
      REQUIRE(out->hint == hint);
      ring.pop();
    }
  }
  CHECK(ring.empty());
}

TEST_CASE("two threads: everything that was taken arrives once and in order") {
  event_ring ring(16 << 10);
  constexpr std::uint64_t total = 50'000;
  std::uint64_t pushed = 0;
  std::thread writer([&] {
    for (std::uint64_t i = 1; i <= total; ++i) {
      const std::string host = std::to_string(i) + std::string(i % 200, 'x');
      proxy::event in = refusal(host);
      in.bytes_up = i;
      if (ring.push(in)) ++pushed;
    }
    proxy::event last = refusal();
    last.bytes_up = total + 1;
    while (!ring.push(last)) std::this_thread::yield();
  });
  std::uint64_t received = 0;
  std::uint64_t before = 0;
  bool wrong = false;
  while (before != total + 1) {
    const auto out = ring.front();
    if (!out) {
      std::this_thread::yield();
      continue;
    }
    const std::uint64_t i = out->bytes_up;
    wrong = wrong || i <= before;
    if (i <= total) {
      ++received;
      wrong = wrong || out->host != std::to_string(i) + std::string(i % 200, 'x');
    }
    before = i;
    ring.pop();
  }
  writer.join();
  CHECK_FALSE(wrong);
  CHECK(received == pushed);
  CHECK(ring.dropped() >= total - pushed);
}
