#include "config/destination.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "allowlist/pattern.hpp"
#include "wire/authority.hpp"

namespace exeat::config {
namespace {

struct known_scheme {
  std::string_view prefix;
  core::scheme scheme;
  std::uint16_t port;
};
constexpr known_scheme schemes[]{{"https://", core::scheme::https, 443},
                                 {"http://", core::scheme::http, 80},
                                 {"wss://", core::scheme::https, 443},
                                 {"ws://", core::scheme::http, 80}};

// The authority with its U-labels converted; as it stands where it has none or they do not convert.
std::string to_ascii(std::string_view authority) {
  const auto end = std::min(authority.rfind(':'), authority.size());
  const auto host = authority.substr(0, end);
  const bool is_ascii =
      std::ranges::all_of(host, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (is_ascii || host.find('*') != std::string_view::npos) return std::string(authority);
  const auto name = allowlist::host_pattern::parse(host);
  if (!name) return std::string(authority);
  return std::string(name->name.view()).append(authority.substr(end));
}

std::expected<wanted, std::string> parse_authority(std::string_view text, core::scheme scheme,
                                                   std::uint16_t port, name_spelling spelling) {
  const auto authority =
      spelling == name_spelling::policy ? wire::parse_authority(to_ascii(text)) : wire::parse_authority(text);
  if (!authority) {
    return std::unexpected(
        fmt::format("{} ({})", authority.error().detail, core::code_of(authority.error().reason)));
  }
  return wanted{
      .scheme = scheme, .to = {.host = authority->host, .port = authority->port.value_or(port)}, .path = "/"};
}

bool starts_with_scheme(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
    if (c != prefix[i]) return false;
  }
  return true;
}

}  // namespace

std::expected<wanted, std::string> parse_destination(std::string_view text, name_spelling spelling) {
  for (const auto& known : schemes) {
    if (!starts_with_scheme(text, known.prefix)) continue;
    const auto rest = text.substr(known.prefix.size());
    const auto authority = rest.substr(0, rest.find_first_of("/?#"));
    auto out = parse_authority(authority, known.scheme, known.port, spelling);
    const auto behind = rest.substr(authority.size());
    const auto path = behind.substr(0, behind.find_first_of("?#"));
    if (out && known.scheme == core::scheme::http && !path.empty()) out->path = path;
    return out;
  }
  if (text.find("://") != std::string_view::npos) {
    return std::unexpected(
        "only https, http, wss and ws pass a proxy as URLs; for anything else give HOST:PORT");
  }
  return parse_authority(text, core::scheme::https, 443, spelling);
}

}  // namespace exeat::config
