#include <doctest/doctest.h>

#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "config/settings_table.hpp"

using namespace exeat;
using namespace std::chrono_literals;

namespace {

std::vector<std::string> errors_of(std::string_view text) {
  const auto settings = config::parse_settings(text, "e");
  std::vector<std::string> out;
  if (settings) return out;
  for (const auto& e : settings.error()) out.push_back(e.to_string());
  return out;
}

// Sets or unsets a variable of the environment for one scope.
class variable {
 public:
  variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) before_ = old;
    value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
  }
  ~variable() { before_ ? ::setenv(name_, before_->c_str(), 1) : ::unsetenv(name_); }
  variable(const variable&) = delete;
  variable& operator=(const variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace

TEST_CASE("every default holds without a file, and is valid") {
  const auto settings = config::load_settings("", {});
  REQUIRE(settings);
  REQUIRE(settings->listeners.size() == 3);
  CHECK(to_string(settings->listeners[0].endpoint) == "127.0.0.1:3128");
  CHECK(settings->listeners[0].phase == "setup");
  CHECK(to_string(settings->listeners[1].endpoint) == "127.0.0.1:3129");
  CHECK(to_string(settings->listeners[2].endpoint) == "127.0.0.1:3130");
  CHECK(to_string(*settings->admin) == "127.0.0.1:9400");
  CHECK(settings->policy.empty());
  CHECK(settings->log.to_standard_output());
  CHECK_FALSE(settings->insecure_policy_file);
  CHECK(settings->timeouts.tunnel_idle == 0ms);
}

TEST_CASE("a dot is no spelling of a map") {
  CHECK(errors_of("version: 1\ntimeouts.head: 10s\n") ==
        std::vector<std::string>{"e:2:1: unknown key: `timeouts.head`"});
  CHECK(errors_of("version: 1\ntimeouts: {timeouts.head: 10s}\n").size() == 1);
}

TEST_CASE("every key is read into its member") {
  const auto settings = config::parse_settings(R"(
version: 1
policy: policy.yaml
listeners:
  - {address: "127.0.0.1:3129", phase: agent}
  - {address: "[::1]:0", phase: agent}
  - {unix: a.sock, mode: "0660", phase: mcp-github}
admin: {unix: /run/admin.sock, mode: "0666", reload_token_file: token, allowed_hosts: [A.example, b.example.]}
control: {unix: c.sock, mode: 660}
log: {file: exeat.log, syslog: true, stdout: true, blocked: /b.log, format: json, rotate_size: 1MiB, rotate_keep: 2}
dns:
  resolver: c-ares
  servers: [127.0.0.53, "192.0.2.1:5353", "[2001:db8::1]:54", "2001:db8::2"]
  hosts_file: false
  timeout: 100ms
  tries: 1
  cache_entries: 5
  min_ttl: 0
  max_ttl: 10s
  negative_ttl: 1s
workers: 2
limits:
  connections: 10
  connections_per_client: 0
  connections_per_phase: 7
  connections_per_job: 8
  requests_per_client: 9
  requests_per_phase: 10
  requests_per_job: 11
  dials_per_destination: 11
  lookups: 12
  lookups_per_phase: 13
  buffers: 16MiB
  body_rate: 14
  head_bytes: 4KiB
  head_fields: 20
  upstream_idle_per_key: 1
  upstream_idle: 2
timeouts: {head: 1s, client_hello: 2s, dns: 3s, connect: 4s, response: 5s, idle: 6s, upstream_idle: 7s, tunnel_idle: 8s,
  tunnel: 10s, tunnel_stall: 11s}
drain_timeout: 9s
watch: true
on_tighten: cut
insecure_policy_file: true
via: exeat-1
)",
                                               "e", "/etc/exeat");
  if (!settings) FAIL(config::to_string(settings.error()));
  CHECK(settings->policy == "/etc/exeat/policy.yaml");
  REQUIRE(settings->listeners.size() == 3);
  CHECK(to_string(settings->listeners[1].endpoint) == "[::1]:0");
  CHECK(std::get<config::unix_endpoint>(settings->listeners[2].endpoint) ==
        config::unix_endpoint{.path = "/etc/exeat/a.sock", .mode = 0660});
  CHECK(settings->listeners[2].phase == "mcp-github");
  CHECK(settings->listeners[2].where == allowlist::mark{"e", 7, 5});
  CHECK(std::get<config::unix_endpoint>(*settings->admin) ==
        config::unix_endpoint{.path = "/run/admin.sock", .mode = 0666});
  CHECK(settings->reload_token_file == "/etc/exeat/token");
  CHECK(settings->admin_hosts == std::vector<std::string>{"a.example", "b.example"});
  CHECK(*settings->control == config::unix_endpoint{.path = "/etc/exeat/c.sock", .mode = 0660});
  CHECK(settings->log.file == "/etc/exeat/exeat.log");
  CHECK(settings->log.syslog);
  CHECK(settings->log.to_standard_output());
  CHECK(settings->log.blocked == "/b.log");
  CHECK(settings->log.format == config::log_format::json);
  CHECK(settings->log.rotate_size == 1U << 20);
  CHECK(settings->log.rotate_keep == 2);
  CHECK(settings->dns.resolver == config::resolver_kind::c_ares);
  REQUIRE(settings->dns.servers.size() == 4);
  CHECK(config::to_string(settings->dns.servers[0]) == "127.0.0.53:53");
  CHECK(config::to_string(settings->dns.servers[1]) == "192.0.2.1:5353");
  CHECK(config::to_string(settings->dns.servers[2]) == "[2001:db8::1]:54");
  CHECK(config::to_string(settings->dns.servers[3]) == "[2001:db8::2]:53");
  CHECK_FALSE(settings->dns.hosts_file);
  CHECK(settings->dns.timeout == 100ms);
  CHECK(settings->dns.tries == 1);
  CHECK(settings->dns.cache_entries == 5);
  CHECK(settings->dns.min_ttl == 0ms);
  CHECK(settings->dns.max_ttl == 10s);
  CHECK(settings->dns.negative_ttl == 1s);
  CHECK(settings->workers == 2);
  CHECK(settings->limits.connections == 10);
  CHECK(settings->limits.connections_per_client == 0);
  CHECK(settings->limits.connections_per_phase == 7);
  CHECK(settings->limits.connections_per_job == 8);
  CHECK(settings->limits.requests_per_client == 9);
  CHECK(settings->limits.requests_per_phase == 10);
  CHECK(settings->limits.requests_per_job == 11);
  CHECK(settings->limits.dials_per_destination == 11);
  CHECK(settings->limits.lookups == 12);
  CHECK(settings->limits.lookups_per_phase == 13);
  CHECK(settings->limits.buffers == 16U << 20);
  CHECK(settings->limits.body_rate == 14);
  CHECK(settings->timeouts.tunnel == 10s);
  CHECK(settings->timeouts.tunnel_stall == 11s);
  CHECK(settings->limits.head_bytes == 4096);
  CHECK(settings->limits.head_fields == 20);
  CHECK(settings->limits.upstream_idle_per_key == 1);
  CHECK(settings->limits.upstream_idle == 2);
  CHECK(settings->timeouts.head == 1s);
  CHECK(settings->timeouts.client_hello == 2s);
  CHECK(settings->timeouts.dns == 3s);
  CHECK(settings->timeouts.connect == 4s);
  CHECK(settings->timeouts.response == 5s);
  CHECK(settings->timeouts.idle == 6s);
  CHECK(settings->timeouts.upstream_idle == 7s);
  CHECK(settings->timeouts.tunnel_idle == 8s);
  CHECK(settings->drain_timeout == 9s);
  CHECK(settings->watch);
  CHECK(settings->on_tighten == config::tighten_action::cut);
  CHECK(settings->insecure_policy_file);
  CHECK(settings->via == "exeat-1");
}

