#include "wire/authority.hpp"

#include <algorithm>

#include "wire/octets.hpp"

namespace exeat::wire {
namespace {

using core::reason;

std::unexpected<fault> refuse(reason why, std::string_view detail) {
  return std::unexpected(fault{why, detail});
}

std::expected<std::uint16_t, fault> parse_port(std::string_view text) noexcept {
  if (text.empty()) return refuse(reason::bad_port, "the port behind the colon is empty");
  if (text.size() > 5) return refuse(reason::bad_port, "the port has more than five digits");
  if (!all(text, octet_digit)) return refuse(reason::bad_port, "the port is not made of digits");
  unsigned value = 0;
  for (const char c : text) value = value * 10 + static_cast<unsigned>(c - '0');
  if (value == 0 || value > 65535) return refuse(reason::bad_port, "the port is not within 1 to 65535");
  return static_cast<std::uint16_t>(value);
}

std::expected<core::host, fault> parse_bracketed(std::string_view inside) noexcept {
  if (inside.find('%') != std::string_view::npos) {
    return refuse(reason::ambiguous_ip_literal, "an IPv6 address with a zone");
  }
  const auto address = core::ip_address::parse(inside);
  if (!address || !address->is_v6()) {
    return refuse(reason::bad_host, "what stands in brackets is not an IPv6 address");
  }
  return *address;
}

std::expected<core::host, fault> parse_name_or_v4(std::string_view text) noexcept {
  if (core::ends_in_number(text)) {
    const auto address = core::ip_address::parse(text);
    if (!address || !address->is_v4()) {
      return refuse(reason::ambiguous_ip_literal,
                    "the host is an IPv4 address, but not in the form of four decimal numbers");
    }
    return *address;
  }
  const auto name = core::host_name::parse(text);
  if (!name) return refuse(reason::bad_host, core::describe(name.error()));
  return *name;
}

// What is wrong with an authority as a whole, before it is taken apart: each has a sentence of its own.
std::optional<fault> foreign_character(std::string_view text) noexcept {
  for (const char c : text) {
    if (c == '@') return fault{reason::userinfo_in_target, "user information stands before the host"};
    if (c == '\\') return fault{reason::bad_host, "a backslash stands in the host"};
    if (static_cast<unsigned char>(c) > 0x7F) {
      return fault{reason::bad_character,
                   "a byte above 0x7F stands in the host: names go as A-labels (xn--)"};
    }
    if (!is(c, octet_printable))
      return fault{reason::bad_character, "a control character stands in the host"};
  }
  return std::nullopt;
}

std::optional<fault> bad_path(std::string_view path) noexcept {
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (is(c, octet_path)) continue;
    if (c == '%') {
      if (path.size() - i > 2 && is(path[i + 1], octet_hex) && is(path[i + 2], octet_hex)) continue;
      return fault{reason::bad_target, "a percent sign is not followed by two hex digits"};
    }
    if (c == '#') return fault{reason::fragment_in_target, "the target carries a fragment"};
    if (c == '\\') return fault{reason::bad_target, "a backslash stands in the target"};
    if (!is(c, octet_printable))
      return fault{reason::bad_character, "a byte outside ASCII stands in the target"};
    return fault{reason::bad_target, "a character stands in the target that must be percent-encoded"};
  }
  return std::nullopt;
}

}  // namespace

