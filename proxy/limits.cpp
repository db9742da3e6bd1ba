#include "proxy/limits.hpp"

#include <algorithm>
#include <cstring>

namespace exeat::proxy {

client_key key_of_uid(std::uint32_t uid) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data() + 12, &uid, sizeof uid);
  bytes[4] = 1;
  return {.address = core::ip_address::v6(bytes)};
}

std::size_t hash_value(const client_key& key) noexcept {
  const auto bytes = key.address.bytes();
  std::uint64_t hash = bytes.size() + (std::uint64_t{key.phase} << 8);
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    std::uint32_t part = 0;
    std::memcpy(&part, bytes.data() + i, sizeof part);
    hash = (hash ^ part) * 0x9e3779b97f4a7c15ULL;
    hash ^= hash >> 32;
  }
  return hash;
}

connection_budget::connection_budget(std::uint32_t total, std::uint32_t per_client, unsigned workers)
    : per_client_(per_client),
      // Slices small enough that what idle workers hold back stays under a tenth of the limit.
      total_slice_(std::clamp(total / (10 * std::max(workers, 1U)), 1U, 64U)),
      client_slice_(std::clamp(per_client / (10 * std::max(workers, 1U)), 1U, 16U)),
      left_(total) {}

std::uint32_t connection_budget::take(std::uint32_t wanted) noexcept {
  auto left = left_.load(std::memory_order_relaxed);
  for (;;) {
    const auto got = std::min(left, wanted);
    if (got == 0) return 0;
    if (left_.compare_exchange_weak(left, left - got, std::memory_order_relaxed)) return got;
  }
}

void connection_budget::give_back(std::uint32_t count) noexcept {
  left_.fetch_add(count, std::memory_order_relaxed);
}

std::uint32_t connection_budget::take(const client_key& client, std::uint32_t wanted) {
  const std::scoped_lock lock(mutex_);
  auto& leased = leased_of_[client];
  const auto got = std::min(wanted, per_client_ - leased);
  leased += got;
  return got;
}

void connection_budget::give_back(const client_key& client, std::uint32_t count) noexcept {
  const std::scoped_lock lock(mutex_);
  const auto found = leased_of_.find(client);
  if (found == leased_of_.end()) return;
  found->second -= count;
  if (found->second == 0) leased_of_.erase(found);
}

connection_leases::~connection_leases() {
  budget_.give_back(total_.held);
  for (const auto& [client, lease] : clients_) budget_.give_back(client, lease.held);
}

connection_leases::answer connection_leases::admit(const client_key& client) {
  if (total_.used == total_.held) {
    total_.held += budget_.take(budget_.total_slice());
    if (total_.used == total_.held) return answer::total_reached;
  }
  if (budget_.limits_clients()) {
    auto& mine = clients_[client];
    if (mine.used == mine.held) {
      mine.held += budget_.take(client, budget_.client_slice());
      if (mine.used == mine.held) {
        if (mine.held == 0) clients_.erase(client);
        trim_total();
        return answer::client_reached;
      }
    }
    ++mine.used;
  }
  ++total_.used;
  return answer::admitted;
}

std::uint32_t connection_leases::to_give_back(const lease& lease, std::uint32_t slice) noexcept {
  // One slice is kept in hand, so that a steady flow never touches the shared count; where that slice is a
  // single connection, the limit is so small that it might be all there is, and nothing is kept.
  const std::uint32_t kept = slice == 1 ? 0 : slice;
  const std::uint32_t spare = lease.held - lease.used;
  return spare >= kept + slice ? spare - kept : 0;
}

void connection_leases::trim_total() noexcept {
  const auto spare = to_give_back(total_, budget_.total_slice());
  if (spare == 0) return;
  total_.held -= spare;
  budget_.give_back(spare);
}

void connection_leases::release(const client_key& client) noexcept {
  --total_.used;
  trim_total();
  if (!budget_.limits_clients()) return;
  const auto found = clients_.find(client);
  if (found == clients_.end()) return;
  auto& mine = found->second;
  if (--mine.used == 0) {
    budget_.give_back(client, mine.held);
    clients_.erase(found);
  } else if (const auto spare = to_give_back(mine, budget_.client_slice()); spare != 0) {
    mine.held -= spare;
    budget_.give_back(client, spare);
  }
}

}  // namespace exeat::proxy
