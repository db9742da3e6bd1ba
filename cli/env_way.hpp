// The way of a job's phase to its proxy, as exeat.yaml says it or as the caller does.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "config/settings.hpp"

namespace exeat::cli {

/// A proxy as clients are told of it.
struct proxy_way {
  bool tls = false;
  std::string host = "127.0.0.1";  ///< a name or an address, IPv6 without brackets
  std::uint16_t port = 0;
  std::string credential;  ///< "USER:TOKEN"; empty: none is sent

  /// http://HOST:PORT, without the credential.
  std::string address() const;
  /// With the credential in it, percent-encoded (RFC 3986 3.2.1).
  std::string url() const;
  /// Whether it is 127.0.0.0/8, ::1 or localhost.
  bool on_loopback() const;
};

/// What leads to a phase. A TCP listener goes before a unix socket.
struct phase_way {
  proxy_way tcp;          ///< port 0: there is none
  std::string unix_path;  ///< empty: none
  bool wants_certificate = false;
  bool takes_credential = false;
};

/// Whether somebody who passes this listener may be in `phase`: every source of identity can prove it.
bool may_serve(const config::listener& listener, std::string_view phase);

struct way_request {
  std::string phase;
  std::string config_file;  ///< empty: the built-in settings
  std::string proxy;        ///< a URL that stands for what exeat.yaml says of the address; empty: none
  /// Where the token stands; empty: $EXEAT_TOKEN, for a listener that asks for one.
  std::string token_file;
};

/// The error is a sentence, or the lines of a file that does not load. Reads exeat.yaml and, where a job's
/// token or a certificate may prove any phase, the policy. Blocking file I/O.
std::expected<phase_way, std::string> find_way(const way_request& request);

/// "http://HOST:PORT" or "https://HOST:PORT": nothing else is in it. The error is a sentence.
std::expected<proxy_way, std::string> parse_proxy(std::string_view text);

}  // namespace exeat::cli
