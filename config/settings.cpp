#include "config/settings.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "config/identity_keys.hpp"
#include "config/job_keys.hpp"
#include "config/upstream_keys.hpp"

namespace exeat::config {
namespace {

std::string absolute_in_environment(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr) return {};
  // systemd joins several directories by colons.
  std::string first(std::string_view(value).substr(0, std::string_view(value).find(':')));
  return first.starts_with('/') ? first : std::string();
}

error complaint(const allowlist::mark& where, std::string text, std::string message) {
  return {.where = where, .text = std::move(text), .message = std::move(message)};
}

void check_dns(const settings& s, std::vector<error>& out) {
  const auto add = [&](std::string message) { out.push_back(complaint({}, {}, std::move(message))); };
  if (s.dns.min_ttl > s.dns.max_ttl) add("`dns.min_ttl` is longer than `dns.max_ttl`");
  if (s.dns.resolver == resolver_kind::system) {
    if (!s.dns.servers.empty())
      add("`dns.servers` needs `resolver: c-ares`; the system resolver has its own");
    if (!s.dns.hosts_file)
      add("`dns.hosts_file: false` needs `resolver: c-ares`; the system resolver decides by itself");
  }
}

}  // namespace

std::string to_string(const endpoint& endpoint) {
  if (const auto* tcp = std::get_if<tcp_endpoint>(&endpoint)) {
    const auto text = tcp->address.to_string();
    return tcp->address.is_v6() ? fmt::format("[{}]:{}", text, tcp->port)
                                : fmt::format("{}:{}", text, tcp->port);
  }
  return "unix:" + std::get<unix_endpoint>(endpoint).path;
}

