// HTTP for the operator: metrics, health, readiness, reload, jobs. Its own thread; never in the way of the
// data path.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "admin/state.hpp"
#include "config/settings.hpp"

namespace exeat::admin {

struct api_sources;

struct options {
  /// Where everything is served to whoever has a token. TCP or unix.
  std::optional<config::endpoint> address;
  /// Where whoever gets in, by its file mode, is an operator, unless one of `phase_peers` fits.
  std::optional<config::unix_endpoint> control;
  std::vector<config::peer_claim> phase_peers;  ///< those that stand for a phase on some listener
  std::string operator_token;                   ///< makes an operator of whoever sends it; empty: none
  std::string reload_token;                     ///< good for POST /-/reload at `address` alone; empty: none
  /// Names that `Host` may carry on TCP besides "localhost"; IP addresses always may. A page whose name was
  /// rebound to our address says its own name there, and is refused.
  std::vector<std::string> allowed_hosts;

  /// The dashboard and its API; null: neither. Outlives the server.
  const api_sources* api = nullptr;
  std::size_t watchers = 16;  ///< of the live stream at once

  std::size_t connections = 64;  ///< at once at each door; more get a 503, or nothing where they are many
  std::size_t head_octets = 8192;
  std::size_t body_octets = 4096;
  std::chrono::milliseconds request_timeout{10'000};  ///< to a whole request, the wait for it included
  std::chrono::milliseconds write_timeout{10'000};
  /// What an answer to somebody without the right waits, so that nobody tries many secrets; others go on.
  std::chrono::milliseconds denied_delay{1'000};
};

class admin_server {
 public:
  /// Binds; nobody is answered before begin(). The error is a sentence with the way out.
  static std::expected<std::unique_ptr<admin_server>, std::string> open(options options, callbacks callbacks);
  /// Starts the thread. Once. The error is a sentence.
  std::expected<void, std::string> begin();
  /// Both.
  static std::expected<std::unique_ptr<admin_server>, std::string> start(options options,
                                                                         callbacks callbacks);
  /// As stop().
  ~admin_server();
  admin_server(const admin_server&) = delete;
  admin_server& operator=(const admin_server&) = delete;

  /// Closes all connections, ends the thread (after a callback that runs) and removes the socket files.
  void stop() noexcept;

  /// `address` with the port that the kernel chose.
  const std::optional<config::endpoint>& bound() const noexcept;

 private:
  struct state;
  explicit admin_server(std::unique_ptr<state> state) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace exeat::admin
