#include <random>
#include <vector>

#include "importers/import_test.hpp"

using namespace exeat;
using namespace exeat::importers;
using namespace exeat::importers::testing;

namespace {

trial squid(std::string_view text) {
  return try_import(product::squid, text);
}

constexpr std::string_view usual =
    "acl localnet src 10.0.0.0/8\n"
    "acl SSL_ports port 443\n"
    "acl Safe_ports port 80\n"
    "acl Safe_ports port 443 1025-65535\n"
    "http_access deny !Safe_ports\n"
    "http_access deny CONNECT !SSL_ports\n"
    "http_access deny manager\n"
    "http_access deny to_localhost\n";

}  // namespace

TEST_CASE("Squid: the usual file, a list of names, deny all") {
  const auto t = squid(std::string(usual) +
                       "acl good dstdomain .debian.org artifacts.corp.example\n"
                       "http_access allow good\n"
                       "http_access deny all\n");
  CHECK(t.allows("agent", "debian.org"));
  CHECK(t.allows("agent", "a.b.debian.org"));
  CHECK(t.allows("agent", "artifacts.corp.example"));
  CHECK_FALSE(t.allows("agent", "x.artifacts.corp.example"));
  CHECK_FALSE(t.allows("agent", "notdebian.org"));
  CHECK(t.plain("agent", "debian.org"));
  CHECK_FALSE(t.allows("agent", "debian.org", 80));  // CONNECT to 80 is not among SSL_ports
  CHECK_FALSE(t.allows("agent", "debian.org", 8443));
  CHECK(t.result.left_out.empty());
}

TEST_CASE("Squid: without the port idioms both ports pass either way") {
  const auto t = squid("acl good dstdomain a.example\nhttp_access allow good\nhttp_access deny all\n");
  CHECK(t.allows("agent", "a.example", 443));
  CHECK(t.allows("agent", "a.example", 80));
  CHECK(t.plain("agent", "a.example", 80));
}

TEST_CASE("Squid: groups of clients are phases, and what is for everybody stands in each") {
  const auto t = squid(std::string(usual) +
                       "acl build src 10.1.0.0/16\nacl a dstdomain a.example\nacl b dstdomain b.example\n"
                       "acl c dstdomain c.example\n"
                       "http_access allow localnet a\nhttp_access allow build b\nhttp_access allow c\n"
                       "http_access deny all\n");
  CHECK(t.allows("localnet", "a.example"));
  CHECK_FALSE(t.allows("localnet", "b.example"));
  CHECK(t.allows("build", "b.example"));
  CHECK_FALSE(t.allows("build", "a.example"));
  for (const auto* phase : {"localnet", "build", "agent"}) CHECK(t.allows(phase, "c.example"));
  CHECK_FALSE(t.allows("agent", "a.example"));
  CHECK(t.differs(13, "phase `localnet`"));
}

TEST_CASE("Squid: the first line that matches decides; ours does not, and says so") {
  const auto t = squid(
      "acl good dstdomain .x.example\nacl bad dstdomain bad.x.example\n"
      "http_access allow good\nhttp_access deny bad\nhttp_access deny all\n");
  CHECK_FALSE(t.allows("agent", "bad.x.example"));  // Squid allows it: its deny comes too late
  CHECK(t.differs(4, "deny beats every allow"));
  const auto right = squid(
      "acl good dstdomain .x.example\nacl bad dstdomain bad.x.example\n"
      "http_access deny bad\nhttp_access allow good\nhttp_access deny all\n");
  CHECK_FALSE(right.allows("agent", "bad.x.example"));
  CHECK(right.allows("agent", "ok.x.example"));
  CHECK_FALSE(right.differs(3, "deny"));
}

TEST_CASE("Squid: a deny that cannot be said shuts what follows it") {
  const auto t = squid(
      "acl good dstdomain a.example\nacl later dstdomain b.example\nacl bad url_regex -i secret\n"
      "http_access allow good\nhttp_access deny bad\nhttp_access allow later\nhttp_access deny all\n");
  CHECK(t.allows("agent", "a.example"));
  CHECK_FALSE(t.allows("agent", "b.example"));
  CHECK(t.left_out(5, "url_regex"));
  CHECK(t.left_out(6, "behind line 5"));
}

TEST_CASE("Squid: what allows everything, by a pattern or to an address is not widened") {
  const auto t = squid(
      "acl net src 10.0.0.0/8\nacl rx dstdom_regex \\.x\\.example$\nacl ip dst 192.0.2.0/24\n"
      "acl t time 10:00-11:00\nacl d dstdomain a.example\nacl e dstdomain *.y.example\n"
      "http_access allow net\nhttp_access allow rx\nhttp_access allow ip\nhttp_access allow t d\n"
      "http_access allow e\nhttp_access allow all\n");
  CHECK_FALSE(t.allows("agent", "a.example"));
  CHECK_FALSE(t.allows("agent", "q.x.example"));
  CHECK(t.allows("agent", "192.0.2.7"));
  CHECK(t.left_out(7, "every destination"));
  CHECK(t.left_out(8, "dstdom_regex"));
  CHECK(t.left_out(10, "time"));
  CHECK(t.left_out(6, "asterisk"));
  CHECK(t.left_out(12, "every destination"));
}

