#include "proxy/upstream_pool.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <utility>

namespace exeat::proxy {
namespace {

constexpr std::size_t spares_kept = 32;

}  // namespace

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

upstream_pool::idle_connection::idle_connection(upstream_pool& pool) noexcept
    : owner(&pool), expiry(pool.wheel_, &upstream_pool::expired, this) {}

void upstream_pool::retire(bucket& from, bucket::iterator which) noexcept {
  which->connection.reset();
  which->expiry.disarm();
  if (spare_.size() < spares_kept) {
    spare_.splice(spare_.end(), from, which);
  } else {
    from.erase(which);
  }
  --size_;
}

std::optional<upstream_connection> upstream_pool::take(const upstream_key& key) {
  const auto found = idle_.find(hash_value(key));
  if (found == idle_.end()) return std::nullopt;
  std::optional<upstream_connection> out;
  auto& connections = found->second;
  for (auto at = connections.end(); at != connections.begin() && !out;) {
    const auto last = std::prev(at);
    if (last->key != key) {
      at = last;
      continue;
    }
    if (is_silent(last->connection->socket)) out = std::move(last->connection);
    retire(connections, last);
  }
  if (connections.empty()) idle_.erase(found);
  return out;
}

void upstream_pool::put(const upstream_key& key, upstream_connection connection, std::uint64_t generation) {
  if (generation != generation_ || size_ >= options_.total || options_.per_key == 0) return;
  const auto hash = hash_value(key);
  auto& connections = idle_[hash];
  if (connections.size() >= options_.per_key) return;
  if (spare_.empty()) {
    connections.emplace_back(*this);
  } else {
    connections.splice(connections.end(), spare_, std::prev(spare_.end()));
  }
  auto& idle = connections.back();
  ++size_;
  try {
    idle.key = key;
  } catch (...) {
    retire(connections, std::prev(connections.end()));
    throw;
  }
  idle.hash = hash;
  idle.connection.emplace(std::move(connection));
  idle.expiry.arm(options_.idle);
}

void upstream_pool::clear() noexcept {
  idle_.clear();
  size_ = 0;
  ++generation_;
}

void upstream_pool::expired(void* which) noexcept {
  auto& idle = *static_cast<idle_connection*>(which);
  auto& pool = *idle.owner;
  const auto found = pool.idle_.find(idle.hash);
  if (found == pool.idle_.end()) return;
  auto& connections = found->second;
  for (auto at = connections.begin(); at != connections.end(); ++at) {
    if (&*at != &idle) continue;
    pool.retire(connections, at);
    break;
  }
  if (connections.empty()) pool.idle_.erase(found);
}

}  // namespace exeat::proxy
