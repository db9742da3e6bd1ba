#include "sandbox/grants.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

using namespace exeat;
using namespace exeat::sandbox;

namespace {

struct files {
  std::map<std::string, std::string> links;
  std::set<std::string> there;

  file_view view() const {
    return {.link = [this](const std::string& path) -> std::optional<std::string> {
              const auto found = links.find(path);
              return found == links.end() ? std::nullopt : std::optional(found->second);
            },
            .exists = [this](const std::string& path) { return there.contains(path); },
            .working_directory = "/work"};
  }
};

// Nothing that opens a file: each test adds what it is about.
config::settings bare() {
  config::settings out;
  out.control.reset();
  out.review.database.clear();
  out.dns.servers = {{.port = 53}};
  out.dns.hosts_file = false;
  return out;
}

std::map<std::string, file_right> granted(const config::settings& settings, const files& files = {},
                                          const std::vector<std::string>& included = {}) {
  std::map<std::string, file_right> out;
  for (auto& [path, rights] : grants_for(settings, included, files.view())) {
    CHECK_MESSAGE(!out.contains(path), path);
    out.emplace(path, rights);
  }
  return out;
}

// Without those that are always there.
std::map<std::string, file_right> more_than_bare(const config::settings& settings, const files& files = {},
                                                 const std::vector<std::string>& included = {}) {
  auto out = granted(settings, files, included);
  for (const auto& [path, rights] : granted(bare())) {
    const auto found = out.find(path);
    if (found != out.end() && found->second == rights) out.erase(found);
  }
  return out;
}

using map = std::map<std::string, file_right>;
constexpr auto all = file_right::read | file_right::write | file_right::make | file_right::remove;

}  // namespace

TEST_CASE("a process without files of its own gets next to nothing") {
  CHECK(granted(bare()) == map{{"/dev/null", file_right::read | file_right::write},
                               {"/dev/urandom", file_right::read},
                               {"/proc/self", file_right::read},
                               {"/proc/stat", file_right::read}});
}

TEST_CASE("a policy's directory, and where its symlinks lead") {
  auto settings = bare();
  settings.policy = "/etc/exeat/policy.yaml";
  CHECK(more_than_bare(settings) == map{{"/etc/exeat", file_right::read}});
  settings.policy = "policy.yaml";
  CHECK(more_than_bare(settings) == map{{"/work", file_right::read}});
  settings.policy = "../other/./policy.yaml";
  CHECK(more_than_bare(settings) == map{{"/other", file_right::read}});

  SUBCASE("as Kubernetes lays out a ConfigMap, of which ..data is swapped") {
    settings.policy = "/etc/exeat/policy.yaml";
    const files map_volume{
        .links = {{"/etc/exeat/policy.yaml", "..data/policy.yaml"}, {"/etc/exeat/..data", "..2026_11_21"}},
        .there = {}};
    CHECK(more_than_bare(settings, map_volume) ==
          map{{"/etc/exeat", file_right::read}, {"/etc/exeat/..2026_11_21", file_right::read}});
  }
  SUBCASE("a release that is swapped for its neighbour") {
    settings.policy = "/srv/current/policy.yaml";
    CHECK(more_than_bare(settings, {.links = {{"/srv/current", "/opt/releases/42"}}, .there = {}}) ==
          map{{"/opt/releases", file_right::read}, {"/opt/releases/42", file_right::read}});
  }
  SUBCASE("never all that there is: the file alone") {
    settings.policy = "/policy.yaml";
    CHECK(more_than_bare(settings) == map{{"/policy.yaml", file_right::read}});
    settings.policy = "/etc/exeat/policy.yaml";
    CHECK(more_than_bare(settings, {.links = {{"/etc/exeat", "/policies"}}, .there = {}}) ==
          map{{"/policies", file_right::read}});
  }
  SUBCASE("a loop of links ends") {
    settings.policy = "/a/b";
    CHECK(more_than_bare(settings, {.links = {{"/a", "/a"}}, .there = {}}).size() <= 3);
  }
}

TEST_CASE("included files and directories") {
  auto settings = bare();
  settings.policy = "/etc/exeat/policy.yaml";
  CHECK(more_than_bare(settings, {}, {"/etc/exeat/more.yaml", "/srv/team/", "/srv/team/a.yaml"}) ==
        map{{"/etc/exeat", file_right::read}, {"/srv/team", file_right::read}});
}

TEST_CASE("certificates") {
  auto settings = bare();
  settings.listeners[0].tls = config::tls_settings{
      .certificate = "/tls/a/cert.pem", .key = "/tls/b/key.pem", .client_ca = "", .crl = "/crl/x"};
  CHECK(more_than_bare(settings) ==
        map{{"/tls/a", file_right::read}, {"/tls/b", file_right::read}, {"/crl", file_right::read}});
}

TEST_CASE("a proxy on the way: its authority, or the system's, and the credential") {
  auto settings = bare();
  settings.upstream.proxies = {{.tls = true, .ca = "/tls/ca.pem", .credential_file = "/secrets/upstream"}};
  CHECK(more_than_bare(settings) == map{{"/tls", file_right::read}, {"/secrets", file_right::read}});
  settings.upstream.proxies = {{.tls = true}};
  CHECK(granted(settings).at("/etc/ssl/certs") == file_right::read);
  settings.upstream.proxies = {{.tls = false}};
  CHECK(more_than_bare(settings).empty());
}

TEST_CASE("the review store has files beside it") {
  auto settings = bare();
  settings.review.database = "/var/lib/exeat/review.sqlite";
  CHECK(more_than_bare(settings) == map{{"/var/lib/exeat", all}});
}