TEST_CASE("the table names every key once, with a sentence, and shows the defaults of the struct") {
  std::set<std::string_view> seen;
  for (const auto& row : config::setting_rows()) {
    CAPTURE(row.path);
    CHECK(seen.insert(row.path).second);
    CHECK(row.doc.ends_with('.'));
    CHECK_FALSE(row.type.empty());
    CHECK_FALSE(row.show(config::settings{}).empty());
  }
  CHECK(seen.contains("timeouts.tunnel_idle"));
}

TEST_CASE("none turns admin and control off") {
  const auto settings = config::parse_settings("version: 1\nadmin: none\ncontrol: none\n", "e");
  REQUIRE(settings);
  CHECK_FALSE(settings->admin);
  CHECK_FALSE(settings->control);
}

TEST_CASE("the control socket follows the environment") {
  {
    const variable a("RUNTIME_DIRECTORY", "/run/exeat:/run/other");
    const variable b("XDG_RUNTIME_DIR", "/run/user/1");
    CHECK(config::settings{}.control->path == "/run/exeat/exeat.sock");
  }
  const variable a("RUNTIME_DIRECTORY", nullptr);
  {
    const variable b("XDG_RUNTIME_DIR", "/run/user/1");
    CHECK(config::settings{}.control->path == "/run/user/1/exeat/exeat.sock");
  }
  {
    const variable b("XDG_RUNTIME_DIR", "relative");
    CHECK_FALSE(config::settings{}.control);
  }
  const variable b("XDG_RUNTIME_DIR", nullptr);
  CHECK_FALSE(config::settings{}.control);
}

