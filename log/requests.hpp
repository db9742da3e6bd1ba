// The requests that a decision log tells of, one by one.
#pragma once
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>

namespace exeat::log {

/// One line of the event `decision`. Host, phase and method are the client's choice: any octets. The views
/// live as long as the call.
struct recorded_request {
  std::string_view time;  ///< RFC 3339
  std::string_view phase;
  std::string_view scheme;  ///< "https", "http" or "ws"
  std::string_view method;
  std::string_view host;     ///< empty where the head was not understood
  std::uint16_t port = 0;    ///< 0 likewise
  std::string_view address;  ///< dialled or refused; empty where it never came to that
  std::string_view verdict;
  std::string_view reason;
  std::string_view rule;
};

struct requests_read {
  std::uint64_t decisions = 0;
  std::uint64_t malformed = 0;  ///< lines that are none of the log's
  std::uint64_t lost = 0;       ///< lines that the log itself says it dropped
};

using request_visitor = std::function<void(const recorded_request&)>;

/// Calls `visit` for each decision in JSON lines as log/ writes them, and `cut`, where it is given, for each
/// tunnel that was let through and then refused for what it carried. A line that stands twice is visited
/// twice.
requests_read read_requests(std::istream& in, const request_visitor& visit, const request_visitor& cut = {});

/// Opens a file of such lines, "-" being `standard_input`; the error is a sentence, empty where it went well.
std::string read_requests(const std::string& file, std::istream& standard_input, requests_read& count,
                          const request_visitor& visit, const request_visitor& cut = {});

}  // namespace exeat::log