std::expected<authority, fault> parse_authority(std::string_view text) noexcept {
  if (const auto wrong = foreign_character(text)) return std::unexpected(*wrong);
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return refuse(reason::bad_host, "a bracket is not closed");
    auto host = parse_bracketed(text.substr(1, close - 1));
    if (!host) return std::unexpected(host.error());
    const auto rest = text.substr(close + 1);
    if (rest.empty()) return authority{*host, std::nullopt};
    if (rest[0] != ':') return refuse(reason::bad_host, "something other than a port follows the bracket");
    const auto port = parse_port(rest.substr(1));
    if (!port) return std::unexpected(port.error());
    return authority{*host, *port};
  }
  const auto colon = text.find(':');
  if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos) {
    return refuse(reason::bad_host, "more than one colon: an IPv6 address stands in brackets");
  }
  const auto host_text = text.substr(0, colon);
  if (host_text.find('%') != std::string_view::npos) {
    return refuse(reason::bad_host, "a percent sign stands in the host");
  }
  auto host = parse_name_or_v4(host_text);
  if (!host) return std::unexpected(host.error());
  if (colon == std::string_view::npos) return authority{*host, std::nullopt};
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return std::unexpected(port.error());
  return authority{*host, *port};
}

std::expected<core::destination, fault> parse_connect_authority(std::string_view text) noexcept {
  if (text.find('#') != std::string_view::npos) {
    return refuse(reason::fragment_in_target, "the target carries a fragment");
  }
  if (text.find_first_of("/?") != std::string_view::npos) {
    return refuse(reason::bad_target, "CONNECT takes host:port, not a URL or a path");
  }
  const auto parsed = parse_authority(text);
  if (!parsed) return std::unexpected(parsed.error());
  if (!parsed->port) return refuse(reason::bad_port, "CONNECT needs a port: host:port");
  return core::destination{parsed->host, *parsed->port};
}

std::expected<http_target, fault> parse_http_target(std::string_view text) noexcept {
  if (text.starts_with('/') || text == "*") {
    return refuse(reason::origin_form, "this is a proxy: a request names the whole URL, http://host/path");
  }
  const auto colon = text.find(':');
  const auto scheme = text.substr(0, colon);
  if (colon == std::string_view::npos || scheme.empty() || !is(scheme[0], octet_alpha) ||
      !std::ranges::all_of(scheme, [](char c) {
        return is(c, octet_alpha) || is(c, octet_digit) || c == '+' || c == '-' || c == '.';
      })) {
    return refuse(reason::bad_target, "the target is not a URL that starts with http://");
  }
  auto rest = text.substr(colon + 1);
  const bool has_authority = rest.starts_with("//");
  if (!same_text(scheme, "http")) {
    if (!has_authority) return refuse(reason::bad_target, "the target is not a URL that starts with http://");
    if (same_text(scheme, "https")) {
      return refuse(reason::https_in_absolute_form, "an https URL goes through CONNECT host:port");
    }
    return refuse(reason::scheme_unknown, "the scheme of the target is not http");
  }
  if (!has_authority) return refuse(reason::bad_target, "two slashes are missing behind http:");
  rest.remove_prefix(2);
  const auto path_start = std::min(rest.find_first_of("/?#"), rest.size());
  const auto path = rest.substr(path_start);
  if (path_start == 0) return refuse(reason::bad_host, "the target has no host");
  const auto where = parse_authority(rest.substr(0, path_start));
  if (!where) return std::unexpected(where.error());
  if (const auto wrong = bad_path(path)) return std::unexpected(*wrong);
  return http_target{{where->host, where->port.value_or(80)}, path};
}

std::optional<fault> host_disagreement(const core::destination& to, std::string_view host_field,
                                       core::scheme scheme) noexcept {
  if (host_field.empty()) return fault{reason::host_missing, "the Host field is empty"};
  const auto parsed = parse_authority(host_field);
  if (!parsed) {
    // The code for user information speaks of the target; here it is the field that is malformed.
    if (parsed.error().reason == reason::userinfo_in_target) {
      return fault{reason::bad_host, "the Host field carries user information"};
    }
    return parsed.error();
  }
  const auto port = parsed->port.value_or(scheme == core::scheme::https ? to.port : std::uint16_t{80});
  if (parsed->host != to.host || port != to.port) {
    return fault{reason::host_mismatch, "the Host field names another host or port than the target"};
  }
  return std::nullopt;
}

}  // namespace exeat::wire
