#include "proxy/limits.hpp"

#include <doctest/doctest.h>

using namespace exeat;
using namespace exeat::proxy;
using answer = connection_leases::answer;

namespace {
client_key client(std::uint32_t n) {
  return {.address = core::ip_address::v4(0x0a000000 + n)};
}
}  // namespace

TEST_CASE("the total holds across workers, and what is released can be leased again") {
  connection_budget budget(100, 0, 2);
  connection_leases a(budget);
  connection_leases b(budget);
  int admitted = 0;
  for (int i = 0; i < 200; ++i) admitted += (i % 2 == 0 ? a : b).admit(client(1)) == answer::admitted;
  CHECK(admitted == 100);
  CHECK(a.admit(client(1)) == answer::total_reached);
  for (int i = 0; i < 50; ++i) a.release(client(1));
  int more = 0;
  for (int i = 0; i < 100; ++i) more += b.admit(client(1)) == answer::admitted;
  CHECK(more >= 40);  // all but a slice in hand of the other worker
  CHECK(more <= 50);
}

TEST_CASE("one client's limit leaves the others alone") {
  connection_budget budget(1000, 10, 2);
  connection_leases a(budget);
  connection_leases b(budget);
  int admitted = 0;
  for (int i = 0; i < 40; ++i) admitted += (i % 2 == 0 ? a : b).admit(client(1)) == answer::admitted;
  CHECK(admitted == 10);
  CHECK(a.admit(client(1)) == answer::client_reached);
  CHECK(a.admit(client(2)) == answer::admitted);
  CHECK(a.admit(key_of_uid(1000)) == answer::admitted);
}

TEST_CASE("what a client's burst took is free for other workers, although one of its connections stays") {
  connection_budget budget(1000, 100, 2);
  connection_leases a(budget);
  connection_leases b(budget);
  for (int i = 0; i < 100; ++i) REQUIRE(a.admit(client(1)) == answer::admitted);
  for (int i = 0; i < 99; ++i) a.release(client(1));
  int more = 0;
  for (int i = 0; i < 200; ++i) more += b.admit(client(1)) == answer::admitted;
  CHECK(more >= 85);
  CHECK(more <= 99);
}

TEST_CASE("limits too small for slices are exact") {
  connection_budget budget(1, 1, 4);
  connection_leases a(budget);
  connection_leases b(budget);
  for (int i = 0; i < 3; ++i) {
    for (auto* worker : {&a, &b}) {
      CHECK(worker->admit(client(1)) == answer::admitted);
      CHECK(a.admit(client(2)) == answer::total_reached);
      CHECK(b.admit(client(2)) == answer::total_reached);
      worker->release(client(1));
    }
  }
}

TEST_CASE("a connection refused to one client is not lost to the others") {
  connection_budget budget(2, 1, 2);
  connection_leases a(budget);
  connection_leases b(budget);
  CHECK(a.admit(client(1)) == answer::admitted);
  CHECK(a.admit(client(1)) == answer::client_reached);
  CHECK(b.admit(client(2)) == answer::admitted);
  CHECK(b.admit(client(3)) == answer::total_reached);
}

TEST_CASE("a worker that ends gives everything back") {
  connection_budget budget(10, 10, 1);
  {
    connection_leases a(budget);
    for (int i = 0; i < 10; ++i) CHECK(a.admit(client(1)) == answer::admitted);
  }
  connection_leases b(budget);
  for (int i = 0; i < 10; ++i) CHECK(b.admit(client(1)) == answer::admitted);
  CHECK(b.admit(client(1)) != answer::admitted);
}

TEST_CASE("uids and addresses are never the same client") {
  CHECK_FALSE(key_of_uid(0x7f000001) == client_key{core::ip_address::v4(0x7f000001)});
  CHECK_FALSE(key_of_uid(1) == key_of_uid(2));
  CHECK_FALSE(key_of_uid(1) == client_key{*core::ip_address::parse("::1")});
}
