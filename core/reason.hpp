// The reason codes: one table, from which the log, the metrics, the refusals and the documents all read.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace exeat::core {

/// Whose doing an outcome is; also what the log's `verdict` of a refused request becomes.
enum class reason_kind : std::uint8_t {
  allowed,   ///< let through
  policy,    ///< the policy, the address guard or the TLS peek said no: verdict `deny`
  request,   ///< not one unambiguous request: verdict `deny`
  limit,     ///< a limit or deadline of ours: verdict `error`
  upstream,  ///< allowed, but the name, the origin or the path to it failed: verdict `error`
  internal,  ///< our own fault or state: verdict `error`
};

// enumerator, string, kind, HTTP status, RFC 9209 proxy error type ("" = none), doc line
// clang-format off
#define EXEAT_REASONS(X) \
  X(allowed,                "allowed",                allowed,  200, "", "A rule of the phase names the destination.") \
  X(no_rule,                "no-rule",                policy,   403, "http_request_denied", "No rule of the phase names this destination.") \
  X(deny_rule,              "deny-rule",              policy,   403, "http_request_denied", "A rule under `deny` names the destination; deny beats every allow.") \
  X(rule_expired,           "rule-expired",           policy,   403, "http_request_denied", "The only rule that names the destination has expired.") \
  X(port_not_allowed,       "port-not-allowed",       policy,   403, "http_request_denied", "A rule names the host, but not this port (a rule without `ports` means 443).") \
  X(scheme_not_allowed,     "scheme-not-allowed",     policy,   403, "http_request_denied", "Plain HTTP to a port that the rule opens only by the default of 443: write the port down.") \
  X(ip_literal,             "ip-literal",             policy,   403, "http_request_denied", "The destination is an IP address and no `cidr` rule of the phase holds it; `host` rules never match addresses.") \
  X(http_only,              "http-only",              policy,   403, "http_request_denied", "The rule names `methods` or `paths`, which only plain HTTP shows: it opens no tunnel.") \
  X(method_not_allowed,     "method-not-allowed",     policy,   403, "http_request_denied", "The rule that governs does not name this method.") \
  X(path_not_allowed,       "path-not-allowed",       policy,   403, "http_request_denied", "The rule that governs does not name this path, or the path can be read in more than one way.") \
  X(name_entropy,           "name-entropy",           policy,   403, "http_request_denied", "What stands in the name for the wildcard carries more bits than the `max_name_entropy` of the rule allows.") \
  X(too_many_names,         "too-many-names",         policy,   403, "http_request_denied", "The wildcard has been used for as many names as its `max_names` allows in one job.") \
  X(upload_limit,           "upload-limit",           policy,   403, "http_request_denied", "The `upload_limit` of the rule, the phase or the job is used up.") \
  X(download_limit,         "download-limit",         policy,   403, "http_request_denied", "The `download_limit` of the rule, the phase or the job is used up.") \
  X(request_limit,          "request-limit",          policy,   403, "http_request_denied", "The `request_limit` of the rule, the phase or the job is used up.") \
  X(time_limit,             "time-limit",             policy,   403, "http_request_denied", "The `time_limit` of the phase has passed.") \
  X(canary,                 "canary",                 policy,   403, "http_request_denied", "The name is a canary: no honest process asks for it. The client is told `no-rule`.") \
  X(outside_resolve_in,     "outside-resolve-in",     policy,   403, "destination_ip_prohibited", "The name resolves to an address that the `resolve_in` of its rule does not hold.") \
  X(address_forbidden,      "address-forbidden",      policy,   403, "destination_ip_prohibited", "The name resolves to (or is) a special-purpose address that no `addresses` entry excepts.") \
  X(address_denied,         "address-denied",         policy,   403, "destination_ip_prohibited", "The name resolves to (or is) an address within a `cidr` under `deny`.") \
  X(own_listener,           "own-listener",           policy,   403, "destination_ip_prohibited", "The destination is one of the proxy's own listeners.") \
  X(proxy_loop,             "proxy-loop",             policy,   403, "proxy_loop_detected", "`Via` says that the request has been through this proxy before.") \
  X(own_upstream,           "own-upstream",           policy,   403, "destination_ip_prohibited", "The destination is an upstream proxy of `upstream.proxies`, which is only ever the next hop.") \
  X(guard_delegated,        "guard-delegated",        policy,   403, "destination_ip_prohibited", "The rule has `resolve_in`, but the name would be looked up by an upstream proxy (`resolve: remote`), where nobody can hold it to that.") \
  X(identity_silent,        "identity-silent",        policy,   403, "http_request_denied", "A source of identity that the listener names gave no answer, so nobody knows which phase is asking.") \
  X(identity_ambiguous,     "identity-ambiguous",     policy,   403, "http_request_denied", "A source of identity gave more than one answer.") \
  X(identity_conflict,      "identity-conflict",      policy,   403, "http_request_denied", "The sources of identity that the listener names disagree about the phase or the job.") \
  X(identity_changed,       "identity-changed",       policy,   403, "http_request_denied", "A request came in another phase or job than the first one on its connection.") \
  X(own_uid,                "own-uid",                policy,   403, "http_request_denied", "The client runs under the proxy's own uid, which is no phase's.") \
  X(credential_missing,     "credential-missing",     policy,   407, "http_request_denied", "The listener wants a credential (`Proxy-Authorization`), and the request has none.") \
  X(credential_wrong,       "credential-wrong",       policy,   407, "http_request_denied", "The credential of the request is not one that the listener knows.") \
  X(job_unknown,            "job-unknown",            policy,   403, "http_request_denied", "The job that the client belongs to is not open.") \
  X(phase_not_in_job,       "phase-not-in-job",       policy,   403, "http_request_denied", "The job does not declare this phase.") \
  X(phase_sealed,           "phase-sealed",           policy,   403, "http_request_denied", "The job has left this phase behind (or has ended): it is sealed, and stays so.") \
  X(not_tls,                "not-tls",                policy,   403, "http_request_denied", "The tunnel does not carry TLS and its rule does not say `tls: any`.") \
  X(sni_missing,            "sni-missing",            policy,   403, "http_request_denied", "The ClientHello names no server, so it cannot be held against the CONNECT host.") \
  X(sni_mismatch,           "sni-mismatch",           policy,   403, "http_request_denied", "The ClientHello names another server than the CONNECT host.") \
  X(ech_refused,            "ech-refused",            policy,   403, "http_request_denied", "The ClientHello carries Encrypted ClientHello and the phase or rule says `ech: refuse`.") \
  X(bad_client_hello,       "bad-client-hello",       policy,   403, "http_request_denied", "The tunnel starts like TLS, but its ClientHello is malformed or larger than 16 KiB.") \
  X(client_hello_timeout,   "client-hello-timeout",   policy,   403, "http_request_denied", "The tunnel sent no complete ClientHello in time.") \
  X(bad_line_ending,        "bad-line-ending",        request,  400, "http_request_error", "A bare CR or LF stands in the head; lines end in CRLF.") \
  X(bad_character,          "bad-character",          request,  400, "http_request_error", "A NUL, a control character or, in the target, a byte above 0x7F stands in the head.") \
  X(obs_fold,               "obs-fold",               request,  400, "http_request_error", "A field line is folded (RFC 9112 5.2).") \
  X(bad_request_line,       "bad-request-line",       request,  400, "http_request_error", "The request line is not METHOD SP TARGET SP HTTP/1.x.") \
  X(bad_method,             "bad-method",             request,  400, "http_request_error", "The method is not a token, or not one that a proxy forwards.") \
  X(bad_version,            "bad-version",            request,  505, "http_request_error", "The version is neither HTTP/1.1 nor HTTP/1.0.") \
  X(bad_field,              "bad-field",              request,  400, "http_request_error", "A field line has no valid name, no colon, or white space before the colon.") \
  X(bad_target,             "bad-target",             request,  400, "http_request_error", "The request target does not follow the grammar.") \
  X(userinfo_in_target,     "userinfo-in-target",     request,  400, "http_request_error", "The target carries user information before the host.") \
  X(fragment_in_target,     "fragment-in-target",     request,  400, "http_request_error", "The target carries a fragment.") \
  X(https_in_absolute_form, "https-in-absolute-form", request,  400, "http_request_error", "An https URL was sent in absolute form; https goes through CONNECT.") \
  X(scheme_unknown,         "scheme-unknown",         request,  400, "http_request_error", "The target's scheme is not http.") \
  X(origin_form,            "origin-form",            request,  400, "http_request_error", "A request meant for a web server reached the proxy (a browser opened its address?).") \
  X(bad_host,               "bad-host",               request,  400, "http_request_error", "The host is not a name of letters, digits, hyphens and underscores, nor an IP address.") \
  X(ambiguous_ip_literal,   "ambiguous-ip-literal",   request,  400, "http_request_error", "The host is an IP address in a spelling that programs read differently (octal, hex, short forms, zone).") \
  X(bad_port,               "bad-port",               request,  400, "http_request_error", "The port is absent from a CONNECT, not digits, or not within 1 to 65535.") \
  X(host_missing,           "host-missing",           request,  400, "http_request_error", "An HTTP/1.1 request without Host.") \
  X(host_repeated,          "host-repeated",          request,  400, "http_request_error", "More than one Host field.") \
  X(host_mismatch,          "host-mismatch",          request,  400, "http_request_error", "The Host field disagrees with the request target.") \
  X(bad_content_length,     "bad-content-length",     request,  400, "http_request_error", "Content-Length is repeated, a list, or not digits.") \
  X(bad_transfer_encoding,  "bad-transfer-encoding",  request,  400, "http_request_error", "Transfer-Encoding is anything but exactly one `chunked`, or stands in HTTP/1.0.") \
  X(length_conflict,        "length-conflict",        request,  400, "http_request_error", "Content-Length and Transfer-Encoding stand together.") \
  X(connect_with_body,      "connect-with-body",      request,  400, "http_request_error", "A CONNECT declares a body.") \
  X(bad_chunk,              "bad-chunk",              request,  400, "http_request_error", "The chunked framing of the request body is malformed.") \
  X(bad_expect,             "bad-expect",             request,  417, "http_request_error", "An expectation other than 100-continue.") \
  X(bad_upgrade,            "bad-upgrade",            request,  400, "http_request_error", "A WebSocket upgrade that is not a GET in HTTP/1.1 without a body.") \
  X(http2_on_plain,         "http2-on-plain",         request,  400, "http_request_error", "An HTTP/2 preface on a plain HTTP/1.1 listener.") \
  X(tls_on_plain,           "tls-on-plain",           request,  400, "http_request_error", "TLS bytes on a plain listener: the proxy URL starts with http://, not https://.") \
  X(client_closed,          "client-closed",          request,  400, "", "The client closed the connection within a head or a body.") \
  X(bad_proxy_protocol,     "bad-proxy-protocol",     request,  400, "http_request_error", "The connection does not begin with a valid PROXY protocol header, or does not come from an upstream that may send one.") \
  X(tls_handshake,          "tls-handshake",          request,  400, "http_request_error", "The TLS handshake with the client failed: no TLS, no common version, or no certificate that verifies.") \
  X(head_too_large,         "head-too-large",         limit,    431, "http_request_error", "The head exceeds `limits.head_bytes`.") \
  X(too_many_fields,        "too-many-fields",        limit,    431, "http_request_error", "The head has more fields than `limits.head_fields`.") \
  X(head_timeout,           "head-timeout",           limit,    408, "http_request_error", "The head was not complete within `timeouts.head`.") \
  X(body_timeout,           "body-timeout",           limit,    408, "http_request_error", "The request body stood still for `timeouts.idle`.") \
  X(idle_timeout,           "idle-timeout",           limit,    408, "connection_timeout", "No byte passed for `timeouts.tunnel_idle`.") \
  X(too_many_connections,   "too-many-connections",   limit,    503, "connection_limit_reached", "The process holds `limits.connections` connections.") \
  X(too_many_of_client,     "too-many-of-client",     limit,    503, "connection_limit_reached", "This client holds `limits.connections_per_client` connections.") \
  X(out_of_descriptors,     "out-of-descriptors",     limit,    503, "connection_limit_reached", "The process is out of file descriptors.") \
  X(too_many_of_phase,      "too-many-of-phase",      limit,    503, "connection_limit_reached", "The phase holds `limits.connections_per_phase` connections in its job.") \
  X(too_many_of_job,        "too-many-of-job",        limit,    503, "connection_limit_reached", "The job holds `limits.connections_per_job` connections.") \
  X(too_many_requests,      "too-many-requests",      limit,    429, "http_request_denied", "This client has sent more requests in a second than `limits.requests_per_client`.") \
  X(too_many_requests_of_phase, "too-many-requests-of-phase", limit, 429, "http_request_denied", "The phase has sent more requests in a second, within its job, than `limits.requests_per_phase`.") \
  X(too_many_requests_of_job, "too-many-requests-of-job", limit, 429, "http_request_denied", "The job has sent more requests in a second than `limits.requests_per_job`.") \
  X(too_many_dials,         "too-many-dials",         limit,    503, "connection_limit_reached", "`limits.dials_per_destination` connections to this destination are being opened, and none of them was done within `timeouts.connect`.") \
  X(too_many_lookups,       "too-many-lookups",       limit,    503, "proxy_internal_response", "`limits.lookups` names are being looked up, or `limits.lookups_per_phase` by this phase.") \
  X(out_of_buffers,         "out-of-buffers",         limit,    503, "proxy_internal_response", "The buffers of the process hold `limits.buffers` octets.") \
  X(tunnel_timeout,         "tunnel-timeout",         limit,    408, "connection_timeout", "The tunnel has been open for `timeouts.tunnel`.") \
  X(tunnel_stalled,         "tunnel-stalled",         limit,    408, "connection_timeout", "One side of the tunnel has taken none of what waits for it for `timeouts.tunnel_stall`.") \
  X(dns_not_found,          "dns-not-found",          upstream, 502, "dns_error", "The name does not exist or has no address.") \
  X(dns_failure,            "dns-failure",            upstream, 502, "dns_error", "The name server refused, failed or answered garbage.") \
  X(dns_timeout,            "dns-timeout",            upstream, 504, "dns_timeout", "No answer of the name servers within `timeouts.dns`.") \
  X(connect_refused,        "connect-refused",        upstream, 502, "connection_refused", "Every checked address refused the connection.") \
  X(connect_unreachable,    "connect-unreachable",    upstream, 502, "destination_ip_unroutable", "No route to any checked address.") \
  X(connect_timeout,        "connect-timeout",        upstream, 504, "connection_timeout", "No checked address answered within `timeouts.connect`.") \
  X(connect_failed,         "connect-failed",         upstream, 502, "destination_unavailable", "The connection to the origin failed in another way.") \
  X(origin_closed,          "origin-closed",          upstream, 502, "connection_terminated", "The origin closed the connection before a complete answer.") \
  X(origin_truncated,       "origin-truncated",       upstream, 502, "http_response_incomplete", "The origin's body ended early; the client's connection is aborted.") \
  X(origin_not_http,        "origin-not-http",        upstream, 502, "http_protocol_error", "The origin's answer is not one unambiguous HTTP/1.x response.") \
  X(origin_timeout,         "origin-timeout",         upstream, 504, "http_response_timeout", "The origin did not answer within `timeouts.response`.") \
  X(upstream_unreachable,   "upstream-unreachable",   upstream, 502, "destination_unavailable", "The upstream proxy that it goes through cannot be found or connected to.") \
  X(upstream_timeout,       "upstream-timeout",       upstream, 504, "connection_timeout", "The upstream proxy did not answer our CONNECT within `timeouts.connect`.") \
  X(upstream_tls,           "upstream-tls",           upstream, 502, "tls_protocol_error", "The TLS handshake with the upstream proxy failed, or its certificate does not verify.") \
  X(upstream_refused,       "upstream-refused",       upstream, 502, "destination_unavailable", "The upstream proxy refused our CONNECT.") \
  X(upstream_credential,    "upstream-credential",    upstream, 502, "proxy_configuration_error", "The upstream proxy wants a credential, or another one (`credential_file`). Its 407 never reaches a client.") \
  X(upstream_not_http,      "upstream-not-http",      upstream, 502, "http_protocol_error", "The upstream proxy's answer to our CONNECT is not one unambiguous HTTP/1.x response, or it closed without one.") \
  X(draining,               "draining",               internal, 503, "proxy_internal_response", "The proxy is stopping.") \
  X(internal_error,         "internal-error",         internal, 500, "proxy_internal_error", "A fault of the proxy's own; the request was not forwarded.")
// clang-format on

enum class reason : std::uint8_t {
#define EXEAT_REASON_ENUMERATOR(name, ...) name,
  EXEAT_REASONS(EXEAT_REASON_ENUMERATOR)
#undef EXEAT_REASON_ENUMERATOR
};

/// One row of the table. `code` is the same string in log, metric label, response and dashboard.
struct reason_row {
  reason value;
  std::string_view code;
  reason_kind kind;
  std::uint16_t status;
  std::string_view proxy_error;
  std::string_view doc;
};

/// All reasons, in the order of the enum.
std::span<const reason_row> reasons() noexcept;

inline constexpr std::size_t reason_count = 0
#define EXEAT_REASON_ONE(...) +1
    EXEAT_REASONS(EXEAT_REASON_ONE)
#undef EXEAT_REASON_ONE
    ;

const reason_row& row_of(reason value) noexcept;
inline std::string_view code_of(reason value) noexcept {
  return row_of(value).code;
}
std::optional<reason> reason_of(std::string_view code) noexcept;

}  // namespace exeat::core
