// What shows of `identity` only beside the rest of a listener.
#include <fmt/format.h>

#include <algorithm>

#include "config/identity_keys.hpp"

namespace exeat::config {
namespace {

using source = identity_check::source;

std::string never(const identity_check& check, const listener& listener) {
  const bool is_unix = std::holds_alternative<unix_endpoint>(listener.endpoint);
  switch (check.kind) {
    case source::peer:
      if (is_local(listener.endpoint)) return {};
      return "`peer` knows local clients only: it needs a unix socket, or an address of loopback";
    case source::mtls:
      if (listener.tls && !listener.tls->client_ca.empty()) return {};
      return "`mtls` needs `tls.client_ca` of the listener, which says whose client certificates count";
    case source::source:
      return is_unix ? "`source` never answers on a unix socket, which shows no address" : "";
    case source::proxy_protocol:
      return is_unix ? "`proxy_protocol` never answers on a unix socket: upstreams are named by address" : "";
    default:
      return {};
  }
}

void check_sources(const std::vector<identity_check>& checks, const listener& listener,
                   std::vector<error>& errors) {
  for (const auto& check : checks) {
    if (auto message = never(check, listener); !message.empty()) {
      errors.push_back(
          {.where = check.where, .text = to_string(listener.endpoint), .message = std::move(message)});
    }
    check_sources(check.any_of, listener, errors);
  }
}

}  // namespace

void check_identity(const listener& listener, std::vector<error>& errors) {
  check_sources(listener.identity, listener, errors);
  const bool is_guarded = std::ranges::any_of(listener.identity, [](const auto& check) {
    return check.kind != source::listener && check.kind != source::proxy_protocol;
  });
  if (is_guarded || is_local(listener.endpoint)) return;
  errors.push_back({.where = listener.where,
                    .text = to_string(listener.endpoint),
                    .message = fmt::format("a listener beyond loopback needs a check of who connects, for "
                                           "any host that reaches the address would "
                                           "get what phase {} may do: name one under `identity` (`mtls`, "
                                           "`credential` or `source`), or listen on "
                                           "loopback or on a unix socket",
                                           printable(listener.phase))});
}

std::vector<std::string_view> phases_named_in(const identity_check& check) {
  std::vector<std::string_view> out;
  const auto add = [&](const auto& claims) {
    for (const auto& claim : claims) {
      if (!claim.phase.empty()) out.push_back(claim.phase);
    }
  };
  add(check.peers);
  add(check.certificates);
  add(check.tokens);
  add(check.sources);
  for (const auto& alternative : check.any_of) {
    const auto more = phases_named_in(alternative);
    out.insert(out.end(), more.begin(), more.end());
  }
  return out;
}

}  // namespace exeat::config
