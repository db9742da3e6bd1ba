// What `exeat serve` tells a person at start.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "allowlist/policy.hpp"
#include "config/settings.hpp"
#include "proxy/listen_socket.hpp"

namespace exeat::cli {

struct banner_facts {
  const allowlist::policy* policy = nullptr;
  const std::vector<proxy::bound_listener>* listeners = nullptr;
  std::optional<config::endpoint> admin;
  std::optional<config::endpoint> control;
  std::string login;    ///< a one-time token for the dashboard; empty: none is shown
  std::string job;      ///< one line
  std::string sandbox;  ///< one line
  const config::upstream_settings* upstream = nullptr;
  unsigned workers = 0;
  std::vector<std::string> warnings;  ///< one line each
};

/// Policy, listeners, the proxy variables of each phase, metrics and health, who may use it, and a command
/// that the policy allows and one that it refuses. Ends with a newline; the `ready` line is not part of it.
std::string banner(const banner_facts& facts);

/// Who vouches for the phase on a listener: "none" (a TCP port that anybody may use), "unix-socket", or the
/// sources of identity that it asks, such as "peer+credential".
std::string identity_of(const proxy::bound_listener& listener);
/// "none" where that is so of any listener, else all of them in turn.
std::string identity_of(const std::vector<proxy::bound_listener>& listeners);
/// The line about it, for the banner and for health.
std::string identity_note(const std::vector<proxy::bound_listener>& listeners);

}  // namespace exeat::cli