TEST_CASE("wrong settings are reported all at once, with their places") {
  CHECK(errors_of(R"(version: 1
workrs: 2
workers: 257
limits: {conections: 1, head_bytes: 1}
timeouts: {head: 10, idle: 5 s, dns: soon}
log: {format: jsn, rotate_size: big}
dns: [1]
on_tighten: cutt
via: "a b"
listeners:
  - {adress: "127.0.0.1:1", phase: a}
  - {address: localhost:1, phase: a}
  - {address: "127.0.0.1:99999", phase: a}
  - {address: "::1:3128", phase: a}
  - {address: "127.0.0.1:1", unix: x, phase: a}
  - {address: "127.0.0.1:1"}
  - {address: "127.0.0.1:1", mode: "0600", phase: a}
  - {unix: x, mode: "0888", phase: a}
)") == std::vector<std::string>{
           "e:2:1: unknown key: `workrs` (did you mean `workers`?)",
           "e:3:10: `workers`: expected a number from 0 to 256, found: `257`",
           "e:4:10: unknown key: `conections` (did you mean `connections`?)",
           "e:4:37: `limits.head_bytes`: expected a size from 1KiB to 1MiB, found: `1`",
           "e:5:18: `timeouts.head`: expected a duration: digits and one of ms, s, m, h, d (as 250ms, 5s, "
           "10m), found: `10`",
           "e:5:28: `timeouts.idle`: expected a duration: digits and one of ms, s, m, h, d (as 250ms, 5s, "
           "10m), found: `5 s`",
           "e:5:38: `timeouts.dns`: expected a duration: digits and one of ms, s, m, h, d (as 250ms, 5s, "
           "10m), found: `soon`",
           "e:6:15: `log.format`: expected auto, json or text, found: `jsn` (did you mean `json`?)",
           "e:6:33: `log.rotate_size`: expected a size: digits and one of kB, MB, GB, KiB, MiB, GiB (as "
           "64KiB, 20MiB), found: "
           "`big`",
           "e:7:6: `dns`: expected a map, found a list",
           "e:8:13: `on_tighten`: expected keep or cut, found: `cutt` (did you mean `cut`?)",
           "e:9:6: a pseudonym has only letters, digits and !#$%&'*+-.^_`|~: `a b`",
           "e:11:5: the listener names neither an `address` nor a `unix` socket",
           "e:11:6: unknown key: `adress` (did you mean `address`?)",
           "e:12:15: expected an IP address, such as 127.0.0.1 or [::1]; names are not looked up: "
           "`localhost:1`",
           "e:13:15: the port is a number from 0 to 65535: `127.0.0.1:99999`",
           "e:14:15: expected an IP address, such as 127.0.0.1 or [::1]; names are not looked up: `::1:3128`",
           "e:15:5: `address` and `unix` do not go together",
           "e:16:5: the listener names no `phase`",
           "e:17:36: `mode` belongs to `unix`: `0600`",
           "e:18:21: `mode`: expected a mode of three octal digits such as \"0600\", found: `0888`",
       });
}

