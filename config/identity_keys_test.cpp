#include "config/identity_keys.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "config/certificate_pattern.hpp"
#include "config/load.hpp"

using namespace exeat;
using source = config::identity_check::source;
using config::certificate_pattern;

namespace {

const std::string hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

// The errors of one listener whose entries stand in one line, each at `address` unless it says otherwise.
std::vector<std::string> errors_of(const std::string& listener,
                                   const std::string& where = "address: \"127.0.0.1:1\"") {
  const auto settings =
      config::parse_settings("version: 1\nlisteners:\n- {" + where + ", " + listener + "}\n", "e");
  std::vector<std::string> out;
  if (settings) return out;
  for (const auto& e : settings.error()) {
    const auto text = e.to_string();
    // Without the place: "e:3:29: ".
    out.push_back(text.substr(text.find(' ') + 1));
  }
  return out;
}

config::listener listener_of(const std::string& text) {
  auto settings = config::parse_settings("version: 1\nlisteners:\n" + text, "e");
  if (!settings) FAIL(config::to_string(settings.error()));
  REQUIRE(settings->listeners.size() == 1);
  return settings->listeners[0];
}

using words = std::vector<std::string>;

}  // namespace

TEST_CASE("a listener decides alone by default") {
  const auto l = listener_of("- {address: \"127.0.0.1:1\", phase: agent}\n");
  REQUIRE(l.identity.size() == 1);
  CHECK(l.identity[0].kind == source::listener);
}