TEST_CASE("logs are made, renamed and written") {
  auto settings = bare();
  settings.log.file = "/var/log/exeat/log";
  settings.log.blocked = "/srv/blocked.log";
  CHECK(more_than_bare(settings) == map{{"/var/log/exeat", all}, {"/srv", all}});
  SUBCASE("through a symlink") {
    settings.log.blocked.clear();
    CHECK(more_than_bare(settings, {.links = {{"/var/log/exeat/log", "/data/log"}}, .there = {}}) ==
          map{{"/var/log/exeat", all}, {"/data", all}});
  }
  SUBCASE("into a device: that alone") {
    settings.log.file = "/dev/stdout";
    settings.log.blocked = "/dev/null";
    CHECK(more_than_bare(settings, {.links = {{"/dev/stdout", "/proc/self/fd/1"}}, .there = {}}) ==
          map{{"/proc/self/fd/1", file_right::read | file_right::write}});
  }
}

TEST_CASE("a state directory, or where it will be made") {
  auto settings = bare();
  settings.job.state_dir = "/var/lib/exeat/state";
  CHECK(more_than_bare(settings, {.links = {}, .there = {"/var/lib/exeat/state"}}) ==
        map{{"/var/lib/exeat/state", all}});
  CHECK(more_than_bare(settings) == map{{"/var/lib/exeat", all}});
  settings.job.state_dir = "/state";
  CHECK(more_than_bare(settings).empty());
}

TEST_CASE("sockets are removed at the end, and their peers looked at") {
  auto settings = bare();
  settings.listeners[0].endpoint = config::unix_endpoint{.path = "/run/exeat/setup.sock"};
  settings.control = config::unix_endpoint{.path = "/run/control/exeat.sock"};
  CHECK(more_than_bare(settings) == map{{"/run/exeat", file_right::remove},
                                        {"/run/control", file_right::remove},
                                        {"/proc", file_right::read}});
  settings.admin = config::unix_endpoint{.path = "/exeat.sock"};
  CHECK_FALSE(granted(settings).contains("/"));
}

TEST_CASE("what names are looked up with") {
  auto settings = bare();
  settings.dns.hosts_file = true;
  CHECK(more_than_bare(settings) == map{{"/etc", file_right::read}});
  settings.dns = {};
  const auto found =
      more_than_bare(settings, {.links = {{"/etc/resolv.conf", "../run/resolver/stub.conf"}}, .there = {}});
  CHECK(found.at("/etc") == file_right::read);
  CHECK(found.at("/run/resolver") == file_right::read);
  CHECK_FALSE(found.contains("/usr/lib"));
  settings.dns.resolver = config::resolver_kind::system;
  CHECK(granted(settings).at("/usr/lib") == file_right::read);
}

TEST_CASE("no setting lets the process write where it only reads") {
  auto settings = bare();
  settings.policy = "/etc/exeat/policy.yaml";
  settings.log.file = "/etc/exeat/log/exeat.log";
  settings.control = config::unix_endpoint{.path = "/run/exeat/exeat.sock"};
  settings.dns = {};
  for (const auto& [path, rights] : granted(settings)) {
    if (path == "/etc/exeat/log" || path == "/dev/null") continue;
    CHECK_MESSAGE(!has(rights, file_right::write), path);
    CHECK_MESSAGE(!has(rights, file_right::make), path);
  }
}

TEST_CASE("a policy that lies where logs or state are written is known") {
  const auto exposed = [](const config::settings& settings, const std::vector<std::string>& included = {},
                          const files& files = {}) {
    return exposed_policy_files(settings, included, files.view());
  };
  auto settings = bare();
  settings.log.file = "/var/log/exeat/exeat.log";
  CHECK(exposed(settings).empty());  // the policy is built in
  settings.policy = "/etc/exeat/policy.yaml";
  CHECK(exposed(settings).empty());

  settings.log.blocked = "/etc/exeat/blocked.log";
  CHECK(exposed(settings) ==
        std::vector<exposed_file>{{"/etc/exeat/policy.yaml", "/etc/exeat", "/etc/exeat"}});
  settings.log.blocked = "/etc/exeat.log";  // above
  CHECK(exposed(settings) == std::vector<exposed_file>{{"/etc/exeat/policy.yaml", "/etc/exeat", "/etc"}});
  settings.log.blocked = "/etc/exeat/log/blocked.log";
  CHECK(exposed(settings).empty());
  settings.log.blocked = "/etc/exeatlog/blocked.log";
  CHECK(exposed(settings).empty());

  // By way of a symlink, by an included file or directory, and by the state directory.
  settings.policy = "/srv/policy.yaml";
  files linked{.links = {{"/srv/policy.yaml", "/var/log/exeat/policy.yaml"}}, .there = {}};
  CHECK(exposed(settings, {}, linked) ==
        std::vector<exposed_file>{{"/srv/policy.yaml", "/var/log/exeat", "/var/log/exeat"}});
  CHECK(exposed(settings, {"/var/log/exeat/more.yaml", "/var/log/exeat/d/"}) ==
        std::vector<exposed_file>{{"/var/log/exeat/more.yaml", "/var/log/exeat", "/var/log/exeat"},
                                  {"/var/log/exeat/d/", "/var/log/exeat/d", "/var/log/exeat"}});
  settings.job.state_dir = "/srv";
  CHECK(exposed(settings, {}, {.links = {}, .there = {"/srv"}}) ==
        std::vector<exposed_file>{{"/srv/policy.yaml", "/srv", "/srv"}});
}
