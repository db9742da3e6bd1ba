// The gate: is this one unambiguous HTTP/1 request to a proxy, and what does it ask for?
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/destination.hpp"
#include "wire/field.hpp"
#include "wire/framing.hpp"
#include "wire/head_scan.hpp"

namespace exeat::wire {

enum class target_form : std::uint8_t { connect, absolute };

/// A request that passed the gate. Every view points into the caller's buffer and lives as long as it stays
/// put.
struct request_head {
  std::string_view method;
  std::string_view target;  ///< as it came; for the log
  target_form form = target_form::connect;
  core::destination to{core::ip_address{}, 0};
  /// Absolute form: path and query as they stand; "", "/...", or "?..." (origin_form() gives what is sent).
  std::string_view path;
  std::uint8_t minor = 1;
  field_list fields;

  body_framing framing = body_framing::none;  ///< none, length or chunked
  std::uint64_t content_length = 0;
  /// Another request may follow: HTTP/1.1 without `close`, never HTTP/1.0, and not behind an Upgrade to
  /// WebSocket: what the client sends then may be meant for the other protocol (RFC 9931).
  bool keep_alive = false;
  bool expect_continue = false;    ///< HTTP/1.1, `100-continue`, and a body is announced
  bool upgrade_websocket = false;  ///< a sound WebSocket handshake; any other upgrade is simply not forwarded
  bool connection_auth = false;  ///< Authorization is NTLM or Negotiate: the origin connection is not pooled
  std::optional<std::string_view> proxy_authorization;
  /// Of OPTIONS only (TRACE is refused): 0 = do not forward, answer as the last recipient (RFC 9110 7.6.2).
  std::optional<std::uint32_t> max_forwards;
  std::string_view accept;
  std::string_view host;  ///< the Host field, empty where HTTP/1.0 has none

  core::scheme scheme() const noexcept {
    return form == target_form::connect ? core::scheme::https : core::scheme::http;
  }
  bool is(std::string_view name) const noexcept { return method == name; }
};

/// Parses heads out of a buffer, one after the other, without allocation. Usage: call parse() with the buffer
/// from the head's first octet on, again with more octets on need_more; on done take size() octets off and
/// reset(). The outcome does not depend on how the octets were cut. Not thread-safe.
///
/// Rules on top of head_scan, parse_request_line, the targets of authority.hpp and read_framing:
/// - CONNECT takes authority form and nothing else does; a target in origin or asterisk form is origin_form.
/// - Host: exactly one in HTTP/1.1 (host_missing, host_repeated), at most one in HTTP/1.0; it agrees with the
///   target (host_mismatch).
/// - CONNECT declares no body: connect_with_body (`Content-Length: 0` passes).
/// - Expect: 100-continue or nothing (bad_expect); in HTTP/1.0 100-continue has no effect (RFC 9110 10.1.1).
/// - Upgrade: websocket only on GET, HTTP/1.1, without a body, nominated by Connection, in one field
///   (bad_upgrade). Other protocols, h2c above all, are left out of what is forwarded.
/// - Proxy-Authorization at most once (bad_field). Connection: see read_connection.
/// - Max-Forwards of OPTIONS: one number (bad_field); above 1e9 it counts as 1e9.
class request_parser {
 public:
  /// `out` is valid on done; on error it holds what was understood before the fault: method, target, accept.
  parse_status parse(std::string_view buffer, const head_limits& limits, request_head& out) noexcept;
  /// Octets of the head, a skipped empty line included; valid on done.
  std::size_t size() const noexcept { return scan_.end(); }
  const fault& error() const noexcept { return error_; }
  /// True once an octet of a request has been seen: what a client that closes now leaves unfinished.
  bool started() const noexcept { return scan_.end() > scan_.start(); }
  void reset() noexcept { scan_.reset(); }

 private:
  head_scan scan_{head_kind::request};
  fault error_;
};

}  // namespace exeat::wire
