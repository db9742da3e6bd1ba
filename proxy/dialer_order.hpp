// In which order addresses are dialled, and the short memory of those that failed.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <span>

#include "core/ip_address.hpp"
#include "proxy/dns_answer.hpp"

namespace exeat::proxy {

/// Addresses and ports that lately failed to connect, or were overtaken by a later attempt; one per worker,
/// of fixed size. It only ever reorders: where nothing else is left, a dead address is dialled.
class dead_addresses {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds lifetime{10};
  static constexpr std::size_t capacity = 256;

  void add(const core::ip_address& address, std::uint16_t port, clock::time_point now) noexcept;
  void remove(const core::ip_address& address, std::uint16_t port) noexcept;
  bool contains(const core::ip_address& address, std::uint16_t port, clock::time_point now) const noexcept;

 private:
  struct entry {
    core::ip_address address;
    std::uint16_t port = 0;  // 0 = free
    clock::time_point until;
  };
  std::array<entry, capacity> entries_{};
  std::size_t used_ = 0;  // entries below this index may be in use; 0 keeps the common case free of a search
  std::size_t next_ = 0;  // the oldest, once all are taken
};

/// Of a name of very many addresses no more are dialled for one request.
inline constexpr std::size_t max_dialled = 32;

/// RFC 8305 4: IPv6 first, then the families in turn, each in its given order; the dead ones behind all
/// others. Repeated addresses are dropped; max_dialled are left, at most. `dead` may be null.
address_list dial_order(std::span<const core::ip_address> checked, std::uint16_t port,
                        const dead_addresses* dead, dead_addresses::clock::time_point now) noexcept;

}  // namespace exeat::proxy
