// The two questions behind one name, A and AAAA, and what their replies come to.
#pragma once
#include <cstdint>
#include <span>

#include "core/host_name.hpp"
#include "proxy/dns_answer.hpp"
#include "proxy/dns_channel.hpp"

namespace exeat::proxy {

enum class family_outcome : std::uint8_t { open, addresses, nothing, timeout, failure, too_many };

/// What one question came to.
struct family_answer {
  family_outcome outcome = family_outcome::open;
  address_list addresses;       ///< at most max_of_family
  std::chrono::seconds ttl{0};  ///< the smallest of the addresses and of the CNAMEs that lead to them
  std::string_view detail;
};

/// Reads a reply to A (1) or AAAA (28) that c-ares handed us with this status.
family_answer read_reply(int type, int status, std::span<const unsigned char> message) noexcept;

/// IPv6 first. One family is enough: the other one may have failed, or be `open` still. Otherwise timeout
/// comes before failure before not found: a name is only said not to exist when both questions were answered.
/// A family of too many addresses spoils both, for it cannot be judged.
dns_answer merge(const family_answer& a, const family_answer& aaaa) noexcept;

/// One look-up over a channel. Destroying it forgets the replies that are still to come.
class dns_query {
 public:
  struct events {
    /// Both questions are done; may destroy the query.
    void (*done)(void* owner, const dns_answer& answer) noexcept;
    /// One question has brought addresses, the other one is open: time to set a shorter limit.
    void (*half)(void* owner) noexcept;
  };

  dns_query(const events& on, void* owner) noexcept : on_(on), owner_(owner) {}
  ~dns_query();
  dns_query(const dns_query&) = delete;
  dns_query& operator=(const dns_query&) = delete;

  /// Once. `done` may be called before this returns, and the query be gone then.
  void start(dns_channel& channel, const core::host_name& name);
  /// What is known now; open questions count as timed out.
  dns_answer so_far() const noexcept;

 private:
  void replied(const dns_reply_slot& slot, int status, std::span<const unsigned char> message) noexcept;

  events on_;
  void* owner_;
  dns_reply_slot* slots_[2] = {nullptr, nullptr};  // A, AAAA; null: none open
  family_answer answers_[2];
};

}  // namespace exeat::proxy
