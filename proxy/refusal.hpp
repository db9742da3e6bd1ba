// A refusal as a complete HTTP/1.x response: pure text, no socket.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "core/reason.hpp"

namespace exeat::proxy {

struct refusal {
  core::reason reason = core::reason::no_rule;  ///< anything but `allowed`
  std::string_view decision;                    ///< the decision id's text
  std::string_view destination;                 ///< host:port; empty where none was understood
  std::string_view phase;                       ///< empty where none is known
  std::string_view message;                     ///< allowlist::explanation; empty: the reason's own sentence
  std::span<const std::string> next;            ///< what to do, line by line; a 407 says first where it goes
  std::string_view listener;  ///< host:port that the client reached; told to a browser (origin_form) and to
                              ///< who lacks a credential (407) only
  bool tls = false;           ///< the listener speaks TLS: its proxy URL begins with https://
  bool wants_json = false;    ///< accept_wants_json of the request's Accept
  bool head_request = false;  ///< the fields of the answer without its body (RFC 9110 9.3.2)
  bool close = true;  ///< `Connection: close`; always so after a refused CONNECT (RFC 9931), and written with
                      ///< a 407 whatever stands here: each attempt at a credential costs a connection
  int http_minor = 1;  ///< of the request; 0 is answered as HTTP/1.0
};

/// "egress-denied no-rule", "bad-request bad-host", "limit-reached head-timeout", "upstream-failed
/// dns-timeout", "proxy-unavailable draining": the reason phrase, and with it all that most clients show of a
/// refused CONNECT. The word in front is also the `error` of the JSON body.
std::string reason_phrase(core::reason reason);

/// Appends status line, fields (`Proxy-Status` of RFC 9209, `Exeat-Decision`, with 407 the challenges of
/// RFC 9110 11.7.1, one field for `Basic` and one for `Bearer`, ...) and body, text or JSON:
/// {"error","reason","destination","phase","decision","message","next":[...]}, absent members being null.
/// Whatever the views hold, the response stays well-formed: control characters and broken UTF-8 are replaced.
void append_refusal(std::string& out, const refusal& refusal);

/// True where an Accept field (its values joined by commas) prefers application/json, or a type ending in
/// +json, over text/plain (RFC 9110 12.5.1). On a tie the one named wins over a wildcard, and of two named
/// the first. Wildcards alone, or nothing, mean text. Elements with a malformed weight count for nothing.
bool accept_wants_json(std::string_view accept) noexcept;

}  // namespace exeat::proxy
