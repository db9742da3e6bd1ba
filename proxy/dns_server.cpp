#include "proxy/dns_server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>

namespace exeat::proxy {

std::optional<name_server> name_server::parse(std::string_view text) noexcept {
  name_server server;
  auto address = text;
  std::optional<std::string_view> port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == text.npos) return std::nullopt;
    address = text.substr(1, end - 1);
    if (address.find(':') == address.npos) return std::nullopt;
    if (const auto rest = text.substr(end + 1); rest.starts_with(':'))
      port = rest.substr(1);
    else if (!rest.empty())
      return std::nullopt;
  } else if (const auto colon = text.find(':'); colon != text.npos && text.rfind(':') == colon) {
    address = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  const auto parsed = core::ip_address::parse(address);
  if (!parsed) return std::nullopt;
  server.address = *parsed;
  if (port) {
    const auto* const last = port->data() + port->size();
    const auto [end, error] = std::from_chars(port->data(), last, server.port);
    if (error != std::errc{} || end != last || server.port == 0) return std::nullopt;
  }
  return server;
}

std::string name_server::to_string() const {
  return address.is_v6() ? fmt::format("[{}]:{}", address.to_string(), port)
                         : fmt::format("{}:{}", address.to_string(), port);
}

std::vector<name_server> servers_of_resolv_conf(std::string_view text) {
  constexpr std::string_view blank = " \t\r";
  constexpr std::string_view keyword = "nameserver";
  constexpr std::size_t enough = 8;
  std::vector<name_server> servers;
  while (!text.empty() && servers.size() < enough) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = line.substr(0, line.find_first_of("#;"));
    if (!line.starts_with(keyword)) continue;
    line.remove_prefix(keyword.size());
    if (line.empty() || blank.find(line.front()) == blank.npos) continue;
    line.remove_prefix(std::min(line.find_first_not_of(blank), line.size()));
    if (const auto server = name_server::parse(line.substr(0, line.find_first_of(blank))))
      servers.push_back(*server);
  }
  if (servers.empty()) servers.push_back({core::ip_address::v4(0x7f000001), 53});
  return servers;
}

}  // namespace exeat::proxy
