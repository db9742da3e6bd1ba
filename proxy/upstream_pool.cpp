#include "proxy/upstream_pool.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <utility>

namespace exeat::proxy {

bool is_silent(stream_socket& socket) noexcept {
  char octet = 0;
  return ::recv(socket.native_handle(), &octet, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::size_t hash_value(const upstream_key& key) noexcept {
  const std::hash<std::string> hash;
  return ((hash(key.origin) * 31 + hash(key.job)) * 31 + static_cast<std::size_t>(key.phase)) * 31 +
         std::hash<const next_hop*>()(key.via);
}

upstream_pool::idle_connection::idle_connection(upstream_pool& pool, const upstream_key& k,
                                                upstream_connection c)
    : owner(&pool), key(k), connection(std::move(c)), expiry(pool.wheel_, &upstream_pool::expired, this) {
  expiry.arm(pool.options_.idle);
}

std::optional<upstream_connection> upstream_pool::take(const upstream_key& key) {
  const auto found = idle_.find(key);
  if (found == idle_.end()) return std::nullopt;
  std::optional<upstream_connection> out;
  auto& connections = found->second;
  while (!connections.empty() && !out) {
    auto& last = connections.back();
    if (is_silent(last.connection.socket)) out.emplace(std::move(last.connection));
    connections.pop_back();
    --size_;
  }
  if (connections.empty()) idle_.erase(found);
  return out;
}

void upstream_pool::put(const upstream_key& key, upstream_connection connection, std::uint64_t generation) {
  if (generation != generation_ || size_ >= options_.total || options_.per_key == 0) return;
  auto& connections = idle_[key];
  if (connections.size() >= options_.per_key) return;
  connections.emplace_back(*this, key, std::move(connection));
  ++size_;
}

void upstream_pool::clear() noexcept {
  idle_.clear();
  size_ = 0;
  ++generation_;
}

void upstream_pool::expired(void* which) noexcept {
  auto& idle = *static_cast<idle_connection*>(which);
  auto& pool = *idle.owner;
  const auto found = pool.idle_.find(idle.key);
  if (found == pool.idle_.end()) return;
  auto& connections = found->second;
  connections.remove_if([&](const idle_connection& c) { return &c == &idle; });
  --pool.size_;
  if (connections.empty()) pool.idle_.erase(found);
}

}  // namespace exeat::proxy
