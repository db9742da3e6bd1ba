#include "tests/fuzz/session/stage.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "config/load.hpp"
#include "tests/fuzz/expect.hpp"

namespace exeat::fuzz {
namespace {

constexpr unsigned folders = 250;

core::ip_address address_of(unsigned folder, std::size_t i) {
  return core::ip_address::v4(0x7f000000U | 77U << 16 | folder << 8 | static_cast<unsigned>(i + 1));
}

int listen_on(const core::ip_address& address, std::uint16_t port, int backlog) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int yes = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  ::inet_pton(AF_INET, address.to_string().c_str(), &at.sin_addr);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && ::listen(fd, backlog) == 0)
    return fd;
  ::close(fd);
  return -1;
}

// A listener whose queue is full: whoever dials it hears nothing.
void fill(const core::ip_address& address, std::uint16_t port) {
  for (int i = 0; i < 4; ++i) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    ::inet_pton(AF_INET, address.to_string().c_str(), &at.sin_addr);
    (void)::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at);  // and stays, for ever
  }
}

constexpr std::string_view rules_of_agent =
    "      - {host: raw.test, ports: [18022], tls: any}\n"
    "      - {host: '*.many.test', ports: [18080], max_names: 2}\n"
    "      - {host: meth.test, ports: [18080], methods: [GET], paths: [/ok/**]}\n"
    "      - {host: dead.test, ports: [18080], tls: any}\n"
    "      - {host: hole.test, ports: [18080], tls: any}\n"
    "      - {host: hop.test, ports: [13128], tls: any}\n"
    "      - {host: hop2.test, ports: [13128], tls: any}\n"
    "      - {host: sly.test, ports: [13128], tls: any}\n";
constexpr std::string_view web =
    "      - {host: web.test, ports: [18080]}\n      - {host: tls.test, ports: [18443]}\n";
constexpr std::string_view budget =
    "      - {host: bud.test, ports: [18080], tls: any, upload_limit: 3000, download_limit: 5000, "
    "request_limit: 4}\n";
constexpr std::string_view less =
    "      - {host: bud.test, ports: [18080], tls: any, upload_limit: 1000, download_limit: 700, "
    "request_limit: 2}\n";

std::string policy_text(const std::string& setup, const std::string& agent, const std::string& addresses,
                        bool timed) {
  return "version: 1\nphases:\n  setup:\n    untrusted: false\n    allow:\n" + setup + "  agent:\n" +
         (timed ? "    time_limit: 30s\n" : "") + "    allow:\n" + agent +
         "  watch:\n    mode: audit\n    allow:\n" + std::string(web) +
         "deny:\n  - {host: no.test}\naddresses:\n" + addresses;
}

}  // namespace

std::optional<origin> origin_of(std::string_view host) noexcept {
  for (const auto& one : origins) {
    if (one.host == host) return one.which;
    if (one.host.starts_with('.') && host.ends_with(one.host) &&
        !host.substr(0, host.size() - one.host.size()).contains('.'))
      return one.which;
  }
  return std::nullopt;
}

bool allows(std::size_t policy, phase by, origin to) noexcept {
  if (to == origin::no) return false;
  if (by == phase::setup) return to == origin::set && policy != 2;
  if (to == origin::set) return false;
  switch (policy) {
    case 1:  // without web and tls
      return to != origin::web && to != origin::tls;
    case 2:  // nothing but raw
      return to == origin::raw;
    default:
      return true;
  }
}

stage& stage::get() {
  static stage only;
  return only;
}

stage::stage() {
  ::signal(SIGPIPE, SIG_IGN);  // as `serve` has it: splice knows no MSG_NOSIGNAL
  // Another fuzzer may run on this machine: the first free folder of addresses is ours.
  unsigned folder = 0;
  for (listeners_.fill(-1); folder < folders; ++folder) {
    listeners_[0] = listen_on(address_of(folder, 0), origins[0].port, 64);
    if (listeners_[0] >= 0) break;
  }
  EXPECT(folder < folders);
  std::string addresses;
  for (const auto& one : origins) {
    const auto i = index(one.which);
    addresses_[i] = address_of(folder, index(behind(one.which)));
    if (i != 0 && one.which != origin::dead && one.which != origin::sly) {
      listeners_[i] = listen_on(addresses_[i], one.port, one.which == origin::hole ? 0 : 64);
      EXPECT(listeners_[i] >= 0);
    }
    if (one.which == origin::no) continue;
    addresses += "  - {cidr: " + addresses_[i].to_string() + "/32, hosts: ['" +
                 (one.host.starts_with('.') ? "*" : "") + std::string(one.host) + "']}\n";
  }
  fill(addresses_[index(origin::hole)], origins[index(origin::hole)].port);
  listeners_[index(origin::hole)] = -1;  // stays open, is never accepted from

  const std::string set = "      - {host: set.test, ports: [18080]}\n";
  const std::string others(rules_of_agent);
  std::size_t next = 0;
  for (const bool timed : {false, true}) {
    const std::array texts{
        policy_text(set, std::string(web) + std::string(budget) + others, addresses, timed),
        policy_text(set, std::string(budget) + others, addresses, timed),
        policy_text("      []\n", "      - {host: raw.test, ports: [18022], tls: any}\n", addresses, timed),
        policy_text(set, std::string(web) + std::string(less) + others, addresses, timed),
    };
    for (const auto& text : texts) {
      auto loaded = config::parse_policy(text, "policy.yaml");
      if (!loaded) {
        for (const auto& e : loaded.error()) std::fprintf(stderr, "%s\n", e.to_string().c_str());
        std::abort();
      }
      policies_[next++] = std::move(*loaded);
    }
  }
}

std::optional<origin> stage::at(const core::ip_address& address, std::uint16_t port) const noexcept {
  for (const auto& one : origins) {
    if (addresses_[index(one.which)] == address && one.port == port) return one.which;
  }
  return std::nullopt;
}

bool stage::is_address(const core::ip_address& address) const noexcept {
  return std::ranges::any_of(origins,
                             [&](const auto& one) { return addresses_[index(one.which)] == address; });
}

}  // namespace exeat::fuzz
