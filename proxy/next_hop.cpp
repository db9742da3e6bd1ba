#include "proxy/next_hop.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>

#include "config/load.hpp"
#include "config/upstream_choice.hpp"

namespace exeat::proxy {
namespace {

// Of a name that turns round many addresses the newest count.
constexpr std::size_t most_known = max_addresses;

std::string base64(std::string_view octets) {
  std::string out((octets.size() + 2) / 3 * 4 + 1, '\0');
  const auto size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(octets.data()), static_cast<int>(octets.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::expected<std::shared_ptr<const hop_keys>, std::string> read_keys(const config::upstream_proxy& proxy) {
  auto keys = std::make_shared<hop_keys>();
  if (!proxy.credential_file.empty()) {
    const auto credential = config::load_user_password(proxy.credential_file);
    if (!credential) {
      return std::unexpected(
          fmt::format("the upstream {}: {}", config::to_string(proxy), credential.error().to_string()));
    }
    keys->authorization = fmt::format("Proxy-Authorization: Basic {}\r\n", base64(*credential));
  }
  if (proxy.tls) {
    auto tls = tls_context::load_toward(proxy.at.host, proxy.ca);
    if (!tls)
      return std::unexpected(fmt::format("the upstream {}: {}", config::to_string(proxy), tls.error()));
    keys->tls = std::move(*tls);
  }
  return keys;
}

}  // namespace

std::expected<next_hops, std::string> next_hops::load(const config::upstream_settings& settings) {
  next_hops out;
  out.settings_ = settings;
  for (const auto& proxy : settings.proxies) {
    auto keys = read_keys(proxy);
    if (!keys) return std::unexpected(std::move(keys.error()));
    out.all_.push_back({.number = out.all_.size(),
                        .at = proxy.at,
                        .text = config::to_string(proxy),
                        .remote = proxy.remote,
                        .tunnels_http = proxy.tunnels_http,
                        .ring = std::make_shared<hop_key_ring>(std::move(*keys))});
  }
  return out;
}

std::vector<std::string> next_hops::reload() const {
  std::vector<std::string> out;
  for (const auto& hop : all_) {
    auto keys = read_keys(settings_.proxies[hop.number]);
    if (keys) {
      hop.ring->change(std::move(*keys));
    } else {
      out.push_back(std::move(keys.error()));
    }
  }
  return out;
}

const next_hop* next_hops::toward(const core::host& host) const noexcept {
  if (all_.empty()) return nullptr;
  const auto* chosen = config::proxy_toward(settings_, host);
  return chosen == nullptr ? nullptr : &all_[static_cast<std::size_t>(chosen - settings_.proxies.data())];
}

bool next_hops::are_direct(std::span<const core::ip_address> addresses) const noexcept {
  return config::are_direct(settings_, addresses);
}

bool next_hops::contain(const core::destination& to) const noexcept {
  return std::ranges::any_of(all_, [&](const next_hop& hop) { return hop.at == to; });
}

void hop_addresses::learn(const next_hop& hop, const address_list& addresses) {
  if (by_number_.size() <= hop.number) by_number_.resize(hop.number + 1);
  auto& known = by_number_[hop.number];
  for (const auto& address : addresses) {
    std::erase(known, address);
    known.push_back(address);
  }
  if (known.size() > most_known)
    known.erase(known.begin(), known.begin() + static_cast<std::ptrdiff_t>(known.size() - most_known));
}

std::span<const core::ip_address> hop_addresses::known(const next_hop& hop) const noexcept {
  if (by_number_.size() <= hop.number) return {};
  return by_number_[hop.number];
}

}  // namespace exeat::proxy