TEST_CASE("a listener beyond loopback is refused with an explanation") {
  for (const std::string address : {"0.0.0.0:3128", "192.0.2.1:3128", "[::]:3128", "[2001:db8::1]:3128"}) {
    CAPTURE(address);
    const auto errors =
        errors_of("version: 1\nlisteners:\n  - {address: \"" + address + "\", phase: setup}\n");
    REQUIRE(errors.size() == 1);
    CHECK(errors[0].starts_with("e:3:5: a listener beyond loopback needs a check of who connects"));
    CHECK(errors[0].find("`identity`") != std::string::npos);
  }
  for (const std::string address : {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"}) {
    CAPTURE(address);
    CHECK(errors_of("version: 1\nlisteners:\n  - {address: \"" + address + "\", phase: setup}\n").empty());
  }
}

TEST_CASE("contradictions between settings") {
  CHECK(errors_of("version: 1\nlisteners:\n  - {address: \"127.0.0.1:9400\", phase: setup}\n") ==
        std::vector<std::string>{"e: the address is taken twice: `127.0.0.1:9400`"});
  CHECK(errors_of("version: 1\nlisteners:\n  - {unix: /a, phase: setup}\n  - {unix: /a, mode: \"0666\", "
                  "phase: agent}\n") ==
        std::vector<std::string>{"e:4:5: the address is taken twice: `unix:/a`"});
  CHECK(errors_of("version: 1\ndns: {min_ttl: 10s, max_ttl: 5s}\n") ==
        std::vector<std::string>{"e: `dns.min_ttl` is longer than `dns.max_ttl`"});
  CHECK(errors_of("version: 1\ndns: {resolver: system, servers: [192.0.2.1], hosts_file: false}\n").size() ==
        2);
  CHECK(errors_of("version: 1\ncontrol: {unix: /c, mode: \"0666\"}\n") ==
        std::vector<std::string>{"e:2:27: the control socket must not be open to others: `0666`"});
}

TEST_CASE("the command line goes over the file") {
  config::overrides over{.policy = "p.yaml",
                         .listen = {"agent=127.0.0.1:4000", "mcp=unix:/run/m.sock"},
                         .admin = "none",
                         .insecure_policy_file = true};
  const auto settings = config::load_settings("", over);
  REQUIRE(settings);
  CHECK(settings->policy == "p.yaml");
  REQUIRE(settings->listeners.size() == 2);
  CHECK(settings->listeners[0].phase == "agent");
  CHECK(to_string(settings->listeners[1].endpoint) == "unix:/run/m.sock");
  CHECK_FALSE(settings->admin);
  CHECK(settings->insecure_policy_file);

  const auto wrong = config::load_settings("", {.listen = {"127.0.0.1:1", "a=b"}, .admin = "x"});
  REQUIRE_FALSE(wrong);
  CHECK(config::to_string(wrong.error()) ==
        "--listen: expected PHASE=ADDRESS:PORT or PHASE=unix:PATH, found: `127.0.0.1:1`\n"
        "--listen: expected ADDRESS:PORT or unix:PATH: `a=b`\n"
        "--admin: expected ADDRESS:PORT or unix:PATH: `x`\n");
  CHECK_FALSE(config::load_settings("", {.listen = {"agent=0.0.0.0:3128"}}));
}

TEST_CASE("tls of a listener") {
  const auto of = [](std::string_view listener) {
    return "version: 1\nlisteners:\n  - {phase: agent, " + std::string(listener) + "}\n";
  };
  const auto settings = config::parse_settings(
      of(R"(address: "127.0.0.1:1", tls: {certificate: a.pem, key: /a.key, client_ca: ca.pem, crl: ca.crl})"),
      "e", "/etc/exeat");
  REQUIRE(settings);
  const auto& tls = settings->listeners.at(0).tls;
  REQUIRE(tls);
  CHECK(tls->certificate == "/etc/exeat/a.pem");
  CHECK(tls->key == "/a.key");
  CHECK(tls->client_ca == "/etc/exeat/ca.pem");
  CHECK(tls->crl == "/etc/exeat/ca.crl");
  const auto plain =
      config::parse_settings(of(R"(address: "127.0.0.1:1", tls: {certificate: a, key: b})"), "e");
  REQUIRE(plain);
  CHECK(plain->listeners.at(0).tls->client_ca.empty());
  CHECK_FALSE(config::parse_settings(of(R"(address: "127.0.0.1:1")"), "e")->listeners.at(0).tls);

  using found = std::vector<std::string>;
  CHECK(errors_of(of(R"(address: "127.0.0.1:1", tls: {key: b})")) ==
        found{"e:3:49: `tls` names no `certificate`"});
  CHECK(errors_of(of(R"(address: "127.0.0.1:1", tls: {certificate: b})")) ==
        found{"e:3:49: `tls` names no `key`"});
  CHECK(errors_of(of(R"(address: "127.0.0.1:1", tls: {certificate: a, key: b, crl: c})")) ==
        found{"e:3:49: `crl` is of no use without `client_ca`: no client is asked for a certificate"});
  CHECK(errors_of(of("unix: a.sock, tls: {certificate: a, key: b}")) ==
        found{"e:3:5: `tls` belongs to `address`: a unix socket needs none"});
  CHECK(errors_of(of(R"(address: "127.0.0.1:1", tls: {certificate: a, key: b, ca: c})")).size() == 1);
  CHECK(errors_of(of(R"(address: "127.0.0.1:1", tls: a.pem)")).size() == 1);
  CHECK(errors_of(of(R"(address: "127.0.0.1:1", tls: {certificate: [], key: b})")).size() == 1);
}
