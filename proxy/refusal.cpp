#include "proxy/refusal.hpp"

#include <fmt/format.h>

#include <iterator>
#include <vector>

#include "core/safe_text.hpp"

namespace exeat::proxy {
namespace {

std::string_view family(core::reason_kind kind) {
  switch (kind) {
    case core::reason_kind::policy:
      return "egress-denied";
    case core::reason_kind::request:
      return "bad-request";
    case core::reason_kind::limit:
      return "limit-reached";
    case core::reason_kind::upstream:
      return "upstream-failed";
    case core::reason_kind::internal:
    case core::reason_kind::allowed:
      break;
  }
  return "proxy-unavailable";
}

// What happened, for the first line of the text.
std::string_view verb(core::reason_kind kind) {
  switch (kind) {
    case core::reason_kind::policy:
      return "blocked";
    case core::reason_kind::request:
      return "refused a malformed request";
    case core::reason_kind::limit:
      return "refused at a limit";
    case core::reason_kind::upstream:
      return "could not reach";
    case core::reason_kind::internal:
    case core::reason_kind::allowed:
      break;
  }
  return "could not serve";
}

// Octets of the well-formed UTF-8 sequence at the front (Unicode table 3-7), or 0.
std::size_t utf8_length(std::string_view text) {
  const auto octet = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto in = [&](std::size_t i, unsigned first, unsigned last) {
    return octet(i) >= first && octet(i) <= last;
  };
  const unsigned lead = octet(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return in(1, 0x80, 0xbf) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool second = in(1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
    return second && in(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool second = in(1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
    return second && in(2, 0x80, 0xbf) && in(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// Appends `text` with broken UTF-8 and control characters replaced.
void append_text(std::string& out, std::string_view text) {
  while (!text.empty()) {
    std::size_t plain = 0;  // most text is: in one piece
    while (plain < text.size() && text[plain] >= 0x20 && text[plain] < 0x7f) ++plain;
    out.append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) return;
    const auto length = utf8_length(text);
    if (length == 0) {
      out += "\xef\xbf\xbd";  // U+FFFD
      text.remove_prefix(1);
      continue;
    }
    if (is_control(text.front())) {
      out += '?';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
}

void append_member(std::string& out, std::string_view key, std::string_view value) {
  out += out.empty() ? '{' : ',';
  core::append_json_string(out, key);
  out += ':';
  if (value.empty()) {
    out += "null";
  } else {
    core::append_json_string(out, value);
  }
}

// Of a body, and of the fields before it: most are smaller.
constexpr std::size_t usual_size = 512;

std::string_view sentence(const refusal& refusal) {
  return refusal.message.empty() ? core::row_of(refusal.reason).doc : refusal.message;
}

bool wants_credential(const refusal& refusal) {
  return core::row_of(refusal.reason).status == 407;
}

// As a user would write it; `user` stands before the host.
std::string proxy_url(const refusal& refusal, std::string_view user = {}) {
  std::string url = refusal.tls ? "https://" : "http://";
  url += user;
  // A unix socket has no URL that clients know: what leads to it has an address of its own.
  const bool has_address = !refusal.listener.empty() && !refusal.listener.starts_with("unix:");
  url += has_address ? refusal.listener : "HOST:PORT";
  return url;
}

// To whoever lacks a credential the phases that have one are not named: they are not theirs to know.
std::vector<std::string> where_it_goes(const refusal& refusal) {
  return {
      "The credential goes into the proxy URL, as the user name (the phase, or the id of the job) and",
      "the token:",
      "",
      "    " + proxy_url(refusal, "PHASE:TOKEN@"),
      "    " + proxy_url(refusal, "JOB:TOKEN@"),
      "",
      "in HTTPS_PROXY and HTTP_PROXY, or into the proxy setting of a client that has its own. A client that",
      "sends fields of its choice can send `Proxy-Authorization: Bearer TOKEN` (of a job: JOB.TOKEN)."};
}

std::string json_body(const refusal& refusal, std::span<const std::string> next) {
  const auto& row = core::row_of(refusal.reason);
  std::string out;
  append_member(out, "error", family(row.kind));
  append_member(out, "reason", row.code);
  append_member(out, "destination", refusal.destination);
  append_member(out, "phase", refusal.phase);
  append_member(out, "decision", refusal.decision);
  append_member(out, "message", sentence(refusal));
  out += ",\"next\":[";
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (i != 0) out += ',';
    core::append_json_string(out, next[i]);
  }
  out += "]}\n";
  return out;
}

std::string text_body(const refusal& refusal, std::span<const std::string> next) {
  const auto& row = core::row_of(refusal.reason);
  std::string out;
  out.reserve(usual_size);
  out += "exeat ";
  out += verb(row.kind);
  if (!refusal.destination.empty()) {
    out += row.kind == core::reason_kind::request || row.kind == core::reason_kind::limit ? " for " : " ";
    append_text(out, refusal.destination);
  }
  if (!refusal.phase.empty()) {
    out += " in phase ";
    append_text(out, refusal.phase);
  }
  out += "\n\n";
  out.append("reason:   ").append(row.code).append("\n          ");
  append_text(out, sentence(refusal));
  out += "\ndecision: ";
  append_text(out, refusal.decision);
  out += '\n';
  if (!next.empty()) out += '\n';
  for (const auto& line : next) {
    append_text(out, line);
    out += '\n';
  }
  return out;
}

// For the person who typed the proxy's address into a browser, or a client that was given it as a server.
std::string origin_form_body(const refusal& refusal) {
  std::string url;
  append_text(url, proxy_url(refusal));
  std::string out =
      "This is Exeat, an egress proxy. It is not a web site: programs send their requests through it,\n"
      "and it lets through what its policy allows";
  if (!refusal.phase.empty()) {
    out += " in phase ";
    append_text(out, refusal.phase);
  }
  out += ".\n\nTo use it, tell a program where it is:\n\n";
  fmt::format_to(std::back_inserter(out),
                 "    export HTTPS_PROXY={0} https_proxy={0}\n"
                 "    export HTTP_PROXY={0} http_proxy={0}\n"
                 "    curl -v https://example.com/\n\n",
                 url);
  fmt::format_to(std::back_inserter(out), "reason:   {}\ndecision: ", core::row_of(refusal.reason).code);
  append_text(out, refusal.decision);
  out += '\n';
  return out;
}

// A field value or reason phrase must not end its line, whatever the caller passes.
void append_field_text(std::string& out, std::string_view text) {
  for (const char c : text) out += is_control(c) || static_cast<unsigned char>(c) >= 0x80 ? '?' : c;
}

}  // namespace

std::string reason_phrase(core::reason reason) {
  const auto& row = core::row_of(reason);
  return fmt::format("{} {}", family(row.kind), row.code);
}

void append_refusal(std::string& out, const refusal& refusal) {
  const auto& row = core::row_of(refusal.reason);
  const bool challenge = wants_credential(refusal);
  std::vector<std::string> told;
  if (challenge) {
    told = where_it_goes(refusal);
    told.insert(told.end(), refusal.next.begin(), refusal.next.end());
  }
  const auto next = challenge ? std::span<const std::string>(told) : refusal.next;
  const std::string body = refusal.wants_json                            ? json_body(refusal, next)
                           : refusal.reason == core::reason::origin_form ? origin_form_body(refusal)
                                                                         : text_body(refusal, next);
  out.reserve(out.size() + usual_size + body.size());
  // A status below 400 would tell the client that it got what it asked for.
  const int status = row.status < 400 ? 500 : row.status;
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "HTTP/1.{} {} {} {}\r\n", refusal.http_minor == 0 ? 0 : 1, status, family(row.kind),
                 row.code);
  out += "Proxy-Status: exeat";
  if (!row.proxy_error.empty()) out.append("; error=").append(row.proxy_error);
  fmt::format_to(to, "; details=\"{}\"\r\n", row.code);
  if (!refusal.decision.empty()) {
    out += "Exeat-Decision: ";
    append_field_text(out, refusal.decision);
    out += "\r\n";
  }
  if (status == 429) out += "Retry-After: 1\r\n";
  if (challenge) {
    // Two fields: some clients read one challenge a field. Basic first, which every client knows.
    out +=
        "Proxy-Authenticate: Basic realm=\"exeat\", charset=\"UTF-8\"\r\n"
        "Proxy-Authenticate: Bearer realm=\"exeat\"\r\n";
  }
  fmt::format_to(to,
                 "Content-Type: {}\r\n"
                 "Content-Length: {}\r\n"
                 "Cache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\n",
                 refusal.wants_json ? "application/json" : "text/plain; charset=utf-8", body.size());
  if (refusal.close || challenge) {
    out += "Connection: close\r\n";
  } else if (refusal.http_minor == 0) {
    out += "Connection: keep-alive\r\n";
  }
  out += "\r\n";
  if (!refusal.head_request) out += body;
}

}  // namespace exeat::proxy
