#include "identity/judge.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace exeat;
using config::certificate_claim;
using config::identity_check;
using core::reason;
using identity::evidence;
using source = identity_check::source;
using field = enum certificate_claim::field;

namespace {

constexpr std::uint64_t agent_cgroup = 41;

std::expected<std::uint64_t, std::string> cgroup_of(const std::string& path) {
  if (path == "/cg/agent") return agent_cgroup;
  if (path == "/cg/setup") return 42;
  if (path == "/cg/secret") return std::unexpected("/cg/secret: Permission denied");
  return 0;
}

// Jobs with the ids in `ids` are open.
struct open_jobs {
  explicit open_jobs(const std::vector<std::string>& ids) {
    for (const auto& id : ids) jobs.push_back(std::make_unique<jobs::job>(id, jobs::plan{}));
  }
  identity::job_lookup lookup() const {
    return {this, [](const void* context, std::string_view id) -> const jobs::job* {
              for (const auto& job : static_cast<const open_jobs*>(context)->jobs) {
                if (job->id() == id) return job.get();
              }
              return nullptr;
            }};
  }
  std::vector<std::unique_ptr<jobs::job>> jobs;
};

// "agent", "agent of j1", or "code: detail".
std::string judged(const config::listener& listener, const evidence& shown,
                   const open_jobs& jobs = open_jobs({"j1", "j2"})) {
  const auto result = identity::judge(listener, shown, jobs.lookup(), cgroup_of);
  if (!result) return std::string(core::code_of(result.error().reason)) + ": " + result.error().detail;
  return std::string(result->phase) + (result->job.empty() ? "" : " of " + std::string(result->job));
}

config::listener listener_with(std::vector<identity_check> checks, std::string phase = {}) {
  config::listener out;
  out.phase = std::move(phase);
  out.identity = std::move(checks);
  return out;
}

identity_check by_peer(std::vector<config::peer_claim> claims, bool allow_own_uid = false) {
  return {.kind = source::peer, .peers = std::move(claims), .allow_own_uid = allow_own_uid};
}
identity_check by_certificate(std::vector<certificate_claim> claims) {
  return {.kind = source::mtls, .certificates = std::move(claims)};
}
identity_check by_source(const std::vector<std::pair<std::string, std::string>>& claims) {
  identity_check out{.kind = source::source};
  for (const auto& [prefix, phase] : claims) out.sources.push_back({*core::cidr::parse(prefix), phase});
  return out;
}
identity_check any_of(std::vector<identity_check> checks) {
  return {.kind = source::any_of, .any_of = std::move(checks)};
}
const identity_check the_listener{};
const identity_check a_header{.kind = source::proxy_protocol};

// SHA-256 of "test".
identity_check by_token(const std::string& phase, bool job_tokens = false) {
  identity_check out{.kind = source::credential, .job_tokens = job_tokens};
  out.tokens.push_back({.sha256 = {0x9f, 0x86, 0xd0, 0x81, 0x88, 0x4c, 0x7d, 0x65, 0x9a, 0x2f, 0xea,
                                   0xa0, 0xc5, 0x5a, 0xd0, 0x15, 0xa3, 0xbf, 0x4f, 0x1b, 0x2b, 0x0b,
                                   0x82, 0x2c, 0xd1, 0x5d, 0x6c, 0x15, 0xb0, 0xf0, 0x0a, 0x08},
                        .phase = phase});
  return out;
}

evidence peer_of(std::uint32_t uid, std::uint64_t cgroup = 0) {
  return {.peer = identity::local_peer{.uid = uid, .cgroup = cgroup, .inode = 5}, .own_uid = 900};
}
evidence from(std::string_view address) {
  return {.address = core::ip_address::parse(address), .own_uid = 900};
}

}  // namespace

TEST_CASE("the listener alone names its phase") {
  CHECK(judged(listener_with({the_listener}, "agent"), {}) == "agent");
  CHECK(judged(listener_with({the_listener}), {}) == "identity-silent: listener: it has no phase");
  CHECK(judged(listener_with({}, "agent"), {}) == "identity-silent: no source of the listener names a phase");
  CHECK(judged(listener_with({a_header}), {.proxy_header = true}) ==
        "identity-silent: no source of the listener names a phase");
}

