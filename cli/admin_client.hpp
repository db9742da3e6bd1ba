// A blocking HTTP client for the control socket and the admin API of a running `exeat serve`.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <variant>

#include "cli/commands.hpp"

namespace exeat::cli {

/// "http://127.0.0.1:9400".
struct admin_url {
  std::string host;  ///< a name or an address, IPv6 without brackets
  std::string port;
};
/// Reads http://HOST[:PORT][/]. The error is a sentence.
std::expected<admin_url, std::string> parse_admin_url(std::string_view text);

/// Where a process is spoken to: by its control socket's path, or over TCP.
using admin_address = std::variant<std::string, admin_url>;

/// By `--control`, `--url`, the `control` of `--config`, or the default of config::settings. The error is one
/// or more sentences.
std::expected<admin_address, std::string> find_process(const process_choice& choice);

struct admin_reply {
  unsigned status = 0;
  std::string body;
};
struct admin_request {
  std::string_view method = "GET";
  std::string target;
  std::string body;
  std::string bearer;  ///< printable ASCII; empty: no credential
};
/// One request on one connection; a minute for it. The error says what to do.
std::expected<admin_reply, std::string> ask(const admin_address& at, const admin_request& request);

}  // namespace exeat::cli
