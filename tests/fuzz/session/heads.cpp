#include "tests/fuzz/session/heads.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace exeat::fuzz {
namespace {

constexpr std::string_view token_marks = "!#$%&'*+-.^_`|~";

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           token_marks.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (auto& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

// One request's head as far as the framing of what follows needs it.
struct head {
  unsigned credentials = 0;
  bool chunked = false, upgrade = false;
  std::uint64_t length = 0;
};

// How the requests must look besides.
struct form {
  std::string_view authority;  ///< of absolute form; empty: origin form
  std::string_view authorization;
};

std::string_view read_head(std::string_view text, origin at, const form& form, head& out) {
  const auto& facts = origins[index(at)];
  unsigned hosts = 0;
  bool has_length = false;
  bool first = true;
  while (!text.empty()) {
    const auto end = text.find("\r\n");
    const auto line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (std::ranges::any_of(line, [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; }))
      return "a control octet in the head";
    if (first) {
      first = false;
      const auto space = line.find(' ');
      const auto last = line.rfind(' ');
      if (space == std::string_view::npos || last <= space + 1) return "no request line";
      auto target = line.substr(space + 1, last - space - 1);
      if (!is_token(line.substr(0, space))) return "the method is no token";
      if (line.substr(last + 1) != "HTTP/1.1") return "not HTTP/1.1";
      if (!form.authority.empty()) {
        const auto before = "http://" + std::string(form.authority);
        if (!target.starts_with(before)) return "not in absolute form, or another authority";
        target.remove_prefix(before.size());
        if (target.empty() && !line.starts_with("OPTIONS ")) return "no path";
        if (target.empty()) target = "*";
      }
      if (target[0] != '/' && !(target == "*" && line.starts_with("OPTIONS "))) return "not in origin form";
      if (std::ranges::any_of(target, [](char c) { return c <= ' ' || c > '~' || c == '#'; }))
        return "the target holds what it must not";
      continue;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return "a line that is no field";
    const auto name = lower(line.substr(0, colon));
    auto value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    if (name == "host") {
      ++hosts;
      const auto port = ":" + std::to_string(facts.port);
      if (!value.ends_with(port)) return "Host has another port";
      if (origin_of(value.substr(0, value.size() - port.size())) != at) return "Host is another one";
    } else if (name == "transfer-encoding") {
      if (value != "chunked" || out.chunked) return "a Transfer-Encoding that is not one `chunked`";
      out.chunked = true;
    } else if (name == "content-length") {
      if (has_length || value.empty() || value.size() > 19 ||
          value.find_first_not_of("0123456789") != value.npos)
        return "a Content-Length that is not one number";
      has_length = true;
      out.length = std::stoull(std::string(value));
    } else if (name == "connection") {
      if (value != "Upgrade") return "a Connection that is not ours";
    } else if (name == "upgrade") {
      if (value != "websocket") return "an Upgrade that is not ours";
      out.upgrade = true;
    } else if (!form.authorization.empty() && line == form.authorization) {
      ++out.credentials;
    } else if (name.starts_with("proxy-") || name.starts_with("exeat-") || name == "keep-alive" ||
               name == "te" || name == "http2-settings") {
      return "a field that ends at a proxy";
    }
  }
  if (hosts != 1) return "not one Host";
  if (out.chunked && has_length) return "Content-Length beside Transfer-Encoding";
  if (out.credentials != (form.authorization.empty() ? 0U : 1U)) return "not one credential";
  return {};
}

// Cuts a chunked body off `text`; false = it is malformed. `whole` = its end is there.
bool skip_chunks(std::string_view& text, bool& whole) {
  whole = false;
  for (;;) {
    const auto end = text.find("\r\n");
    if (end == std::string_view::npos) return text.size() < 32 || text.find('\n') == std::string_view::npos;
    const auto line = text.substr(0, end);
    if (line.empty() || line.size() > 15 || line.find_first_not_of("0123456789abcdefABCDEF") != line.npos)
      return false;
    text.remove_prefix(end + 2);
    const auto size = std::stoull(std::string(line), nullptr, 16);
    if (size == 0) break;
    if (text.size() < size + 2) return true;
    if (text.substr(size, 2) != "\r\n") return false;
    text.remove_prefix(size + 2);
  }
  for (;;) {  // trailers
    const auto end = text.find("\r\n");
    if (end == std::string_view::npos) return true;
    const bool last = end == 0;
    text.remove_prefix(end + 2);
    if (last) break;
  }
  whole = true;
  return true;
}

std::string_view fault_in(std::string_view octets, origin at, const form& form) {
  while (!octets.empty()) {
    const auto end = octets.find("\r\n\r\n");
    if (end == std::string_view::npos) return {};
    head request;
    if (const auto fault = read_head(octets.substr(0, end + 2), at, form, request); !fault.empty())
      return fault;
    octets.remove_prefix(end + 4);
    if (request.upgrade) return {};
    if (request.chunked) {
      bool whole = false;
      if (!skip_chunks(octets, whole)) return "a chunked body that is none";
      if (!whole) return {};
    } else {
      if (octets.size() < request.length) return {};
      octets.remove_prefix(request.length);
    }
  }
  return {};
}

}  // namespace

std::string_view fault_in_requests(std::string_view octets, origin at) {
  return fault_in(octets, at, {});
}

std::string_view fault_in_forwarded(std::string_view octets, origin at, std::string_view authority,
                                    std::string_view authorization) {
  if (authorization.ends_with("\r\n")) authorization.remove_suffix(2);
  return fault_in(octets, at, {authority, authorization});
}

std::string_view host_of(std::string_view octets) noexcept {
  static constexpr std::string_view field = "\r\nHost: ";
  const auto at = octets.find(field);
  if (at == std::string_view::npos) return {};
  const auto host = octets.substr(at + field.size());
  return host.substr(0, host.find("\r\n"));
}

}  // namespace exeat::fuzz