TEST_CASE("who may stand for a phase, by uid, by cgroup, or because nobody can tell") {
  const std::vector<config::peer_claim> claims{{.uid = 1001, .phase = "setup"},
                                               {.uid = 1003, .cgroup = "/cg/setup", .phase = "setup"},
                                               {.cgroup = "/cg/agent", .phase = "agent"}};
  const auto may = [&](std::uint32_t uid, std::uint64_t cgroup, std::size_t first = 3) {
    return identity::may_stand_for_a_phase(std::span(claims).first(first), {.uid = uid, .cgroup = cgroup},
                                           cgroup_of);
  };
  CHECK(may(1001, 7));
  CHECK(may(1003, 7));  // outside the cgroup, but its uid is that of a phase
  CHECK(may(0, agent_cgroup));
  CHECK_FALSE(may(0, 7));
  CHECK(may(0, 0));           // no cgroup known, and a claim by cgroup alone
  CHECK_FALSE(may(0, 0, 2));  // none such
  CHECK_FALSE(may(1001, 7, 0));

  const std::vector<config::peer_claim> broken{{.cgroup = "/cg/secret", .phase = "agent"}};
  const std::vector<config::peer_claim> absent{{.cgroup = "/cg/absent", .phase = "agent"}};
  CHECK(identity::may_stand_for_a_phase(broken, {.uid = 0, .cgroup = 7}, cgroup_of));
  CHECK_FALSE(identity::may_stand_for_a_phase(absent, {.uid = 0, .cgroup = 7}, cgroup_of));
}

TEST_CASE("a peer is known by its uid, its cgroup, or both") {
  const auto l = listener_with({by_peer({{.uid = 1001, .phase = "setup"},
                                         {.uid = 1002, .phase = "agent"},
                                         {.cgroup = "/cg/agent", .phase = "agent"},
                                         {.uid = 1003, .cgroup = "/cg/setup", .phase = "setup"}})});
  CHECK(judged(l, peer_of(1001, 7)) == "setup");
  CHECK(judged(l, peer_of(1002, 7)) == "agent");
  CHECK(judged(l, peer_of(1002, agent_cgroup)) == "agent");
  CHECK(judged(l, peer_of(5000, agent_cgroup)) == "agent");
  CHECK(judged(l, peer_of(1003, 42)) == "setup");
  CHECK(judged(l, peer_of(1003, 7)) == "identity-silent: peer: uid 1003 in cgroup 7 is mapped to no phase");
  CHECK(judged(l, peer_of(0, 7)) == "identity-silent: peer: uid 0 in cgroup 7 is mapped to no phase");
  CHECK(judged(l, peer_of(1001, agent_cgroup)) ==
        "identity-ambiguous: peer: entries for phases setup and agent match");
  // Its cgroup might be the agent's.
  CHECK(judged(l, peer_of(1001)) == "identity-silent: peer: the cgroup of its socket is unknown (uid 1001)");
  CHECK(judged(l, {}) == "identity-silent: peer: it is unknown");
  CHECK(judged(l, {.no_peer = "the socket at the other end is orphaned"}) ==
        "identity-silent: peer: the socket at the other end is orphaned");
}

TEST_CASE("a cgroup that is not there holds nobody, one that cannot be looked at might hold anybody") {
  const auto absent =
      listener_with({by_peer({{.uid = 1, .phase = "setup"}, {.cgroup = "/cg/none", .phase = "agent"}})});
  CHECK(judged(absent, peer_of(1, 7)) == "setup");
  CHECK(judged(absent, peer_of(1)) == "setup");
  CHECK(judged(absent, peer_of(2)) == "identity-silent: peer: uid 2 is mapped to no phase");
  const auto hidden =
      listener_with({by_peer({{.uid = 1, .phase = "setup"}, {.cgroup = "/cg/secret", .phase = "agent"}})});
  CHECK(judged(hidden, peer_of(1, 7)) == "identity-silent: peer: /cg/secret: Permission denied");
}

TEST_CASE("the proxy's own uid is nobody's") {
  const auto wary =
      listener_with({by_peer({{.uid = 900, .phase = "agent"}, {.cgroup = "/cg/agent", .phase = "agent"}})});
  const std::string refused = "own-uid: peer: uid 900 is the proxy's own, and `allow_own_uid` is not set";
  CHECK(judged(wary, peer_of(900, 7)) == refused);
  CHECK(judged(wary, peer_of(900, agent_cgroup)) == refused);
  CHECK(judged(listener_with({by_peer({{.uid = 900, .phase = "agent"}}, true)}), peer_of(900)) == "agent");
  CHECK(judged(listener_with({any_of({by_source({{"127.0.0.0/8", "agent"}}), wary.identity[0]})}),
               {.address = core::ip_address::v4(0x7f000001), .peer = peer_of(900).peer, .own_uid = 900}) ==
        refused);
}

