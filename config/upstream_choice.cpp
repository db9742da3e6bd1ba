#include "config/upstream_choice.hpp"

#include <algorithm>

namespace exeat::config {
namespace {

bool any_matches(std::span<const allowlist::host_pattern> patterns, const core::host& to) noexcept {
  const auto* name = std::get_if<core::host_name>(&to);
  return name != nullptr &&
         std::ranges::any_of(patterns, [&](const auto& pattern) { return pattern.matches(*name); });
}

bool is_direct(const upstream_settings& settings, const core::ip_address& address) noexcept {
  return std::ranges::any_of(settings.direct_prefixes,
                             [&](const auto& prefix) { return prefix.contains(address); });
}

}  // namespace

const upstream_proxy* proxy_toward(const upstream_settings& settings, const core::host& to) noexcept {
  if (settings.proxies.empty() || any_matches(settings.direct_hosts, to)) return nullptr;
  if (const auto* literal = std::get_if<core::ip_address>(&to);
      literal != nullptr && is_direct(settings, *literal))
    return nullptr;
  const auto found = std::ranges::find_if(settings.proxies, [&](const upstream_proxy& proxy) {
    return proxy.every_host || any_matches(proxy.hosts, to);
  });
  return found == settings.proxies.end() ? nullptr : &*found;
}

bool are_direct(const upstream_settings& settings, std::span<const core::ip_address> addresses) noexcept {
  return !addresses.empty() &&
         std::ranges::all_of(addresses, [&](const auto& address) { return is_direct(settings, address); });
}

std::string to_string(const upstream_proxy& proxy) {
  return (proxy.tls ? "https://" : "http://") + core::to_string(proxy.at);
}

std::string hosts_text(const upstream_proxy& proxy) {
  std::string out;
  for (const auto& pattern : proxy.hosts) out += (out.empty() ? "" : ", ") + pattern.to_string();
  if (proxy.every_host) out += out.empty() ? "*" : ", *";
  return out;
}

}  // namespace exeat::config