TEST_CASE("Squid: ports of a line, CONNECT and !CONNECT") {
  const auto t = squid(
      "acl p port 8443\nacl d dstdomain a.example\nacl e dstdomain b.example\nacl f dstdomain c.example\n"
      "http_access allow p d\nhttp_access allow CONNECT e\nhttp_access allow !CONNECT f\n"
      "http_access deny all\n");
  CHECK(t.allows("agent", "a.example", 8443));
  CHECK_FALSE(t.allows("agent", "a.example"));
  CHECK(t.allows("agent", "b.example"));
  CHECK_FALSE(t.plain("agent", "b.example", 443));
  CHECK_FALSE(t.plain("agent", "b.example"));
  CHECK(t.plain("agent", "c.example"));
  CHECK_FALSE(t.allows("agent", "c.example"));
  CHECK_FALSE(t.allows("agent", "c.example", 80));
}

TEST_CASE("Squid: what no port is left of is left out") {
  const auto t = squid(
      "acl p port 40 1025-65535\nacl d dstdomain a.example\nacl i dst 192.0.2.0/24\n"
      "http_access deny !p\nhttp_access allow d\nhttp_access allow i\nhttp_access deny all\n");
  CHECK(t.policy->rule_count() == 0);
  CHECK(t.left_out(2, "neither 80 nor 443"));
  CHECK(t.left_out(3, "no port is left"));
}

TEST_CASE("Squid: hostile files") {
  for (const std::string_view text :
       {"http_access", "http_access allow", "acl\nhttp_access deny all", "acl a\nhttp_access allow a",
        "acl a dstdomain\nhttp_access allow a", "http_access allow nobody",
        "acl a port x\nhttp_access allow a", "acl a dstdomain \"/nonexistent\"\nhttp_access allow a",
        "acl a dstdomain x\nacl a src y\nhttp_access allow a", "acl a dstdomain \"\nhttp_access allow a",
        "http_access allow !all", "\\\nhttp_access \\",
        "acl a dstdomain a..b\n"
        "http_access allow a"}) {
    CAPTURE(text);
    const auto t = squid(text);
    CHECK(t.policy->rule_count() == 0);
  }
  CHECK_FALSE(import({.from = product::squid, .text = "hello", .file = "f", .phase = "agent", .read = {}}));
}

// Squid's own reading, for files of the kind that the generator writes.
namespace {

struct model_line {
  bool allow;
  std::vector<std::string> domains;  // empty: all
  int method = 0;                    // 0 any, 1 CONNECT, 2 not CONNECT
  int port = 0;                      // 0 any
};

bool squid_holds(const std::string& pattern, const std::string& host) {
  if (pattern[0] != '.') return host == pattern;
  return host == pattern.substr(1) || host.ends_with(pattern);
}

bool squid_allows(const std::vector<model_line>& lines, const std::string& host, int port, bool connect) {
  for (const auto& line : lines) {
    bool holds = line.domains.empty();
    for (const auto& d : line.domains) holds = holds || squid_holds(d, host);
    if (line.method == 1 && !connect) holds = false;
    if (line.method == 2 && connect) holds = false;
    if (line.port != 0 && line.port != port) holds = false;
    if (holds) return line.allow;
  }
  return false;
}

}  // namespace

TEST_CASE("Squid: over random files nothing is allowed that Squid denies, and exact files agree") {
  std::mt19937 random(4);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::vector<std::string> names{"a.example",  ".a.example", "x.a.example",
                                       ".b.example", "b.example",  ".x.b.example"};
  const std::vector<std::string> hosts{"a.example",   "x.a.example",   "y.x.a.example", "b.example",
                                       "x.b.example", "q.x.b.example", "c.example",     "xa.example"};
  int allowed = 0;
  int agreed = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string acls;
    std::string accesses;
    std::vector<model_line> lines;
    const int count = 1 + below(5);
    for (int i = 0; i < count; ++i) {
      model_line line{
          .allow = below(3) != 0, .domains = {}, .method = below(4) == 0 ? 1 + below(2) : 0, .port = 0};
      const auto id = std::to_string(i);
      acls += "acl d" + id + " dstdomain";
      for (int n = 1 + below(2); n > 0; --n) {
        line.domains.push_back(names[static_cast<std::size_t>(below(6))]);
        acls += " " + line.domains.back();
      }
      acls += "\n";
      std::string terms;
      if (below(5) == 0) {
        line.port = below(2) == 0 ? 443 : 8080;
        acls += "acl p" + id + " port " + std::to_string(line.port) + "\n";
        terms += " p" + id;
      }
      if (line.method != 0) terms += line.method == 1 ? " CONNECT" : " !CONNECT";
      accesses += std::string("http_access ") + (line.allow ? "allow" : "deny") + terms + " d" + id + "\n";
      lines.push_back(std::move(line));
    }
    const auto text = acls + accesses + "http_access deny all\n";
    CAPTURE(text);
    const auto t = squid(text);
    for (const auto& host : hosts) {
      for (const int port : {80, 443, 8080}) {
        for (const bool connect : {true, false}) {
          const bool ours = t.allows("agent", host, static_cast<std::uint16_t>(port),
                                     connect ? core::scheme::https : core::scheme::http);
          const bool theirs = squid_allows(lines, host, port, connect);
          CAPTURE(host);
          CAPTURE(port);
          CAPTURE(connect);
          REQUIRE((theirs || !ours));
          allowed += ours ? 1 : 0;
          agreed += ours == theirs ? 1 : 0;
        }
      }
    }
  }
  CHECK(allowed > 5000);
  CHECK(agreed > 40000);
}