TEST_CASE("a source address, the mapped one as well") {
  const auto l = listener_with({by_source(
      {{"10.1.0.0/16", "agent"}, {"10.2.0.0/16", "setup"}, {"10.1.2.0/24", "setup"}, {"::1", "mcp"}})});
  CHECK(judged(l, from("10.1.1.1")) == "agent");
  CHECK(judged(l, from("::ffff:10.2.1.1")) == "setup");
  CHECK(judged(l, from("::1")) == "mcp");
  CHECK(judged(l, from("10.3.1.1")) == "identity-silent: source: 10.3.1.1 is mapped to no phase");
  CHECK(judged(l, from("10.1.2.1")) ==
        "identity-ambiguous: source: entries for phases agent and setup match");
  CHECK(judged(l, {}) == "identity-silent: source: a unix socket has no source address");
  // Not an IPv4 client that looks like IPv6.
  CHECK(judged(listener_with({by_source({{"::/0", "agent"}})}), from("::ffff:10.2.1.1")) ==
        "identity-silent: source: 10.2.1.1 is mapped to no phase");
}

TEST_CASE("a certificate proves what its names say") {
  const auto l = listener_with({by_certificate({{field::san_uri, "spiffe://ci/{job}/{phase}", {}},
                                                {field::san_dns, "{job}.setup.example", "setup"},
                                                {field::common_name, "agent", "agent"}})});
  const auto by = [&](const identity::certificate_names& names,
                      const open_jobs& jobs = open_jobs({"j1", "j2"})) {
    return judged(l, {.certificate = &names}, jobs);
  };
  CHECK(by({.common_name = "agent"}) == "agent");
  CHECK(by({.uris = {"spiffe://ci/j1/mcp"}}) == "mcp of j1");
  CHECK(by({.dns = {"j2.setup.example"}}) == "setup of j2");
  CHECK(by({.uris = {"https://else.example/"}, .common_name = "x"}) ==
        "identity-silent: mtls: no entry matches a name of the certificate (`https://else.example/`)");
  CHECK(
      by({.dns = {"spiffe://ci/j1/mcp"}, .common_name = "j1.setup.example"}).starts_with("identity-silent"));
  CHECK(by({.uris = {"spiffe://ci/j1/mcp", "spiffe://ci/j1/agent"}}) ==
        "identity-ambiguous: mtls: entries for phases mcp and agent match");
  CHECK(by({.uris = {"spiffe://ci/j1/mcp", "spiffe://ci/j2/mcp"}}) ==
        "identity-ambiguous: mtls: names for jobs j1 and j2 match");
  CHECK(by({.uris = {"spiffe://ci/j1/mcp", "spiffe://ci/j1/mcp"}}) == "mcp of j1");
  // A name that says nothing of jobs agrees with any.
  CHECK(by({.uris = {"spiffe://ci/j1/agent"}, .common_name = "agent"}) == "agent of j1");
  CHECK(by({.uris = {"spiffe://ci/j1/mcp"}, .common_name = "agent"}).starts_with("identity-ambiguous"));
  CHECK(by({.uris = {"spiffe://ci/j9/mcp"}}) == "job-unknown: mtls: job j9 is not open");
  CHECK(by({.uris = {"spiffe://ci/j1/mcp"}}, open_jobs({})) == "job-unknown: mtls: job j1 is not open");
  CHECK(judged(l, {}) == "identity-silent: mtls: there is no client certificate");
  const identity::certificate_names names{.uris = {"spiffe://ci/j1/mcp"}};
  CHECK(identity::judge(l, {.certificate = &names}, {}).error().reason == reason::job_unknown);
}

TEST_CASE("a hostile name in a certificate reaches the log without its controls") {
  const identity::certificate_names names{.common_name = std::string("a\r\nb\x1b", 5)};
  const auto said = judged(listener_with({by_certificate({{field::common_name, "agent", "agent"}})}),
                           {.certificate = &names});
  CHECK(std::ranges::none_of(said, [](char c) { return static_cast<unsigned char>(c) < 0x20; }));
}

TEST_CASE("all checks must answer and agree") {
  const auto l = listener_with(
      {the_listener, by_peer({{.uid = 1, .phase = "agent"}, {.uid = 2, .phase = "setup"}}), a_header},
      "agent");
  auto shown = peer_of(1);
  CHECK(judged(l, shown) == "identity-silent: proxy_protocol: there is no PROXY header");
  shown.proxy_header = true;
  CHECK(judged(l, shown) == "agent");
  shown.peer->uid = 2;
  CHECK(judged(l, shown) == "identity-conflict: listener says phase agent, peer says phase setup");
  shown.peer->uid = 3;
  CHECK(judged(l, shown) == "identity-silent: peer: uid 3 is mapped to no phase");

  const auto jobs = listener_with({by_certificate({{field::san_uri, "u/{job}/{phase}", {}}}),
                                   any_of({by_certificate({{field::common_name, "{job}.{phase}", {}}})})});
  identity::certificate_names names{.uris = {"u/j1/agent"}, .common_name = "j1.agent"};
  CHECK(judged(jobs, {.certificate = &names}) == "agent of j1");
  names.common_name = "j2.agent";
  CHECK(judged(jobs, {.certificate = &names}) == "identity-conflict: mtls says job j1, mtls says job j2");
}

