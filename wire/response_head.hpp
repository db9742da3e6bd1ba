// An origin's answer: one unambiguous HTTP/1 response, or none.
#pragma once
#include <cstdint>
#include <string_view>

#include "wire/field.hpp"
#include "wire/framing.hpp"
#include "wire/head_scan.hpp"

namespace exeat::wire {

/// What the answer is read against.
struct response_context {
  bool head_request = false;       ///< the request was HEAD: no body, whatever the fields say
  bool websocket_request = false;  ///< the request asked for `Upgrade: websocket`: only then may a 101 come
  bool connect_request = false;    ///< our own CONNECT to a next proxy: a 2xx opens the tunnel, no body
};

/// How many interim answers (1xx) an origin may send before the final one; all of them together are no larger
/// than one head may be.
inline constexpr unsigned max_interim_responses = 16;

/// Every view points into the caller's buffer.
struct response_head {
  std::uint16_t status = 0;  ///< 100 to 599
  std::string_view phrase;   ///< may be empty; field-value octets
  std::uint8_t minor = 1;
  field_list fields;

  body_framing framing = body_framing::none;
  std::uint64_t content_length = 0;  ///< of the body for framing `length`
  /// Content-Length stood there: also where there is no body (HEAD, 304), as information for the client.
  bool declares_length = false;
  std::uint64_t declared_length = 0;
  bool keep_alive = false;       ///< the connection to the origin may be used again after this body
  bool connection_auth = false;  ///< WWW-Authenticate offers NTLM or Negotiate: never pool this connection

  bool is_interim() const noexcept { return status < 200 && status != 101; }
  bool is_switch() const noexcept { return status == 101; }
  /// A proxy's challenge; from an origin it must never reach the client as if it were ours: answer 502.
  bool is_proxy_challenge() const noexcept { return status == 407; }
};

/// Parses heads as request_parser does; every fault has the reason origin_not_http and a detail that says
/// why.
///
/// Status line: HTTP/1.0 or HTTP/1.1, SP, three digits from 100 to 599, SP, phrase; the second SP may be
/// missing where the phrase is empty (many servers do that, and it reads one way only). Field lines as strict
/// as a request's. Body by RFC 9112 6.3: none for 1xx, 204, 304 and HEAD; chunked; Content-Length; else to
/// the close. Refused: Transfer-Encoding other than one `chunked`, with Content-Length, in HTTP/1.0, or on
/// 1xx and 204 (RFC 9112 6.1); Content-Length repeated or malformed, or other than 0 on 1xx and 204; a 2xx
/// without a length whose phrase is "Connection established" (a proxy takes the request for a CONNECT); 101
/// that nobody asked for, in HTTP/1.0, whose Upgrade is not exactly `websocket`, or that Connection does not
/// nominate. Not kept alive: HTTP/1.0, `close`, a body to the close.
class response_parser {
 public:
  parse_status parse(std::string_view buffer, const head_limits& limits, const response_context& context,
                     response_head& out) noexcept;
  /// Octets of the head; valid on done.
  std::size_t size() const noexcept { return scan_.end(); }
  const fault& error() const noexcept { return error_; }
  void reset() noexcept { scan_.reset(); }

 private:
  parse_status refuse(std::string_view detail) noexcept {
    error_ = {core::reason::origin_not_http, detail};
    return parse_status::error;
  }

  head_scan scan_{head_kind::response};
  fault error_;
};

}  // namespace exeat::wire
