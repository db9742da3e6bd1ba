// METHOD SP TARGET SP HTTP/1.x (RFC 9112 3)
#pragma once
#include <cstdint>
#include <expected>
#include <string_view>

#include "wire/fault.hpp"

namespace exeat::wire {

/// The three parts, as views; the target is not judged here.
struct request_line {
  std::string_view method;
  std::string_view target;
  std::uint8_t minor = 1;  ///< HTTP/1.minor
};

inline constexpr std::size_t max_method_size = 32;

/// Takes a request line without its CRLF. A method is a token of at most 32 octets without lower-case
/// letters: methods are case-sensitive, every registered one is upper case, and an origin that folds case
/// would read `connect` or `trace` as what this proxy does not forward. TRACE is refused, for it reflects
/// credentials. Faults: bad_request_line, bad_method, bad_version (HTTP/0.9 too), http2_on_plain.
std::expected<request_line, fault> parse_request_line(std::string_view line) noexcept;

}  // namespace exeat::wire
