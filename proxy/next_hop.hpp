// The upstream proxies of exeat.yaml, ready for use, and what a worker knows of where they are.
#pragma once
#include <expected>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "core/destination.hpp"
#include "core/ip_address.hpp"
#include "proxy/dns_answer.hpp"
#include "proxy/tls_context.hpp"

namespace exeat::proxy {

/// What the files of an upstream held when they were read last.
struct hop_keys {
  std::string authorization;               ///< a whole Proxy-Authorization line with CRLF, or empty; a secret
  std::shared_ptr<const tls_context> tls;  ///< null: plain
};

/// Where they are changed under those who use them. Thread-safe.
class hop_key_ring {
 public:
  explicit hop_key_ring(std::shared_ptr<const hop_keys> keys) : keys_(std::move(keys)) {}
  std::shared_ptr<const hop_keys> now() const {
    const std::lock_guard lock(swapping_);
    return keys_;
  }
  void change(std::shared_ptr<const hop_keys> keys) {
    const std::lock_guard lock(swapping_);
    keys_.swap(keys);
  }

 private:
  mutable std::mutex swapping_;  // never held for long
  std::shared_ptr<const hop_keys> keys_;
};

/// One entry of `upstream.proxies`. Immutable but for its keys; lives as long as the process.
struct next_hop {
  std::size_t number = 0;
  core::destination at{core::ip_address{}, 0};
  std::string text;     ///< "https://proxy.corp.example:3129"; for the log
  bool remote = false;  ///< it looks names up itself
  bool tunnels_http = false;
  std::shared_ptr<hop_key_ring> ring;  ///< never null

  /// Those in force, for one connection or one request.
  std::shared_ptr<const hop_keys> keys() const { return ring->now(); }
};

/// All of them; none where everything goes direct. Any thread.
class next_hops {
 public:
  next_hops() = default;
  /// Reads credentials and CA files. Blocking file I/O. The error is a sentence.
  static std::expected<next_hops, std::string> load(const config::upstream_settings& settings);
  /// Reads them again, for the connections from now on. What cannot be read stays as it was: a sentence for
  /// each. Blocking file I/O; one thread at a time.
  std::vector<std::string> reload() const;

  bool empty() const noexcept { return all_.empty(); }
  std::span<const next_hop> all() const noexcept { return all_; }
  /// The one that leads to a host as far as its name or literal tells; null: direct.
  const next_hop* toward(const core::host& host) const noexcept;
  /// Whether `no_proxy` takes these addresses back.
  bool are_direct(std::span<const core::ip_address> addresses) const noexcept;
  /// Whether the destination is one of them, as it is written.
  bool contain(const core::destination& to) const noexcept;

 private:
  config::upstream_settings settings_;
  std::vector<next_hop> all_;
};

/// Where they have been seen, on one worker: an upstream is no destination under any name, also while the
/// name servers do not answer.
class hop_addresses {
 public:
  /// The newest answer; those before are kept as well, up to a bound.
  void learn(const next_hop& hop, const address_list& addresses);
  /// All that are known; empty: none yet.
  std::span<const core::ip_address> known(const next_hop& hop) const noexcept;

 private:
  std::vector<std::vector<core::ip_address>> by_number_;
};

}  // namespace exeat::proxy
