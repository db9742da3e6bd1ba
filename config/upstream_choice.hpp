// Which way a destination goes: direct, or through which of `upstream.proxies`. Pure.
#pragma once
#include <span>
#include <string>

#include "config/settings.hpp"

namespace exeat::config {

/// What is known before the look-up: the first entry whose `hosts` match and that no host of `no_proxy`, or
/// for an IP address no prefix of it, takes back; null: direct.
const upstream_proxy* proxy_toward(const upstream_settings& settings, const core::host& to) noexcept;

/// What shows after it: every address lies in a prefix of `no_proxy`. False for none.
bool are_direct(const upstream_settings& settings, std::span<const core::ip_address> addresses) noexcept;

/// "https://proxy.corp.example:3129", never with a credential.
std::string to_string(const upstream_proxy& proxy);
/// "**.corp.example, *"
std::string hosts_text(const upstream_proxy& proxy);

}  // namespace exeat::config
