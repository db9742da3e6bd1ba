#include "wire/request_head.hpp"

#include <algorithm>

#include "wire/authority.hpp"
#include "wire/octets.hpp"
#include "wire/request_line.hpp"

namespace exeat::wire {
namespace {

using core::reason;
using verdict = std::optional<fault>;

void clear(request_head& out) noexcept {
  out.method = out.target = out.path = out.accept = out.host = {};
  out.fields.clear();
  out.framing = body_framing::none;
  out.content_length = 0;
  out.keep_alive = out.expect_continue = out.upgrade_websocket = out.connection_auth = false;
  out.proxy_authorization.reset();
  out.max_forwards.reset();
}

verdict judge_target(request_head& out) noexcept {
  if (out.method == "CONNECT") {
    const auto to = parse_connect_authority(out.target);
    if (!to) return to.error();
    out.form = target_form::connect;
    out.to = *to;
    return {};
  }
  const auto parsed = parse_http_target(out.target);
  if (!parsed) return parsed.error();
  out.form = target_form::absolute;
  out.to = parsed->to;
  out.path = parsed->path;
  return {};
}

// As it stands in the target, which has been judged.
std::string_view authority_of(const request_head& head) noexcept {
  if (head.form == target_form::connect) return head.target;
  constexpr std::string_view scheme = "http://";
  return head.target.substr(scheme.size(), head.target.size() - scheme.size() - head.path.size());
}

verdict judge_host(request_head& out) noexcept {
  const field* host = nullptr;
  for (const auto& f : out.fields) {
    if (f.id != field_id::host) continue;
    if (host != nullptr) return fault{reason::host_repeated, "more than one Host field"};
    host = &f;
  }
  if (host == nullptr) {
    if (out.minor == 0) return {};
    return fault{reason::host_missing, "an HTTP/1.1 request without Host"};
  }
  out.host = host->value;
  if (out.host == authority_of(out)) return {};  // nearly always; else another spelling may say the same
  return host_disagreement(out.to, out.host, out.scheme());
}

verdict judge_body(request_head& out) noexcept {
  const auto declared = read_framing(out.fields, out.minor);
  if (!declared) return declared.error();
  out.framing = declared->framing;
  out.content_length = declared->content_length;
  const bool has_body =
      out.framing == body_framing::chunked || (out.framing == body_framing::length && out.content_length > 0);
  if (out.form == target_form::connect) {
    if (has_body) return fault{reason::connect_with_body, "a CONNECT declares a body"};
    out.framing = body_framing::none;
  }
  for (const auto& f : out.fields) {
    if (f.id != field_id::expect) continue;
    if (!same_text(f.value, "100-continue")) {
      return fault{reason::bad_expect, "the expectation is something other than 100-continue"};
    }
    out.expect_continue = has_body && out.minor == 1;
  }
  return {};
}

verdict judge_upgrade(request_head& out, const connection_options& connection) noexcept {
  std::size_t upgrades = 0;
  bool websocket = false;
  for (const auto& f : out.fields) {
    if (f.id != field_id::upgrade) continue;
    ++upgrades;
    auto list = f.value;
    std::string_view protocol;
    while (next_element(list, protocol)) websocket = websocket || same_text(protocol, "websocket");
  }
  if (!websocket) return {};
  const bool has_body =
      out.framing == body_framing::chunked || (out.framing == body_framing::length && out.content_length > 0);
  if (upgrades != 1 || out.method != "GET" || out.minor != 1 || has_body || !connection.upgrade) {
    return fault{reason::bad_upgrade,
                 "a WebSocket upgrade is a GET in HTTP/1.1 without a body, and Connection names `upgrade`"};
  }
  out.upgrade_websocket = true;
  return {};
}

verdict judge_hops(request_head& out) noexcept {
  constexpr std::uint32_t most = 1'000'000'000;
  if (out.method != "OPTIONS") return {};
  for (const auto& f : out.fields) {
    if (f.id != field_id::max_forwards) continue;
    if (out.max_forwards) return fault{reason::bad_field, "more than one Max-Forwards field"};
    if (f.value.empty() || !all(f.value, octet_digit)) {
      return fault{reason::bad_field, "Max-Forwards is not a number"};
    }
    std::uint64_t value = 0;
    for (const char c : f.value) {
      value = std::min<std::uint64_t>(value * 10 + static_cast<unsigned>(c - '0'), most);
    }
    out.max_forwards = static_cast<std::uint32_t>(value);
  }
  return {};
}

verdict judge(request_head& out) noexcept {
  if (auto wrong = judge_target(out)) return wrong;
  if (auto wrong = judge_host(out)) return wrong;
  if (auto wrong = judge_body(out)) return wrong;
  const auto connection = read_connection(out.fields, true);
  if (!connection) return connection.error();
  if (auto wrong = judge_upgrade(out, *connection)) return wrong;
  if (auto wrong = judge_hops(out)) return wrong;
  out.keep_alive = out.minor == 1 && !connection->close && !out.upgrade_websocket;
  for (const auto& f : out.fields) {
    if (f.id == field_id::proxy_authorization) {
      if (out.proxy_authorization) return fault{reason::bad_field, "more than one Proxy-Authorization field"};
      out.proxy_authorization = f.value;
    } else if (f.id == field_id::authorization) {
      out.connection_auth = out.connection_auth || authenticates_connection(f.value);
    }
  }
  return {};
}

}  // namespace

parse_status request_parser::parse(std::string_view buffer, const head_limits& limits,
                                   request_head& out) noexcept {
  const auto scanned = scan_.feed(buffer, limits);
  if (scanned == parse_status::need_more) return scanned;
  clear(out);
  if (scanned == parse_status::error) {
    error_ = scan_.error();
    return scanned;
  }
  const auto refuse = [&](const fault& why) {
    error_ = why;
    return parse_status::error;
  };
  const auto head = buffer.substr(scan_.start(), scan_.end() - scan_.start());
  const auto line_end = head.find('\r');
  const auto line = parse_request_line(head.substr(0, line_end));
  if (!line) return refuse(line.error());
  out.method = line->method;
  out.target = line->target;
  out.minor = line->minor;
  if (const auto wrong = parse_fields(head.substr(line_end + 2), out.fields)) return refuse(*wrong);
  for (const auto& f : out.fields) {
    if (f.id == field_id::accept && out.accept.empty()) out.accept = f.value;
  }
  if (const auto wrong = judge(out)) return refuse(*wrong);
  return parse_status::done;
}

}  // namespace exeat::wire
