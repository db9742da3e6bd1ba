#include "wire/request_line.hpp"

#include "wire/octets.hpp"

namespace exeat::wire {
namespace {

using core::reason;

std::unexpected<fault> refuse(reason why, std::string_view detail) {
  return std::unexpected(fault{why, detail});
}

}  // namespace

std::expected<request_line, fault> parse_request_line(std::string_view line) noexcept {
  if (line == "PRI * HTTP/2.0") {
    return refuse(reason::http2_on_plain,
                  "this port speaks HTTP/1.1; the client started HTTP/2 without asking");
  }
  const auto first = line.find(' ');
  if (first == std::string_view::npos || first == 0) {
    return refuse(reason::bad_request_line, "the request line does not start with a method and a space");
  }
  request_line out;
  out.method = line.substr(0, first);
  if (!is_token(out.method)) return refuse(reason::bad_method, "the method is not a token");
  if (out.method.size() > max_method_size) return refuse(reason::bad_method, "the method is over 32 octets");
  for (const char c : out.method) {
    if (is(c, octet_lower)) return refuse(reason::bad_method, "the method has a lower-case letter");
  }
  const auto last = line.rfind(' ');
  if (last == first) {
    return refuse(reason::bad_version, "the request line has no version: HTTP/0.9 is not spoken here");
  }
  out.target = line.substr(first + 1, last - first - 1);
  if (out.target.empty() || out.target.find(' ') != std::string_view::npos) {
    return refuse(reason::bad_request_line,
                  "the request line is not three parts with one space between them");
  }
  const auto version = line.substr(last + 1);
  if (version == "HTTP/1.1") {
    out.minor = 1;
  } else if (version == "HTTP/1.0") {
    out.minor = 0;
  } else if (starts_with_text(version, "HTTP/")) {
    return refuse(reason::bad_version, "the version is neither HTTP/1.1 nor HTTP/1.0");
  } else {
    return refuse(reason::bad_request_line, "the request line does not end in HTTP/1.1 or HTTP/1.0");
  }
  if (out.method == "TRACE") return refuse(reason::bad_method, "TRACE is not forwarded");
  return out;
}

}  // namespace exeat::wire
