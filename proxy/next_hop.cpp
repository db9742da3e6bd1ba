#include "proxy/next_hop.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>

#include "config/load.hpp"
#include "config/upstream_choice.hpp"

namespace exeat::proxy {
namespace {

// Of a name that turns round many addresses the newest count.
constexpr std::size_t most_known = 64;

std::string base64(std::string_view octets) {
  std::string out((octets.size() + 2) / 3 * 4 + 1, '\0');
  const auto size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(octets.data()), static_cast<int>(octets.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

}  // namespace

std::expected<next_hops, std::string> next_hops::load(const config::upstream_settings& settings) {
  next_hops out;
  out.settings_ = settings;
  for (const auto& proxy : settings.proxies) {
    next_hop hop{.number = out.all_.size(),
                 .at = proxy.at,
                 .text = config::to_string(proxy),
                 .authorization = {},
                 .tls = nullptr,
                 .remote = proxy.remote,
                 .tunnels_http = proxy.tunnels_http};
    if (!proxy.credential_file.empty()) {
      const auto credential = config::load_user_password(proxy.credential_file);
      if (!credential)
        return std::unexpected(fmt::format("the upstream {}: {}", hop.text, credential.error().to_string()));
      hop.authorization = fmt::format("Proxy-Authorization: Basic {}\r\n", base64(*credential));
    }
    if (proxy.tls) {
      auto tls = tls_context::load_toward(proxy.at.host, proxy.ca);
      if (!tls) return std::unexpected(fmt::format("the upstream {}: {}", hop.text, tls.error()));
      hop.tls = std::move(*tls);
    }
    out.all_.push_back(std::move(hop));
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
