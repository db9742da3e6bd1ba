// What a worker tells the rest of the process about a decision; the only way out of the data path.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/decision_id.hpp"
#include "core/ip_address.hpp"
#include "core/reason.hpp"

namespace exeat::proxy {

/// As it stands in the log's `verdict`.
enum class outcome : std::uint8_t { allow, deny, would_deny, error };

/// One record. The views live for the call only: a sink copies what it keeps, and bounds it, for host,
/// method, SNI and error text are the attacker's choice.
struct event {
  enum class kind : std::uint8_t {
    decision,  ///< written when it is decided, for every request
    close,     ///< the end of a tunnel that was let through; verdict and reason say how it ended
  };

  event::kind kind = kind::decision;
  std::chrono::system_clock::time_point time;
  core::decision_id id;
  outcome verdict = outcome::deny;
  core::reason reason = core::reason::no_rule;
  std::uint16_t status = 0;  ///< the HTTP status that the client was sent; 0 = none

  std::string_view phase;
  std::string_view job;                    ///< empty where none is declared
  std::optional<core::ip_address> client;  ///< absent for a unix socket
  std::uint16_t client_port = 0;
  std::optional<std::uint32_t> client_uid;  ///< of a local client's socket, where it is known
  /// Of the process behind a refused local request: its executable, or "unavailable"; empty elsewhere.
  std::string_view process;
  std::int32_t pid = 0;      ///< 0: not known
  std::string_view command;  ///< its command line, bounded
  std::string_view cgroup;   ///< path, or "id:N"

  std::string_view method;  ///< CONNECT, GET, ...; empty where the head was not understood
  std::string_view scheme;  ///< "https" for CONNECT, "http", "ws"; empty if not understood
  std::string_view host;    ///< canonical, or empty
  std::uint16_t port = 0;
  std::optional<core::ip_address> address;  ///< dialled, or the one that the guard refused
  std::string_view upstream;                ///< the proxy that it goes through, as a URL; empty: none
  bool delegated = false;                   ///< that one looks the name up: no address was checked here

  std::string_view rule;        ///< id of the governing rule, or of the near miss; empty if none
  std::string_view rule_where;  ///< file:line of that rule
  std::string_view error;       ///< one more sentence for the operator; may be empty
  std::string_view hint;        ///< what to add to the policy so that it passes; may be empty

  std::string_view sni, alpn, tls_version;  ///< of the peeked ClientHello; on close events

  std::uint64_t bytes_up = 0;    ///< client to origin
  std::uint64_t bytes_down = 0;  ///< origin to client
  /// Negative = did not happen.
  std::chrono::microseconds dns{-1}, connect{-1}, total{-1};
};

/// Where events go. `push` is called on worker threads, each with its own number; it never blocks, never
/// throws, and counts what it must drop.
class event_sink {
 public:
  virtual ~event_sink() = default;
  virtual void push(unsigned worker, const event& event) noexcept = 0;
};

}  // namespace exeat::proxy