std::expected<endpoint, std::string> parse_endpoint(std::string_view text) {
  if (text.starts_with("unix:")) {
    const auto path = text.substr(5);
    if (path.empty()) return std::unexpected("no path stands behind `unix:`");
    if (path.size() >= sizeof(sockaddr_un::sun_path)) {
      return std::unexpected(
          fmt::format("the path of a unix socket has at most {} octets", sizeof(sockaddr_un::sun_path) - 1));
    }
    return unix_endpoint{.path = std::string(path)};
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::unexpected("expected ADDRESS:PORT or unix:PATH");
  auto host = text.substr(0, colon);
  const auto digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [stop, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failure != std::errc{} || stop != digits.data() + digits.size()) {
    return std::unexpected("the port is a number from 0 to 65535");
  }
  const bool brackets = host.starts_with('[') && host.ends_with(']');
  if (brackets) host = host.substr(1, host.size() - 2);
  const auto address = core::ip_address::parse(host);
  if (!address || address->is_v6() != brackets) {
    return std::unexpected("expected an IP address, such as 127.0.0.1 or [::1]; names are not looked up");
  }
  return tcp_endpoint{.address = *address, .port = port};
}

bool is_local(const endpoint& endpoint) noexcept {
  const auto* tcp = std::get_if<tcp_endpoint>(&endpoint);
  if (tcp == nullptr) return true;
  const auto bytes = tcp->address.bytes();
  if (tcp->address.is_v4()) return bytes[0] == 127;
  const auto zeros = [&](std::size_t n) {
    return std::ranges::all_of(bytes.first(n), [](auto b) { return b == 0; });
  };
  const bool loopback = zeros(15) && bytes[15] == 1;
  const bool mapped = zeros(10) && bytes[10] == 0xff && bytes[11] == 0xff && bytes[12] == 127;
  return loopback || mapped;
}

std::vector<listener> settings::default_listeners() {
  return {{.endpoint = tcp_endpoint{.port = 3128}, .phase = "setup"},
          {.endpoint = tcp_endpoint{.port = 3129}, .phase = "agent"},
          {.endpoint = tcp_endpoint{.port = 3130}, .phase = "mcp"}};
}

std::optional<unix_endpoint> settings::default_control() {
  if (const auto directory = absolute_in_environment("RUNTIME_DIRECTORY"); !directory.empty()) {
    return unix_endpoint{.path = directory + "/exeat.sock"};
  }
  if (const auto directory = absolute_in_environment("XDG_RUNTIME_DIR"); !directory.empty()) {
    return unix_endpoint{.path = directory + "/exeat/exeat.sock"};
  }
  return std::nullopt;
}

std::string settings::default_review_database() {
  if (const auto directory = absolute_in_environment("STATE_DIRECTORY"); !directory.empty())
    return directory + "/review.sqlite";
  if (const auto directory = absolute_in_environment("XDG_STATE_HOME"); !directory.empty())
    return directory + "/exeat/review.sqlite";
  return {};
}

std::vector<error> validate(const settings& s) {
  std::vector<error> out;
  std::vector<endpoint> taken;
  const auto take = [&](const endpoint& e, const allowlist::mark& where) {
    const auto* tcp = std::get_if<tcp_endpoint>(&e);
    const auto same = [&](const endpoint& other) {
      const auto* a = std::get_if<unix_endpoint>(&e);
      const auto* b = std::get_if<unix_endpoint>(&other);
      return a != nullptr && b != nullptr ? a->path == b->path : e == other;
    };
    if (tcp != nullptr && tcp->port == 0) return;
    if (std::ranges::any_of(taken, same)) {
      out.push_back(complaint(where, to_string(e), "the address is taken twice"));
    }
    taken.push_back(e);
  };
  for (const auto& listener : s.listeners) {
    take(listener.endpoint, listener.where);
    check_identity(listener, out);
  }
  if (s.admin) take(*s.admin, {});
  if (s.control) take(*s.control, {});
  if (!s.reload_token_file.empty() && !s.admin) {
    out.push_back(complaint({}, {}, "`admin.reload_token_file` without an admin listener"));
  }
  check_dns(s, out);
  check_job(s, out);
  check_upstream(s, out);
  return out;
}

namespace {

// Whether a source of identity can say which of the opened jobs is asking.
bool names_job(const identity_check& check) {
  const auto has_job = [](const certificate_claim& claim) { return claim.pattern.contains("{job}"); };
  return check.job_tokens || std::ranges::any_of(check.certificates, has_job) ||
         std::ranges::any_of(check.any_of, names_job);
}

bool is_loopback(const core::cidr& cidr) {
  static const auto v4 = core::cidr::parse("127.0.0.0/8").value();
  static const auto v6 = core::cidr::parse("::1/128").value();
  return std::ranges::any_of(std::array{v4, v6},
                             [&](const auto& one) { return cidr.contains(one) || one.contains(cidr); });
}

// True where any local process passes the check as that phase.
bool proves_nothing(const identity_check& check, const listener& listener, const std::string& phase) {
  switch (check.kind) {
    case identity_check::source::listener:
      return listener.phase == phase;
    case identity_check::source::proxy_protocol:
      return std::ranges::any_of(check.upstreams, is_loopback);
    case identity_check::source::source:
      return std::ranges::any_of(check.sources, [&](const source_claim& claim) {
        return claim.phase == phase && is_loopback(claim.cidr);
      });
    case identity_check::source::any_of:
      return std::ranges::any_of(check.any_of,
                                 [&](const auto& one) { return proves_nothing(one, listener, phase); });
    case identity_check::source::peer:
    case identity_check::source::mtls:
    case identity_check::source::credential:
      return false;
  }
  return false;
}

// Where nobody proves a phase, anybody could seal the job with one request.
void check_lockdown(const settings& s, const allowlist::policy& policy, std::vector<error>& out) {
  const bool has_jobs =
      !s.job.phases.empty() || std::ranges::any_of(s.listeners, [](const listener& listener) {
        return std::ranges::any_of(listener.identity, names_job);
      });
  for (const auto& phase : policy.source().phases) {
    if (phase.canaries.empty() || phase.canary_action != allowlist::canary_action::lockdown) continue;
    if (!has_jobs) {
      out.push_back({.where = phase.canaries.front().where,
                     .text = phase.name,
                     .message = "canaries that lock the job down need one: exeat.yaml has neither "
                                "`job.phases` nor a listener whose `identity` names jobs"});
    }
    for (const auto& listener : s.listeners) {
      const bool is_open = std::holds_alternative<tcp_endpoint>(listener.endpoint) &&
                           std::ranges::all_of(listener.identity, [&](const auto& check) {
                             return proves_nothing(check, listener, phase.name);
                           });
      if (!is_open) continue;
      out.push_back(
          complaint(listener.where, to_string(listener.endpoint),
                    fmt::format("the canaries of phase {} lock the job down, and anybody may be that "
                                "phase here: let the listener ask for an `identity` that a local "
                                "process has to prove, or let the canaries say `action: alert`",
                                phase.name)));
    }
  }
}

}  // namespace

std::vector<error> check_phases(const settings& s, const allowlist::policy& policy) {
  std::vector<error> out;
  std::vector<std::string_view> names;
  for (const auto& phase : policy.source().phases) names.push_back(phase.name);
  const auto check = [&](std::string_view phase, const allowlist::mark& where, const auto& message) {
    if (policy.find_phase(phase)) return;
    out.push_back({.where = where,
                   .text = printable(phase),
                   .message = message(),
                   .nearest = nearest_word(phase, names)});
  };
  for (const auto& listener : s.listeners) {
    const auto& file = policy.source().file;
    const auto address = to_string(listener.endpoint);
    if (!listener.phase.empty()) {
      check(listener.phase, listener.where, [&] {
        return fmt::format("the listener {} names a phase that {} does not have", address, file);
      });
    }
    for (const auto& one : listener.identity) {
      std::vector<std::string_view> seen = {listener.phase};
      for (const auto phase : phases_named_in(one)) {
        if (std::ranges::find(seen, phase) != seen.end()) continue;
        seen.push_back(phase);
        check(phase, one.where, [&] {
          return fmt::format("`identity` of the listener {} names a phase that {} does not have", address,
                             file);
        });
      }
    }
  }
  check_job_phases(s, policy, out);
  check_lockdown(s, policy, out);
  return out;
}

}  // namespace exeat::config
