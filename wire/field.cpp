#include "wire/field.hpp"

#include <algorithm>

#include "wire/octets.hpp"

namespace exeat::wire {

using core::reason;

field_id identify(std::string_view name) noexcept {
  const auto when = [&](std::string_view text, field_id id) {
    return same_text(name, text) ? id : field_id::other;
  };
  switch (name.empty() ? '\0' : lower(name[0])) {
    case 'a':
      if (name.size() == 6) return when("accept", field_id::accept);
      return when("authorization", field_id::authorization);
    case 'c':
      if (name.size() == 10) return when("connection", field_id::connection);
      return when("content-length", field_id::content_length);
    case 'e':
      if (starts_with_text(name, "exeat-")) return field_id::exeat;
      return when("expect", field_id::expect);
    case 'h':
      if (name.size() == 4) return when("host", field_id::host);
      return when("http2-settings", field_id::http2_settings);
    case 'k':
      return when("keep-alive", field_id::keep_alive);
    case 'm':
      return when("max-forwards", field_id::max_forwards);
    case 'p':
      if (same_text(name, "proxy-authorization")) return field_id::proxy_authorization;
      if (same_text(name, "proxy") || starts_with_text(name, "proxy-")) return field_id::proxy;
      return field_id::other;
    case 't':
      if (name.size() == 2) return when("te", field_id::te);
      if (name.size() == 7) return when("trailer", field_id::trailer);
      return when("transfer-encoding", field_id::transfer_encoding);
    case 'u':
      return when("upgrade", field_id::upgrade);
    case 'v':
      return when("via", field_id::via);
    case 'w':
      return when("www-authenticate", field_id::www_authenticate);
    default:
      return field_id::other;
  }
}

const field* field_list::find(std::string_view name) const noexcept {
  const auto* at = std::find_if(begin(), end(), [&](const field& f) { return same_text(f.name, name); });
  return at == end() ? nullptr : at;
}

std::expected<field, fault> parse_field_line(std::string_view line) noexcept {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) {
    return std::unexpected(fault{reason::bad_field, "a field line has no colon"});
  }
  field out;
  out.name = line.substr(0, colon);
  if (out.name.empty()) return std::unexpected(fault{reason::bad_field, "a field has an empty name"});
  if (out.name.back() == ' ' || out.name.back() == '\t') {
    return std::unexpected(fault{reason::bad_field, "white space stands before the colon of a field"});
  }
  if (!is_token(out.name)) return std::unexpected(fault{reason::bad_field, "a field name is not a token"});
  out.value = trim(line.substr(colon + 1));
  out.id = identify(out.name);
  return out;
}

std::optional<fault> parse_fields(std::string_view lines, field_list& out) noexcept {
  out.clear();
  while (true) {
    const auto end = lines.find('\r');
    if (end == std::string_view::npos || end == 0) return std::nullopt;
    const auto parsed = parse_field_line(lines.substr(0, end));
    if (!parsed) return parsed.error();
    if (!out.push(*parsed)) return fault{reason::too_many_fields, "the head has too many fields"};
    lines.remove_prefix(std::min(end + 2, lines.size()));
  }
}

bool next_element(std::string_view& list, std::string_view& element) noexcept {
  while (!list.empty()) {
    const auto comma = list.find(',');
    element = trim(list.substr(0, comma));
    list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
    if (!element.empty()) return true;
  }
  return false;
}

bool is_end_to_end_only(std::string_view name) noexcept {
  static constexpr std::string_view exact[] = {
      "host",      "authorization", "cookie", "set-cookie", "cache-control", "pragma", "expires", "vary",
      "via",       "date",          "age",    "location",   "expect",        "range",  "origin",  "referer",
      "forwarded", "etag",          "accept", "allow",      "max-forwards",  "trailer"};
  if (starts_with_text(name, "content-") || starts_with_text(name, "if-") || starts_with_text(name, "sec-") ||
      starts_with_text(name, "access-control-") || starts_with_text(name, "x-forwarded-") ||
      same_text(name, "www-authenticate") || same_text(name, "strict-transport-security")) {
    return true;
  }
  return std::ranges::any_of(exact, [&](std::string_view item) { return same_text(name, item); });
}

std::expected<connection_options, fault> read_connection(field_list& fields,
                                                         bool refuse_end_to_end) noexcept {
  connection_options out;
  std::size_t count = 0;
  for (const auto& f : fields) {
    if (f.id != field_id::connection) continue;
    auto list = f.value;
    std::string_view option;
    while (next_element(list, option)) {
      if (!is_token(option)) {
        return std::unexpected(fault{reason::bad_field, "a Connection option is not a token"});
      }
      if (++count > max_connection_options) {
        return std::unexpected(fault{reason::bad_field, "too many Connection options"});
      }
      if (same_text(option, "close")) {
        out.close = true;
      } else if (same_text(option, "keep-alive")) {
        out.keep_alive = true;
      } else if (same_text(option, "upgrade")) {
        out.upgrade = true;
      }
      if (is_end_to_end_only(option)) {
        if (!refuse_end_to_end) continue;
        return std::unexpected(fault{reason::bad_field, "Connection nominates a field meant for the origin"});
      }
      for (auto& other : fields) {
        if (same_text(other.name, option)) other.nominated = true;
      }
    }
  }
  return out;
}

std::string nominated_names(const field_list& fields) {
  std::string out;
  for (const auto& f : fields) {
    if (f.id != field_id::connection) continue;
    auto list = f.value;
    std::string_view option;
    while (next_element(list, option)) {
      if (same_text(option, "close") || same_text(option, "keep-alive")) continue;
      if (!out.empty()) out += ',';
      out.append(option);
    }
  }
  return out;
}

bool authenticates_connection(std::string_view value) noexcept {
  std::string_view element;
  while (next_element(value, element)) {
    const auto scheme = element.substr(0, element.find_first_of(" \t"));
    if (same_text(scheme, "NTLM") || same_text(scheme, "Negotiate")) return true;
  }
  return false;
}

}  // namespace exeat::wire
