#include "cli/env_way.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <variant>
#include <vector>

#include "config/destination.hpp"
#include "config/error.hpp"
#include "config/load.hpp"
#include "jobs/plan_text.hpp"
#include "jobs/secret.hpp"

namespace exeat::cli {
namespace {

using config::identity_check;

bool may_prove(const identity_check& check, const std::string& own, std::string_view phase) {
  const auto is_phase = [&](const auto& claim) { return claim.phase == phase; };
  switch (check.kind) {
    case identity_check::source::listener:
      return own == phase;
    case identity_check::source::peer:
      return std::ranges::any_of(check.peers, is_phase);
    case identity_check::source::mtls:
      return std::ranges::any_of(check.certificates,
                                 [&](const auto& c) { return c.phase.empty() || c.phase == phase; });
    case identity_check::source::credential:
      return check.job_tokens || std::ranges::any_of(check.tokens, is_phase);
    case identity_check::source::source:
      return std::ranges::any_of(check.sources, is_phase);
    case identity_check::source::proxy_protocol:
      return true;
    case identity_check::source::any_of:
      return std::ranges::any_of(check.any_of, [&](const auto& one) { return may_prove(one, own, phase); });
  }
  return false;
}

// The phases that a listener names, and whether it leaves some to the policy.
void collect_phases(const identity_check& check, std::set<std::string>& named, bool& open) {
  const auto add = [&](const auto& claims) {
    for (const auto& claim : claims)
      claim.phase.empty() ? void(open = true) : void(named.insert(claim.phase));
  };
  add(check.peers);
  add(check.certificates);
  add(check.tokens);
  add(check.sources);
  open = open || check.job_tokens;
  for (const auto& one : check.any_of) collect_phases(one, named, open);
}

const identity_check* find_kind(const config::listener& listener, identity_check::source kind) {
  for (const auto& check : listener.identity)
    if (check.kind == kind) return &check;
  return nullptr;
}

const identity_check* find_credential(const config::listener& listener) {
  if (const auto* check = find_kind(listener, identity_check::source::credential)) return check;
  for (const auto& check : listener.identity)
    for (const auto& one : check.any_of)
      if (one.kind == identity_check::source::credential) return &one;
  return nullptr;
}

std::expected<void, std::string> check_known(const config::settings& settings, const std::string& phase) {
  std::set<std::string> named;
  bool open = false;
  for (const auto& listener : settings.listeners) {
    if (find_kind(listener, identity_check::source::listener) != nullptr) {
      named.insert(listener.phase);
    } else {
      for (const auto& check : listener.identity) collect_phases(check, named, open);
    }
  }
  if (named.contains(phase)) return {};
  if (open) {
    const auto policy = config::load_policy(settings);
    if (!policy) return std::unexpected(config::to_string(policy.error()));
    if ((*policy)->find_phase(phase)) return {};
  }
  const std::vector<std::string_view> words(named.begin(), named.end());
  const auto nearest = config::nearest_word(phase, words);
  return std::unexpected(fmt::format(
      "no listener serves the phase `{}`{}; they serve {}{}", config::printable(phase),
      nearest.empty() ? "" : fmt::format(" (did you mean `{}`?)", nearest), fmt::join(named, ", "),
      open ? " and, by tokens or certificates, those of the policy" : ""));
}

// "USER:TOKEN" of what the file or the variable holds.
std::expected<std::string, std::string> credential_of(const way_request& request) {
  std::string token;
  if (!request.token_file.empty()) {
    auto read = config::load_secret_file(request.token_file);
    if (!read) return std::unexpected(read.error().to_string());
    token = std::move(*read);
  } else if (const char* set = std::getenv("EXEAT_TOKEN"); set != nullptr) {
    token = set;
  }
  if (token.empty()) return token;
  if (!std::ranges::all_of(token, [](char c) { return c > 0x20 && c < 0x7f; }))
    return std::unexpected("the token must be one word of printable ASCII characters");
  return token.contains(':') ? token : request.phase + ":" + token;
}

// A token of exeat.yaml can be told from a wrong one here; one of a job only by the process.
std::expected<void, std::string> check_token(const identity_check& check, const std::string& credential,
                                             const std::string& phase) {
  if (check.job_tokens) return {};
  const auto digest = jobs::sha256_of(credential.substr(credential.find(':') + 1));
  const bool known = digest && credential.starts_with(phase + ":") &&
                     std::ranges::any_of(check.tokens, [&](const auto& claim) {
                       return claim.phase == phase && jobs::same_digest(claim.sha256, *digest);
                     });
  if (known) return {};
  return std::unexpected(fmt::format("the token is none of those that prove the phase `{}`", phase));
}

std::expected<void, std::string> add_credential(phase_way& way, const config::listener* listener,
                                                const way_request& request) {
  const auto* check = listener == nullptr ? nullptr : find_credential(*listener);
  const bool always = check != nullptr && find_kind(*listener, identity_check::source::credential) != nullptr;
  way.takes_credential = check != nullptr;
  if (listener != nullptr && check == nullptr) {
    if (request.token_file.empty()) return {};
    return std::unexpected("--token-file: the listener of this phase asks for no token");
  }
  auto credential = credential_of(request);
  if (!credential) return std::unexpected(credential.error());
  if (credential->empty() && always)
    return std::unexpected(
        fmt::format("the phase `{}` is proven by a token: name its file with --token-file, or put it into "
                    "$EXEAT_TOKEN",
                    request.phase));
  if (!credential->empty() && check != nullptr)
    if (const auto good = check_token(*check, *credential, request.phase); !good) return good;
  way.tcp.credential = std::move(*credential);
  return {};
}

bool is_any_address(const core::ip_address& address) {
  return std::ranges::all_of(address.bytes(), [](auto octet) { return octet == 0; });
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("-._~").contains(c);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

std::string proxy_way::address() const {
  const bool v6 = host.contains(':');
  return fmt::format("{}://{}{}{}:{}", tls ? "https" : "http", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

std::string proxy_way::url() const {
  auto out = address();
  if (credential.empty()) return out;
  const auto colon = credential.find(':');
  return out.insert(out.find("//") + 2, percent_encoded(credential.substr(0, colon)) + ":" +
                                            percent_encoded(credential.substr(colon + 1)) + "@");
}

bool proxy_way::on_loopback() const {
  if (host == "localhost") return true;
  const auto address = core::ip_address::parse(host);
  return address && config::is_local(config::tcp_endpoint{.address = *address, .port = port});
}

bool may_serve(const config::listener& listener, std::string_view phase) {
  return std::ranges::all_of(listener.identity,
                             [&](const auto& check) { return may_prove(check, listener.phase, phase); });
}

std::expected<proxy_way, std::string> parse_proxy(std::string_view text) {
  const bool tls = text.starts_with("https://");
  const auto rest = text.substr(std::min(
      text.size(), text.find("//") == std::string_view::npos ? std::size_t{0} : text.find("//") + 2));
  if (!tls && !text.starts_with("http://"))
    return std::unexpected("a proxy is written http://HOST:PORT or https://HOST:PORT");
  if (rest.contains('@'))
    return std::unexpected(
        "a token does not belong on a command line, where every process sees it: use --token-file or "
        "$EXEAT_TOKEN");
  const auto authority = rest.ends_with('/') ? rest.substr(0, rest.size() - 1) : rest;
  if (authority.find_first_of("/?#") != std::string_view::npos || !authority.contains(':'))
    return std::unexpected("a proxy is written http://HOST:PORT or https://HOST:PORT, and ends there");
  const auto wanted = config::parse_destination(fmt::format("http://{}/", authority));
  if (!wanted) return std::unexpected(wanted.error());
  return proxy_way{.tls = tls, .host = core::to_string(wanted->to.host), .port = wanted->to.port};
}

std::expected<phase_way, std::string> find_way(const way_request& request) {
  if (const auto valid = jobs::valid_plan({{{request.phase}}}); !valid)
    return std::unexpected("--phase: " + config::printable(valid.error(), 300));
  phase_way way;
  if (!request.proxy.empty()) {
    auto parsed = parse_proxy(request.proxy);
    if (!parsed) return std::unexpected("--proxy: " + parsed.error());
    way.tcp = std::move(*parsed);
    if (request.config_file.empty()) {
      if (const auto done = add_credential(way, nullptr, request); !done)
        return std::unexpected(done.error());
      return way;
    }
  }
  const auto settings = config::load_settings(request.config_file, {});
  if (!settings) return std::unexpected(config::to_string(settings.error()));
  if (const auto known = check_known(*settings, request.phase); !known) return std::unexpected(known.error());

  const config::listener* chosen = nullptr;
  for (const auto& listener : settings->listeners) {
    if (!may_serve(listener, request.phase)) continue;
    if (const auto* unix = std::get_if<config::unix_endpoint>(&listener.endpoint)) {
      if (way.unix_path.empty()) way.unix_path = unix->path;
    } else if (chosen == nullptr) {
      chosen = &listener;
    }
  }
  if (chosen == nullptr && request.proxy.empty()) {
    if (!way.unix_path.empty()) return way;
    return std::unexpected(
        fmt::format("no listener serves the phase `{}` with all that it asks for", request.phase));
  }
  if (chosen != nullptr) {
    const auto& endpoint = std::get<config::tcp_endpoint>(chosen->endpoint);
    way.wants_certificate = find_kind(*chosen, identity_check::source::mtls) != nullptr;
    if (request.proxy.empty()) {
      if (endpoint.port == 0 || is_any_address(endpoint.address))
        return std::unexpected(fmt::format(
            "the listener of the phase `{}` is {}, which is no address to connect to: say with --proxy "
            "http://HOST:PORT how the job reaches it",
            request.phase, config::to_string(chosen->endpoint)));
      way.tcp = {.tls = chosen->tls.has_value(), .host = endpoint.address.to_string(), .port = endpoint.port};
    }
  }
  if (const auto done = add_credential(way, chosen, request); !done) return std::unexpected(done.error());
  return way;
}

}  // namespace exeat::cli
