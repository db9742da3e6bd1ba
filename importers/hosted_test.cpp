// gh-aw, the Copilot agent's firewall, Harden-Runner and sandbox-runtime.
#include "importers/import_test.hpp"

using namespace exeat;
using namespace exeat::importers;
using namespace exeat::importers::testing;

TEST_CASE("gh-aw: a bare name covers what is under it; blocked goes first; schemes are ports") {
  const auto t = try_import(product::gh_aw, R"(---
on: push
network:
  allowed:
    - api.x.example
    - "*.cdn.example"
    - https://tls.example
    - http://plain.example
    - node
    - nosuchecosystem
  blocked:
    - tracker.api.x.example
---
# Words
)");
  CHECK(t.allows("agent", "api.x.example"));
  CHECK(t.allows("agent", "a.b.api.x.example"));
  CHECK_FALSE(t.allows("agent", "tracker.api.x.example"));
  CHECK_FALSE(t.allows("agent", "q.tracker.api.x.example"));
  CHECK(t.allows("agent", "a.b.cdn.example"));
  CHECK_FALSE(t.allows("agent", "cdn.example"));
  CHECK(t.allows("agent", "tls.example"));
  CHECK_FALSE(t.plain("agent", "tls.example"));
  CHECK(t.plain("agent", "plain.example"));
  CHECK_FALSE(t.allows("agent", "plain.example"));
  CHECK(t.allows("agent", "nodejs.org"));
  CHECK(t.differs(9, "not the same list"));
  CHECK(t.left_out(10, "nosuchecosystem"));
}

TEST_CASE("gh-aw: no list, the defaults, none at all") {
  CHECK(try_import(product::gh_aw, "network: defaults\n").left_out(1, "defaults"));
  CHECK(try_import(product::gh_aw, "network: {}\n").policy->rule_count() == 0);
  CHECK(try_import(product::gh_aw, "engine: x\n").left_out(1, "defaults"));
}

TEST_CASE("Copilot: names with what is under them, URLs with their host alone, paths not at all") {
  const auto t =
      try_import(product::copilot,
                 "packages.corp.example, files.corp.example\nhttps://tls.example/\nhttps://deep.example/p/\n"
                 "http://plain.example:8080/\n*.star.example\n# words\n"
                 "COPILOT_AGENT_FIREWALL_ALLOW_LIST_ADDITIONS: \"set.example,other.example\"\n");
  CHECK(t.allows("agent", "packages.corp.example"));
  CHECK(t.allows("agent", "a.b.packages.corp.example"));
  CHECK(t.allows("agent", "files.corp.example"));
  CHECK(t.allows("agent", "tls.example"));
  CHECK_FALSE(t.allows("agent", "x.tls.example"));
  CHECK_FALSE(t.plain("agent", "tls.example"));
  CHECK_FALSE(t.allows("agent", "deep.example"));
  CHECK(t.left_out(3, "one path"));
  CHECK(t.plain("agent", "plain.example", 8080));
  CHECK(t.left_out(5, "asterisk"));
  CHECK(t.allows("agent", "set.example"));
  CHECK(t.allows("agent", "other.example"));
}

TEST_CASE("Harden-Runner: jobs are phases, ports as they stand, one label for an asterisk") {
  const auto t = try_import(product::harden_runner, R"(name: ci
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: step-security/harden-runner@v2
        with:
          egress-policy: block
          allowed-endpoints: >
            github.com:443
            *.mirror.example:443
            archive.example:80
  watch:
    steps:
      - uses: step-security/harden-runner@v2
        with: {egress-policy: audit, allowed-endpoints: "x.example:443 broken.example:0 y.example"}
)");
  CHECK(t.allows("build", "github.com"));
  CHECK_FALSE(t.plain("build", "github.com"));
  CHECK(t.allows("build", "a.mirror.example"));
  CHECK_FALSE(t.allows("build", "a.b.mirror.example"));
  CHECK(t.plain("build", "archive.example"));
  CHECK_FALSE(t.allows("build", "x.example"));
  CHECK(t.policy->phase_of(*t.policy->find_phase("watch")).mode == allowlist::phase_mode::audit);
  CHECK(t.left_out(17, "HOST:PORT"));
  CHECK(t.differs(17, "names no port"));
  const auto alone =
      try_import(product::harden_runner, "allowed-endpoints: >\n  a.example:443\n  b.example:8443\n");
  CHECK(alone.allows("agent", "a.example"));
  CHECK(alone.allows("agent", "b.example", 8443));
}

TEST_CASE("sandbox-runtime: names alone, an asterisk at any depth, denied first") {
  const auto t = try_import(product::srt,
                            R"({"network": {"allowedDomains": ["github.com", "*.github.com", "*", "a.*.b"],
  "deniedDomains": ["gist.github.com"], "allowLocalBinding": false}, "filesystem": {}})");
  CHECK(t.allows("agent", "github.com"));
  CHECK(t.allows("agent", "a.b.github.com"));
  CHECK(t.plain("agent", "github.com"));
  CHECK_FALSE(t.allows("agent", "gist.github.com"));
  CHECK(t.allows("agent", "x.gist.github.com"));
  CHECK(t.result.left_out.size() == 3);
  CHECK_FALSE(import({.from = product::srt, .text = "{}", .file = "f", .phase = "agent", .read = {}}));
}
