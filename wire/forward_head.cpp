#include "wire/forward_head.hpp"

#include <array>
#include <charconv>
#include <optional>

#include "wire/octets.hpp"

namespace exeat::wire {
namespace {

void append_number(std::string& out, std::uint64_t value) {
  std::array<char, 20> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  out.append(text.data(), end);
}

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void append_authority(std::string& out, const core::destination& to) {
  if (const auto* name = std::get_if<core::host_name>(&to.host)) {
    out.append(name->view());
  } else {
    const auto& address = std::get<core::ip_address>(to.host);
    if (address.is_v6()) out += '[';
    out += address.to_string();
    if (address.is_v6()) out += ']';
  }
  if (to.port != 80) {
    out += ':';
    append_number(out, to.port);
  }
}

// Whether a field goes on as it is, apart from what the writers below make anew.
bool passes(const field& f, bool chunked) noexcept {
  if (f.nominated) return false;
  switch (f.id) {
    case field_id::other:
    case field_id::accept:
    case field_id::authorization:
    case field_id::max_forwards:
    case field_id::via:
    case field_id::www_authenticate:
      return true;
    case field_id::trailer:
      return chunked;
    case field_id::connection:
    case field_id::content_length:
    case field_id::exeat:
    case field_id::expect:
    case field_id::host:
    case field_id::http2_settings:
    case field_id::keep_alive:
    case field_id::proxy:
    case field_id::proxy_authorization:
    case field_id::te:
    case field_id::transfer_encoding:
    case field_id::upgrade:
      return false;
  }
  return false;
}

// `hops`: what Max-Forwards is to say, where this hop counts.
void append_passing(std::string& out, const field_list& fields, bool chunked,
                    std::optional<std::uint32_t> hops = {}) {
  for (const auto& f : fields) {
    if (!passes(f, chunked)) continue;
    if (f.id != field_id::max_forwards || !hops) {
      append_field(out, f.name, f.value);
      continue;
    }
    out.append(f.name).append(": ");
    append_number(out, *hops);
    out.append("\r\n");
  }
}

// So that a head grows once: what these fields take at most.
std::size_t size_of(const field_list& fields) noexcept {
  std::size_t size = 0;
  for (const auto& f : fields) size += f.name.size() + f.value.size() + 4;
  return size;
}

void append_via(std::string& out, unsigned minor, std::string_view pseudonym) {
  if (pseudonym.empty()) return;
  out.append(minor == 0 ? "Via: 1.0 " : "Via: 1.1 ").append(pseudonym).append("\r\n");
}

void append_length(std::string& out, std::uint64_t length) {
  out.append("Content-Length: ");
  append_number(out, length);
  out.append("\r\n");
}

}  // namespace

void write_request_head(const request_head& head, const request_options& options, std::string& out) {
  constexpr std::size_t own_lines = 128;  // nearly always enough for what is written anew
  out.clear();
  out.reserve(size_of(head.fields) + head.method.size() + head.path.size() + options.via.size() +
              options.absolute_authority.size() + options.extra_lines.size() + own_lines);
  out.append(head.method).append(" ");
  if (!options.absolute_authority.empty()) out.append("http://").append(options.absolute_authority);
  if (head.path.empty()) {
    // In absolute form an OPTIONS of the whole server has no path; the last proxy turns it into "*".
    if (head.method != "OPTIONS") {
      out += '/';
    } else if (options.absolute_authority.empty()) {
      out += '*';
    }
  } else {
    if (head.path[0] == '?') out += '/';
    out.append(head.path);
  }
  out.append(" HTTP/1.1\r\nHost: ");
  append_authority(out, head.to);
  out.append("\r\n");
  auto hops = head.max_forwards;
  if (hops && *hops > 0) --*hops;
  append_passing(out, head.fields, head.framing == body_framing::chunked, hops);
  append_via(out, head.minor, options.via);
  if (head.framing == body_framing::chunked) append_field(out, "Transfer-Encoding", "chunked");
  if (head.framing == body_framing::length) append_length(out, head.content_length);
  if (head.expect_continue && options.expect) append_field(out, "Expect", "100-continue");
  if (head.upgrade_websocket) {
    out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  } else if (options.close) {
    append_field(out, "Connection", "close");
  }
  out.append(options.extra_lines).append("\r\n");
}

body_framing forwarded_framing(const response_head& head, unsigned client_minor) noexcept {
  if (head.framing != body_framing::chunked && head.framing != body_framing::until_close) return head.framing;
  return client_minor == 0 ? body_framing::until_close : body_framing::chunked;
}

void write_response_head(const response_head& head, const response_options& options, std::string& out) {
  const auto framing = forwarded_framing(head, options.client_minor);
  constexpr std::size_t own_lines = 128;
  out.clear();
  out.reserve(size_of(head.fields) + head.phrase.size() + options.via.size() + options.extra_lines.size() +
              own_lines);
  out.append("HTTP/1.1 ");
  append_number(out, head.status);
  out.append(" ").append(head.phrase).append("\r\n");
  append_passing(out, head.fields, framing == body_framing::chunked);
  append_via(out, head.minor, options.via);
  const bool informs = framing == body_framing::none && head.status >= 200 && head.status != 204;
  if (framing == body_framing::chunked) append_field(out, "Transfer-Encoding", "chunked");
  if (framing == body_framing::length) append_length(out, head.content_length);
  if (informs && head.declares_length) append_length(out, head.declared_length);
  if (head.is_switch()) {
    out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  } else if (!head.is_interim() &&
             (options.close || options.client_minor == 0 || framing == body_framing::until_close)) {
    append_field(out, "Connection", "close");
  }
  out.append(options.extra_lines).append("\r\n");
}

bool via_names(const field_list& fields, std::string_view pseudonym) noexcept {
  if (pseudonym.empty()) return false;
  for (const auto& f : fields) {
    if (f.id != field_id::via) continue;
    auto list = f.value;
    std::string_view element;
    while (next_element(list, element)) {
      // received-protocol RWS received-by [ RWS comment ]
      const auto space = element.find_first_of(" \t");
      if (space == std::string_view::npos) continue;
      const auto rest = trim(element.substr(space));
      if (same_text(rest.substr(0, rest.find_first_of(" \t")), pseudonym)) return true;
    }
  }
  return false;
}

}  // namespace exeat::wire