TEST_CASE("of alternatives one must answer, and all that do must agree") {
  const auto l = listener_with({any_of({by_peer({{.uid = 1, .phase = "agent"}}),
                                        by_source({{"127.0.0.1", "agent"}, {"127.0.0.2", "setup"}})})});
  const auto at = [](evidence shown, std::string_view address) {
    shown.address = core::ip_address::parse(address);
    return shown;
  };
  CHECK(judged(l, at(peer_of(1), "127.0.0.1")) == "agent");
  CHECK(judged(l, at(peer_of(1), "127.0.0.9")) == "agent");
  CHECK(judged(l, from("127.0.0.2")) == "setup");
  CHECK(judged(l, at(peer_of(1), "127.0.0.2")) ==
        "identity-conflict: peer says phase agent, source says phase setup");
  CHECK(judged(l, at(peer_of(7), "127.0.0.9")) ==
        "identity-silent: peer: uid 7 is mapped to no phase; source: 127.0.0.9 is mapped to no phase");
  CHECK(judged(listener_with({any_of({})}), {}) == "identity-silent: any_of: no alternative names a phase");
  // An alternative that is at odds with itself has not been silent.
  const auto torn =
      listener_with({any_of({by_source({{"127.0.0.1", "agent"}}),
                             by_peer({{.uid = 1, .phase = "agent"}, {.uid = 1, .phase = "setup"}})})});
  CHECK(judged(torn, at(peer_of(1), "127.0.0.1")).starts_with("identity-ambiguous"));
  CHECK(judged(listener_with({the_listener, l.identity[0]}, "mcp"), from("127.0.0.2")) ==
        "identity-conflict: listener says phase mcp, source says phase setup");
}

TEST_CASE("a credential, asked for only where all else is right") {
  const std::string right = "Bearer test";
  const std::string wrong = "Bearer tset";
  const auto alone = listener_with({by_token("agent")});
  CHECK(judged(alone, {.proxy_authorization = right}) == "agent");
  CHECK(judged(alone, {}).starts_with("credential-missing"));
  CHECK(judged(alone, {.proxy_authorization = wrong}).starts_with("credential-wrong"));

  // It stands first, and is judged last.
  const auto with_peer = listener_with({by_token("agent"), by_peer({{.uid = 1, .phase = "agent"}})});
  auto shown = peer_of(2);
  CHECK(judged(with_peer, shown).starts_with("identity-silent: peer"));
  shown.proxy_authorization = wrong;
  CHECK(judged(with_peer, shown).starts_with("identity-silent: peer"));
  shown.peer->uid = 1;
  CHECK(judged(with_peer, shown).starts_with("credential-wrong"));
  shown.proxy_authorization = right;
  CHECK(judged(with_peer, shown) == "agent");
  CHECK(judged(listener_with({by_token("agent"), by_peer({{.uid = 1, .phase = "setup"}})}), shown) ==
        "identity-conflict: peer says phase setup, credential says phase agent");

  const auto either = listener_with({any_of({by_token("agent"), by_peer({{.uid = 1, .phase = "agent"}})})});
  CHECK(judged(either, peer_of(1)) == "agent");
  CHECK(judged(either, peer_of(2)).starts_with("credential-missing"));
  shown = peer_of(1);
  shown.proxy_authorization = wrong;
  CHECK(judged(either, shown).starts_with("credential-wrong"));
}

TEST_CASE("nobody gathers what no check asks for") {
  const auto none = identity::demands_of(listener_with({the_listener}, "a"));
  CHECK_FALSE((none.peer || none.credential || none.proxy_protocol || none.certificate));
  const auto all = identity::demands_of(
      listener_with({a_header, any_of({by_peer({}), by_token("a"), by_certificate({})})}));
  CHECK((all.peer && all.credential && all.proxy_protocol && all.certificate));
  CHECK_FALSE(identity::demands_of(listener_with({by_source({})})).peer);
  CHECK(identity::is_listener_only(listener_with({the_listener}, "a")));
  CHECK_FALSE(identity::is_listener_only(listener_with({the_listener, a_header}, "a")));
}
