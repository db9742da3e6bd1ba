#include "cli/destination.hpp"

#include <fmt/format.h>

#include "wire/authority.hpp"

namespace exeat::cli {
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

std::expected<wanted, std::string> parse_authority(std::string_view text, core::scheme scheme,
                                                   std::uint16_t port) {
  const auto authority = wire::parse_authority(text);
  if (!authority) {
    return std::unexpected(
        fmt::format("{} ({})", authority.error().detail, core::code_of(authority.error().reason)));
  }
  return wanted{.scheme = scheme, .to = {.host = authority->host, .port = authority->port.value_or(port)}};
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

std::expected<wanted, std::string> parse_destination(std::string_view text) {
  for (const auto& known : schemes) {
    if (!starts_with_scheme(text, known.prefix)) continue;
    const auto rest = text.substr(known.prefix.size());
    return parse_authority(rest.substr(0, rest.find_first_of("/?#")), known.scheme, known.port);
  }
  if (text.find("://") != std::string_view::npos) {
    return std::unexpected(
        "only https, http, wss and ws pass a proxy as URLs; for anything else give HOST:PORT");
  }
  return parse_authority(text, core::scheme::https, 443);
}

}  // namespace exeat::cli
