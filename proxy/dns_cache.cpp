#include "proxy/dns_cache.hpp"

#include <algorithm>

namespace exeat::proxy {

dns_cache::dns_cache(const options& options) : options_(options) {}

std::optional<dns_answer> dns_cache::find(const core::host_name& name, clock::time_point now) noexcept {
  const auto at = index_.find(name.view());
  if (at == index_.end()) return std::nullopt;
  auto& found = entries_[at->second];
  if (found.expires <= now) return std::nullopt;  // stays until it is overwritten or evicted
  found.used = true;
  dns_answer answer;
  answer.addresses.assign(found.addresses.begin(), found.addresses.end());
  answer.reason = found.reason;
  answer.detail = found.detail;
  answer.ttl = std::chrono::duration_cast<std::chrono::seconds>(found.expires - now);
  return answer;
}

dns_cache::joined dns_cache::join(const core::host_name& name, dns_waiter& waiter, bool may_start) {
  auto flight = flights_.find(name);
  const bool first = flight == flights_.end();
  if (first) {
    if (!may_start || flights_.size() >= options_.in_flight) return joined::full;
    flight = flights_.try_emplace(name).first;
  }
  flight->second.push_back(waiter);
  return first ? joined::started : joined::shared;
}

void dns_cache::complete(const core::host_name& name, const dns_answer& answer, clock::time_point now) {
  // Out of the map before anybody is told: a waiter may ask for the same name again.
  auto flight = flights_.extract(name);
  const auto ttl = lifetime(answer);
  if (options_.entries != 0 && ttl > ttl.zero()) {
    auto& slot = slot_for(name, now);
    slot.addresses.assign(answer.addresses.begin(), answer.addresses.end());
    slot.reason = answer.reason;
    slot.detail = answer.detail;
    slot.expires = now + ttl;
    slot.used = false;
  }
  if (flight) hand_out(flight.mapped(), answer);
}

void dns_cache::abandon(const dns_answer& answer) {
  while (!flights_.empty()) {
    auto flight = flights_.extract(flights_.begin());
    hand_out(flight.mapped(), answer);
  }
}

void dns_cache::hand_out(waiters& waiting, const dns_answer& answer) {
  while (!waiting.empty()) {
    auto& waiter = waiting.front();
    waiter.unlink();
    waiter.answered_(waiter, answer);
  }
}

void dns_cache::clear() noexcept {
  index_.clear();
  entries_.clear();
  hand_ = 0;
}

std::chrono::milliseconds dns_cache::lifetime(const dns_answer& answer) const noexcept {
  if (answer)
    return std::min(std::max<std::chrono::milliseconds>(answer.ttl, options_.min_ttl), options_.max_ttl);
  if (answer.reason == core::reason::dns_not_found) return options_.negative_ttl;
  return std::min(options_.failure_ttl, options_.negative_ttl);
}

dns_cache::entry& dns_cache::slot_for(const core::host_name& name, clock::time_point now) {
  if (const auto at = index_.find(name.view()); at != index_.end()) return entries_[at->second];
  std::size_t place = entries_.size();
  if (place < options_.entries) {
    entries_.emplace_back();
  } else {
    // Ends within two turns: the first one clears every bit.
    for (;; hand_ = (hand_ + 1) % entries_.size()) {
      auto& candidate = entries_[hand_];
      if (candidate.expires <= now) break;
      if (!candidate.used) {
        ++evictions_;
        break;
      }
      candidate.used = false;
    }
    place = hand_;
    hand_ = (hand_ + 1) % entries_.size();
    index_.erase(entries_[place].name);
  }
  entries_[place].name = name.view();
  index_.emplace(entries_[place].name, place);
  return entries_[place];
}

}  // namespace exeat::proxy
