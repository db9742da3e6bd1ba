#include "proxy/dialer_order.hpp"

#include <algorithm>

namespace exeat::proxy {

void dead_addresses::add(const core::ip_address& address, std::uint16_t port,
                         clock::time_point now) noexcept {
  for (auto& known : std::span(entries_).first(used_))
    if (known.port == port && known.address == address) {
      known.until = now + lifetime;
      return;
    }
  if (used_ < capacity) {
    entries_[used_++] = {address, port, now + lifetime};
    return;
  }
  entries_[next_] = {address, port, now + lifetime};
  next_ = (next_ + 1) % capacity;
}

void dead_addresses::remove(const core::ip_address& address, std::uint16_t port) noexcept {
  for (std::size_t i = 0; i < used_; ++i)
    if (entries_[i].port == port && entries_[i].address == address) {
      entries_[i] = entries_[--used_];
      if (next_ >= used_) next_ = 0;
      return;
    }
}

bool dead_addresses::contains(const core::ip_address& address, std::uint16_t port,
                              clock::time_point now) const noexcept {
  return std::ranges::any_of(std::span(entries_).first(used_), [&](const entry& known) {
    return known.port == port && known.until > now && known.address == address;
  });
}

address_list dial_order(std::span<const core::ip_address> checked, std::uint16_t port,
                        const dead_addresses* dead, dead_addresses::clock::time_point now) noexcept {
  address_list families[2];  // IPv6, IPv4
  address_list last;
  for (const auto& address : checked) {
    auto& into = dead != nullptr && dead->contains(address, port, now) ? last : families[address.is_v4()];
    if (std::ranges::find(into, address) == into.end()) into.push_back(address);
  }
  address_list order;
  const auto add = [&](const address_list& from, std::size_t i) {
    if (i < from.size() && order.size() < max_dialled) order.push_back(from[i]);
  };
  for (std::size_t i = 0; i < max_dialled; ++i) {
    add(families[0], i);
    add(families[1], i);
  }
  for (std::size_t i = 0; i < last.size(); ++i) add(last, i);
  return order;
}

}  // namespace exeat::proxy
