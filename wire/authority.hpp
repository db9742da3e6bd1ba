// Where a request target, a CONNECT authority or a Host field points to. One spelling each, or a refusal.
#pragma once
#include <expected>
#include <optional>
#include <string_view>

#include "core/destination.hpp"
#include "wire/fault.hpp"

namespace exeat::wire {

/// uri-host [":" port] with nothing around it. The host is a name (core::host_name) or an address in its one
/// strict spelling, IPv6 in brackets and without zone. The port, where present, is one to five digits and
/// within 1 to 65535. Faults: bad_host, ambiguous_ip_literal, bad_port, userinfo_in_target, bad_character.
struct authority {
  core::host host;
  std::optional<std::uint16_t> port;
};
std::expected<authority, fault> parse_authority(std::string_view text) noexcept;

/// The target of CONNECT: host ":" port, port required (RFC 9112 3.2.3).
/// Faults: those of parse_authority, and bad_target, fragment_in_target.
std::expected<core::destination, fault> parse_connect_authority(std::string_view text) noexcept;

/// A target in absolute form (RFC 9112 3.2.2). `path` is a view into the target: path and query as they
/// stand. It is empty for "http://host", starts with "?" for "http://host?q", else with "/".
///
/// Path and query hold what RFC 3986 allows, percent signs only before two hex digits, and the seven octets
/// []{}|^` that browsers send as they are (WHATWG URL) and that no parser reads as anything else. A backslash
/// is refused: some read it as a slash.
struct http_target {
  core::destination to;
  std::string_view path;
};
/// Faults: those of parse_authority, and origin_form (a target that starts with "/" or is "*"),
/// https_in_absolute_form, scheme_unknown, fragment_in_target, bad_target.
std::expected<http_target, fault> parse_http_target(std::string_view text) noexcept;

/// Holds a Host field against the target's destination. For http an absent port means 80; a CONNECT's Host
/// may leave the port out whatever it is (Java and Python do). Faults: host_missing (empty), host_mismatch,
/// and those of parse_authority. nullopt = they agree.
std::optional<fault> host_disagreement(const core::destination& to, std::string_view host_field,
                                       core::scheme scheme) noexcept;

}  // namespace exeat::wire
