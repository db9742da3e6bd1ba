// Heads as they go on: written anew from what was understood, never copied (RFC 9110 7.6).
#pragma once
#include <string>
#include <string_view>

#include "wire/request_head.hpp"
#include "wire/response_head.hpp"

namespace exeat::wire {

/// What is left out of every forwarded head: Connection and the fields it nominates, Keep-Alive, Proxy-* and
/// `Proxy`, TE, Transfer-Encoding and Content-Length (written anew from the framing), Upgrade and
/// HTTP2-Settings (but a sound WebSocket handshake is written anew), Exeat-*, and Trailer where the body is
/// not chunked. `TE: trailers` is not passed on: trailers are forwarded whether or not anybody asked.
struct request_options {
  std::string_view via;  ///< pseudonym to append as Via; "" = none
  bool close = false;    ///< ask the origin to close after its answer
  bool expect = true;    ///< pass a sound `Expect: 100-continue` on
  /// "" = origin-form, for the origin itself. Otherwise absolute-form with this authority as it stands, for a
  /// next proxy; Host still names the destination.
  std::string_view absolute_authority;
  std::string_view extra_lines;  ///< whole field lines with CRLF, of our own making
};

/// Clears `out` and writes the head. Host is made from the destination (port left out when it is 80). An
/// empty path becomes "/", or "*" for OPTIONS (RFC 9112 3.2.4). Only for heads in absolute form, and for
/// those whose max_forwards is not 0: it is written one less.
void write_request_head(const request_head& head, const request_options& options, std::string& out);

struct response_options {
  unsigned client_minor = 1;  ///< HTTP/1.minor of the client
  std::string_view via;
  bool close = false;            ///< this connection ends after the answer
  std::string_view extra_lines;  ///< whole field lines with CRLF, of our own making
};

/// How the body goes to the client. What ends with the origin's connection goes chunked to HTTP/1.1, so that
/// a truncation is seen; what is chunked goes to the close towards HTTP/1.0.
body_framing forwarded_framing(const response_head& head, unsigned client_minor) noexcept;

/// Clears `out` and writes the head of a final, interim or 101 answer in the framing of forwarded_framing().
/// `Connection: close` is written where `close` says so, to HTTP/1.0, and for a body to the close.
/// A 407 must be turned into a refusal by the caller (response_head::is_proxy_challenge).
void write_response_head(const response_head& head, const response_options& options, std::string& out);

/// True where a Via field names this pseudonym as received-by: the request has been here before.
bool via_names(const field_list& fields, std::string_view pseudonym) noexcept;

}  // namespace exeat::wire
