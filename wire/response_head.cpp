#include "wire/response_head.hpp"

#include <optional>

#include "wire/octets.hpp"

namespace exeat::wire {
namespace {

using complaint = std::optional<std::string_view>;

complaint read_status_line(std::string_view line, response_head& out) noexcept {
  if (line.starts_with("HTTP/1.1 ")) {
    out.minor = 1;
  } else if (line.starts_with("HTTP/1.0 ")) {
    out.minor = 0;
  } else {
    return "the answer does not start with HTTP/1.1 or HTTP/1.0";
  }
  line.remove_prefix(9);
  if (line.size() < 3 || !all(line.substr(0, 3), octet_digit)) return "the status is not three digits";
  out.status = static_cast<std::uint16_t>((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
  if (out.status < 100 || out.status > 599) return "the status is not within 100 to 599";
  line.remove_prefix(3);
  if (!line.empty() && line[0] != ' ') return "no space follows the status";
  out.phrase = line.empty() ? line : line.substr(1);
  return std::nullopt;
}

complaint judge_switch(const response_head& out, const response_context& context,
                       const connection_options& connection) noexcept {
  if (!context.websocket_request) return "101 without a request to switch";
  if (out.minor == 0) return "101 in HTTP/1.0";
  const field* upgrade = nullptr;
  for (const auto& f : out.fields) {
    if (f.id != field_id::upgrade) continue;
    if (upgrade != nullptr) return "101 with more than one Upgrade";
    upgrade = &f;
  }
  if (upgrade == nullptr || !same_text(upgrade->value, "websocket")) return "101 to something but websocket";
  if (!connection.upgrade) return "101 without `Connection: upgrade`";
  return std::nullopt;
}

complaint judge(response_head& out, const response_context& context) noexcept {
  const auto declared = read_framing(out.fields, out.minor);
  if (!declared) return declared.error().detail;
  const auto connection = read_connection(out.fields, false);
  if (!connection) return connection.error().detail;
  out.declares_length = declared->framing == body_framing::length;
  out.declared_length = declared->content_length;
  out.keep_alive = out.minor == 1 && !connection->close;
  for (const auto& f : out.fields) {
    if (f.id == field_id::www_authenticate) {
      out.connection_auth = out.connection_auth || authenticates_connection(f.value);
    }
  }

  if (out.status < 200 || out.status == 204) {
    if (declared->framing == body_framing::chunked) return "Transfer-Encoding on an answer that has no body";
    if (declared->content_length > 0) return "Content-Length on an answer that has no body";
    if (out.status == 101) return judge_switch(out, context, *connection);
    return std::nullopt;
  }
  if (context.connect_request && out.status < 300) {
    // RFC 9110 9.3.6: the tunnel starts here, whatever the fields say.
    return std::nullopt;
  }
  if (context.head_request || out.status == 304) return std::nullopt;
  out.framing = declared->framing;
  out.content_length = declared->content_length;
  if (out.framing == body_framing::none && out.status < 300 &&
      same_text(out.phrase, "connection established")) {
    return "an answer to a CONNECT that nobody sent";
  }
  if (out.framing == body_framing::none) {
    out.framing = body_framing::until_close;
    out.keep_alive = false;
  }
  return std::nullopt;
}

}  // namespace

parse_status response_parser::parse(std::string_view buffer, const head_limits& limits,
                                    const response_context& context, response_head& out) noexcept {
  // An origin that speaks something else may never send a line end: judge the first octets as they come.
  constexpr std::string_view start = "HTTP/1.";
  const auto seen = buffer.substr(0, start.size());
  if (seen != start.substr(0, seen.size())) {
    return refuse("the answer does not start with HTTP/1.1 or HTTP/1.0");
  }
  const auto scanned = scan_.feed(buffer, limits);
  if (scanned == parse_status::need_more) return scanned;
  out.phrase = {};
  out.status = 0;
  out.fields.clear();
  out.framing = body_framing::none;
  out.content_length = out.declared_length = 0;
  out.declares_length = out.keep_alive = out.connection_auth = false;
  if (scanned == parse_status::error) return refuse(scan_.error().detail);

  const auto head = buffer.substr(0, scan_.end());
  const auto line_end = head.find('\r');
  if (const auto wrong = read_status_line(head.substr(0, line_end), out)) return refuse(*wrong);
  if (const auto wrong = parse_fields(head.substr(line_end + 2), out.fields)) return refuse(wrong->detail);
  if (const auto wrong = judge(out, context)) return refuse(*wrong);
  return parse_status::done;
}

}  // namespace exeat::wire