TEST_CASE("every source is read, and takes the listener's phase where it names none") {
  const auto l = listener_of(R"(
- address: "127.0.0.1:1"
  identity:
  - listener
  - {peer: [{uid: 1002}, {user: root, phase: setup}, {cgroup: /x/y, uid: "7"}], allow_own_uid: true}
  - proxy_protocol: [10.0.0.1, "2001:db8::/32"]
  - {source: [{cidr: 10.1.0.0/16}, {cidr: "::1", phase: mcp}]}
  - {credential: {tokens: [{sha256: )" +
                             hash + R"(}], jobs: true}}
  phase: agent
)");
  CHECK(l.phase == "agent");
  REQUIRE(l.identity.size() == 5);
  CHECK(l.identity[0].kind == source::listener);

  const auto& peer = l.identity[1];
  CHECK(peer.kind == source::peer);
  CHECK(peer.allow_own_uid);
  CHECK(peer.where == allowlist::mark{"e", 7, 5});
  REQUIRE(peer.peers.size() == 3);
  CHECK(peer.peers[0].uid == 1002U);
  CHECK(peer.peers[0].cgroup.empty());
  CHECK(peer.peers[0].phase == "agent");
  CHECK(peer.peers[1].uid == 0U);
  CHECK(peer.peers[1].phase == "setup");
  CHECK(peer.peers[2].uid == 7U);
  CHECK(peer.peers[2].cgroup == "/x/y");

  CHECK(l.identity[2].kind == source::proxy_protocol);
  REQUIRE(l.identity[2].upstreams.size() == 2);
  CHECK(l.identity[2].upstreams[0].to_string() == "10.0.0.1/32");

  CHECK(l.identity[3].kind == source::source);
  REQUIRE(l.identity[3].sources.size() == 2);
  CHECK(l.identity[3].sources[0].phase == "agent");
  CHECK(l.identity[3].sources[0].cidr.to_string() == "10.1.0.0/16");
  CHECK(l.identity[3].sources[1].phase == "mcp");

  CHECK(l.identity[4].kind == source::credential);
  CHECK(l.identity[4].job_tokens);
  REQUIRE(l.identity[4].tokens.size() == 1);
  CHECK(l.identity[4].tokens[0].sha256[0] == 0x9f);
  CHECK(l.identity[4].tokens[0].sha256[31] == 0x08);
  CHECK(l.identity[4].tokens[0].phase == "agent");
}

TEST_CASE("alternatives, without a phase of the listener") {
  const auto l = listener_of(R"(
- address: "127.0.0.1:1"
  identity:
  - any_of:
    - {peer: [{uid: 1, phase: setup}]}
    - {source: [{cidr: 127.0.0.2, phase: agent}]}
)");
  CHECK(l.phase.empty());
  REQUIRE(l.identity.size() == 1);
  CHECK(l.identity[0].kind == source::any_of);
  REQUIRE(l.identity[0].any_of.size() == 2);
  CHECK(l.identity[0].any_of[0].peers.at(0).phase == "setup");
  CHECK_FALSE(l.identity[0].any_of[0].allow_own_uid);
  CHECK(l.identity[0].any_of[1].sources.at(0).phase == "agent");
  CHECK(config::phases_named_in(l.identity[0]) == std::vector<std::string_view>{"setup", "agent"});
}

TEST_CASE("certificates, of those who the listener's CA has signed") {
  const auto l = listener_of(R"(
- address: "10.0.0.5:3130"
  tls: {certificate: c.pem, key: k.pem, client_ca: ca.pem}
  identity:
  - mtls: [{san_uri: "spiffe://ci.example/{job}/{phase}"}, {common_name: agent, phase: agent}, {san_dns: "{job}.x", phase: mcp}]
)");
  REQUIRE(l.identity.size() == 1);
  const auto& claims = l.identity[0].certificates;
  using field = enum config::certificate_claim::field;
  REQUIRE(claims.size() == 3);
  CHECK(claims[0].field == field::san_uri);
  CHECK(claims[0].pattern == "spiffe://ci.example/{job}/{phase}");
  CHECK(claims[0].phase.empty());
  CHECK(claims[1].field == field::common_name);
  CHECK(claims[1].phase == "agent");
  CHECK(claims[2].field == field::san_dns);
  CHECK(claims[2].phase == "mcp");
  // The listener's phase is no answer to what {phase} stands for.
  const auto both = listener_of(R"(
- address: "127.0.0.1:1"
  phase: agent
  tls: {certificate: c.pem, key: k.pem, client_ca: ca.pem}
  identity: [listener, {mtls: [{common_name: "{phase}"}, {common_name: x}]}]
)");
  REQUIRE(both.identity.size() == 2);
  CHECK(both.identity[1].certificates.at(0).phase.empty());
  CHECK(both.identity[1].certificates.at(1).phase == "agent");
}

TEST_CASE("a wrong list says what is wrong with it") {
  CHECK(errors_of("phase: a, identity: []") == words{"`identity`: the list is empty"});
  CHECK(errors_of("phase: a, identity: {}") ==
        words{"`identity`: expected a list of sources such as [listener], found a map"});
  CHECK(errors_of("phase: a, identity: [listner]").back() ==
        "expected `listener`, or a map such as {peer: [{uid: 1002}]}, found: `listner` (did you mean "
        "`listener`?)");
  CHECK(errors_of("phase: a, identity: [listener, {peers: [{uid: 1}]}]").front() ==
        "the item names no source");
  CHECK(errors_of("phase: a, identity: [listener, {peers: [{uid: 1}]}]").back() ==
        "unknown key: `peers` (did you mean `peer`?)");
  CHECK(errors_of("phase: a, identity: [listener, {listener: true}]") ==
        words{"`listener` stands alone, without a value: `listener`"});
  CHECK(errors_of("phase: a, identity: [listener, listener]") ==
        words{"the source stands twice in one list: name it once, with all entries: `listener`"});
  CHECK(errors_of("phase: a, identity: [listener, {peer: [{uid: 1}]}, {peer: [{uid: 2}]}]") ==
        words{"the source stands twice in one list: name it once, with all entries: `peer`"});
  CHECK(errors_of("phase: a, identity: [listener, {peer: [{uid: 1}], source: [{cidr: 127.0.0.1}]}]") ==
        words{"`peer` and `source` are two sources: write each as an item of its own"});
  CHECK(errors_of("phase: a, identity: [listener, {source: [{cidr: 127.0.0.1}], allow_own_uid: true}]") ==
        words{"`allow_own_uid` belongs to `peer`"});
  CHECK(errors_of("phase: a, identity: [listener, {any_of: []}]") == words{"`any_of`: the list is empty"});
  CHECK(errors_of("identity: [{proxy_protocol: [127.0.0.1]}]") ==
        words{"no source in the list names a phase: a PROXY header does not"});
}

TEST_CASE("what may not stand inside any_of") {
  const std::string peer = "{peer: [{uid: 1, phase: a}]}";
  CHECK(errors_of("identity: [{any_of: [listener, " + peer + "]}]") ==
        words{"may not stand inside `any_of`: it answers whatever the other alternatives say: `listener`"});
  CHECK(errors_of("identity: [{any_of: [{any_of: [" + peer + "]}, " + peer + "]}]") ==
        words{"`any_of` may not stand inside `any_of`: write its alternatives beside the others: `any_of`"});
  CHECK(errors_of("identity: [{any_of: [{proxy_protocol: [127.0.0.1]}, " + peer + "]}]") ==
        words{"`proxy_protocol` may not stand inside `any_of`: it names no phase: `proxy_protocol`"});
  CHECK(errors_of("identity: [{any_of: [" + peer + ", " + peer + "]}]") ==
        words{"the source stands twice in one list: name it once, with all entries: `peer`"});
  CHECK(errors_of("identity: [{any_of: [" + peer + "]}, " + peer + "]").empty());
}

TEST_CASE("where a phase must stand, and where it must not") {
  CHECK(errors_of("identity: [listener]") == words{"the listener names no `phase`"});
  CHECK(errors_of("identity: [listener, {peer: [{uid: 1}]}]") == words{"the listener names no `phase`"});
  CHECK(errors_of("identity: [{peer: [{uid: 1}]}]") ==
        words{"the entry names no `phase`, nor does its listener"});
  CHECK(errors_of("identity: [{any_of: [{source: [{cidr: 127.0.0.1}]}]}]") ==
        words{"the entry names no `phase`, nor does its listener"});
  CHECK(errors_of("identity: [{credential: {tokens: [{sha256: " + hash + "}]}}]") ==
        words{"the entry names no `phase`, nor does its listener"});
  CHECK(errors_of("identity: [{mtls: [{common_name: x}]}]") ==
        words{"the entry names no `phase`, nor does its listener"});
  CHECK(errors_of("phase: a, identity: [{peer: [{uid: 1, phase: a}]}]") ==
        words{"`phase` of the listener does nothing where `listener` is not in its `identity`: `a`"});
  CHECK(errors_of("identity: [{peer: [{uid: 1, phase: [a]}]}]") ==
        words{"`phase`: expected the name of a phase, found a list"});
}

TEST_CASE("a wrong entry says what is wrong with it") {
  const auto in = [](const std::string& check) {
    return errors_of("phase: a, identity: [listener, " + check + "]");
  };
  CHECK(in("{peer: [{}]}") == words{"the entry names neither a `uid`, a `user` nor a `cgroup`"});
  CHECK(in("{peer: [{uid: 1, user: root}]}") == words{"`uid` and `user` do not go together: `root`"});
  CHECK(in("{peer: [{user: no-such-user-here}]}") ==
        words{"this machine has no such user: `no-such-user-here`"});
  CHECK(in("{peer: [{uid: 4294967295}]}") ==
        words{"`uid`: expected a number from 0 to 4294967294, found: `4294967295`"});
  CHECK(in("{peer: [{uid: root}]}").size() == 1);
  CHECK(in("{peer: [{cgroup: ci/agent}]}") ==
        words{"the path of a cgroup begins with `/`, as in /sys/fs/cgroup/ci/agent: `ci/agent`"});
  CHECK(in("{peer: [{uid: 1, gid: 2}]}") == words{"unknown key: `gid` (did you mean `uid`?)"});
  CHECK(in("{peer: []}") == words{"`peer`: the list is empty"});
  CHECK(in("{peer: 1}") == words{"`peer`: expected a list such as [{uid: 1002}], found: `1`"});

  CHECK(in("{source: [{}]}") == words{"the entry names no `cidr`"});
  CHECK(in("{source: [{cidr: 10.0.0.1/8}]}").size() == 1);
  CHECK(in("{source: [{cidr: \"::ffff:10.0.0.0/104\"}]}") ==
        words{"IPv4 clients show as IPv4 addresses: write the prefix as one of IPv4: `::ffff:10.0.0.0/104`"});
  CHECK(in("{proxy_protocol: []}") == words{"`proxy_protocol`: the list is empty"});
  CHECK(in("{proxy_protocol: [lb.example]}").size() == 1);

  CHECK(in("{credential: {}}") == words{"no credential would do: name `tokens`, or say `jobs: true`"});
  CHECK(in("{credential: {jobs: false}}") ==
        words{"no credential would do: name `tokens`, or say `jobs: true`"});
  CHECK(in("{credential: {jobs: true}}").empty());
  CHECK(in("{credential: {tokens: []}}") == words{"`tokens`: the list is empty"});
  CHECK(in("{credential: {tokens: [{phase: a}]}}") == words{"the entry names no `sha256`"});
  const words no_hash{"`sha256`: expected the 64 hex digits that `exeat token` prints, found something else"};
  CHECK(in("{credential: {tokens: [{sha256: " + hash.substr(1) + "}]}}") == no_hash);
  CHECK(in("{credential: {tokens: [{sha256: " + hash + "0}]}}") == no_hash);
  CHECK(in("{credential: {tokens: [{sha256: g" + hash.substr(1) + "}]}}") == no_hash);
  CHECK(in("{credential: {tokens: [{sha256: [" + hash + "]}]}}") == no_hash);
}

TEST_CASE("entries of mtls") {
  const auto in = [](const std::string& entry) {
    auto out = errors_of("phase: a, identity: [listener, {mtls: [" + entry + "]}]");
    return out.empty() ? std::string() : out.front();
  };
  // What is right but for the certificates that it needs.
  const std::string needs =
      "`mtls` needs `tls.client_ca` of the listener, which says whose client certificates count: "
      "`127.0.0.1:1`";
  CHECK(in("{common_name: x}") == needs);
  CHECK(in("{san_uri: \"spiffe://ci/{job}/{phase}\"}") == needs);
  CHECK(in("{san_dns: \"{job}.ci.example\", phase: a}") == needs);
  CHECK(in("{}") == "the entry names neither a `san_uri`, a `san_dns` nor a `common_name`");
  CHECK(in("{san_uri: x, common_name: y}")
            .starts_with("`san_uri`, `san_dns` and `common_name` do not go together"));
  CHECK(in("{san_uri: \"{phase}/{user}\"}") ==
        "`{user}` is no placeholder: a pattern knows {phase} and {job}: `{phase}/{user}`");
  CHECK(in("{san_uri: \"{phase\"}").starts_with("`{phase` is no placeholder"));
  CHECK(in("{san_uri: \"{phase}/{phase}\"}") == "the placeholder {phase} stands twice: `{phase}/{phase}`");
  CHECK(in("{san_uri: \"{job}-{phase}\"}").starts_with("between two placeholders a character must stand"));
  CHECK(in("{san_uri: \"{phase}\", phase: a}") ==
        "`phase` does not go together with the placeholder {phase}: `{phase}`");
}

TEST_CASE("a source that could never answer is refused") {
  CHECK(errors_of("identity: [{peer: [{uid: 1, phase: a}]}]", "address: \"10.0.0.5:1\"") ==
        words{"`peer` knows local clients only: it needs a unix socket, or an address of loopback: "
              "`10.0.0.5:1`"});
  CHECK(errors_of(
            "identity: [{any_of: [{peer: [{uid: 1, phase: a}]}, {source: [{cidr: 10.0.0.0/8, phase: a}]}]}]",
            "address: \"0.0.0.0:1\"")
            .size() == 1);
  CHECK(errors_of("identity: [{peer: [{uid: 1, phase: a}]}]", "unix: /x").empty());
  CHECK(errors_of("identity: [{source: [{cidr: 10.0.0.0/8, phase: a}]}]", "unix: /x").size() == 1);
  CHECK(errors_of("phase: a, identity: [listener, {proxy_protocol: [10.0.0.0/8]}]", "unix: /x").size() == 1);
}

TEST_CASE("beyond loopback somebody must be checked") {
  const std::string open = "a listener beyond loopback needs a check of who connects";
  const std::string where = "address: \"10.0.0.5:1\"";
  for (const std::string identity : {"[listener]", "[listener, {proxy_protocol: [10.0.0.1]}]"}) {
    const auto errors = errors_of("phase: a, identity: " + identity, where);
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].starts_with(open));
  }
  CHECK(errors_of("phase: a, identity: [listener, {source: [{cidr: 10.0.0.0/8}]}]", where).empty());
  CHECK(errors_of("identity: [{credential: {jobs: true}}]", where).empty());
}

TEST_CASE("every phase that an entry names must exist") {
  const auto policy = config::parse_policy("version: 1\nphases: {agent: {}, setup: {}}\n", "p");
  REQUIRE(policy);
  const auto check = [&](const std::string& text) {
    config::settings settings;
    settings.listeners = {listener_of(text)};
    return config::to_string(config::check_phases(settings, **policy));
  };
  CHECK(check("- {address: \"127.0.0.1:1\", phase: agent, identity: [listener, {peer: [{uid: 1}]}]}\n")
            .empty());
  CHECK(check("- {address: \"127.0.0.1:1\", identity: [{any_of: [{peer: [{uid: 1, phase: agnt}, {uid: 2, "
              "phase: agnt}]}]}]}\n") ==
        "e:3:39: `identity` of the listener 127.0.0.1:1 names a phase that p does not have: `agnt` (did you "
        "mean "
        "`agent`?)\n");
  CHECK(
      check("- {address: \"127.0.0.1:1\", phase: agnt, identity: [listener, {peer: [{uid: 1}]}]}\n") ==
      "e:3:3: the listener 127.0.0.1:1 names a phase that p does not have: `agnt` (did you mean `agent`?)\n");
}

TEST_CASE("a pattern matches whole names, in one way") {
  const auto match = [](std::string_view pattern, std::string_view name) -> std::string {
    const auto parsed = certificate_pattern::parse(pattern);
    REQUIRE(parsed);
    const auto values = parsed->match(name);
    if (!values) return "no";
    return std::string(values->phase) + "/" + std::string(values->job);
  };
  CHECK(match("agent", "agent") == "/");
  CHECK(match("agent", "agents") == "no");
  CHECK(match("agent", "my-agent") == "no");
  CHECK(match("agent", "Agent") == "no");
  CHECK(match("{phase}", "agent") == "agent/");
  CHECK(match("{phase}", "") == "no");
  CHECK(match("{phase}", "a.b") == "no");
  CHECK(match("{phase}", "Agent") == "no");
  CHECK(match("spiffe://ci/{job}/{phase}", "spiffe://ci/j-1/agent") == "agent/j-1");
  CHECK(match("spiffe://ci/{job}/{phase}", "spiffe://ci/j/x/agent") == "no");
  CHECK(match("spiffe://ci/{job}/{phase}", "spiffe://ci//agent") == "no");
  CHECK(match("spiffe://ci/{job}/{phase}", "spiffe://ci/j/") == "no");
  CHECK(match("spiffe://ci/{job}/{phase}", "xspiffe://ci/j/a") == "no");
  CHECK(match("spiffe://ci/{job}/{phase}", std::string_view("spiffe://ci/j/a\0", 16)) == "no");
  CHECK(match("{phase}.{job}.ci", "a.b.ci") == "a/b");
  CHECK(match("{phase}.{job}.ci", "a.b.ci.ci") == "no");
  CHECK(match("{job}x.y{phase}z", "axx.yybz") == "yb/ax");
  CHECK(match("a{phase}a", "aa") == "no");
  CHECK(match("a{phase}a", "a") == "no");
  CHECK_FALSE(certificate_pattern::parse(""));
  CHECK_FALSE(certificate_pattern::parse("{"));
  CHECK_FALSE(certificate_pattern::parse("}"));
  CHECK_FALSE(certificate_pattern::parse("{job}{phase}"));
  CHECK_FALSE(certificate_pattern::parse("{job}.{phase}.{job}"));
}
