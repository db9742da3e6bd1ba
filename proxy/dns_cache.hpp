// The answers that a worker remembers, and who waits for those that are on their way. No I/O, no clock.
#pragma once
#include <boost/container/small_vector.hpp>
#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/host_name.hpp"
#include "proxy/dns_answer.hpp"

namespace exeat::proxy {

/// One who waits for an answer; stops waiting when destroyed.
class dns_waiter
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// Called once at most; the waiter waits no longer by then. May destroy it, and any other.
  using callback = void (*)(dns_waiter& self, const dns_answer& answer) noexcept;
  explicit dns_waiter(callback answered) noexcept : answered_(answered) {}
  dns_waiter(const dns_waiter&) = delete;
  dns_waiter& operator=(const dns_waiter&) = delete;

 private:
  friend class dns_cache;
  callback answered_;
};

/// Bounded by CLOCK eviction, the nearest to LRU that writes one bit per hit. Not thread-safe.
class dns_cache {
 public:
  using clock = std::chrono::steady_clock;

  struct options {
    std::size_t entries = 4096;
    std::size_t in_flight = 1024;
    std::chrono::milliseconds min_ttl{1000}, max_ttl{3'600'000};  ///< min_ttl counts up to max_ttl
    std::chrono::milliseconds negative_ttl{10'000};               ///< dns_not_found
    std::chrono::milliseconds failure_ttl{1000};  ///< dns_failure, dns_timeout; negative_ttl caps it
  };

  explicit dns_cache(const options& options);
  /// Leaves no waiter linked; calls none.
  ~dns_cache() = default;
  dns_cache(const dns_cache&) = delete;
  dns_cache& operator=(const dns_cache&) = delete;

  /// A remembered answer that has not expired; one with a failure is an answer as well.
  std::optional<dns_answer> find(const core::host_name& name, clock::time_point now) noexcept;

  enum class joined : std::uint8_t {
    started,  ///< the first to ask: the caller starts the look-up and calls `complete` once
    shared,   ///< somebody's look-up is under way
    full,     ///< `in_flight` names are being looked up, or the caller may not start one: it does not wait
  };
  joined join(const core::host_name& name, dns_waiter& waiter, bool may_start = true);

  /// Remembers the answer of a started look-up and hands it to all who wait, be they none.
  void complete(const core::host_name& name, const dns_answer& answer, clock::time_point now);
  /// Ends every look-up without remembering anything.
  void abandon(const dns_answer& answer);

  /// Forgets every answer; look-ups under way go on.
  void clear() noexcept;
  std::size_t size() const noexcept { return index_.size(); }
  std::size_t in_flight() const noexcept { return flights_.size(); }
  std::uint64_t evictions() const noexcept { return evictions_; }

 private:
  struct entry {
    std::string name;
    boost::container::small_vector<core::ip_address, 2> addresses;
    core::reason reason = core::reason::dns_failure;
    std::string_view detail;
    clock::time_point expires;
    bool used = false;  // since the hand came by
  };
  using waiters = boost::intrusive::list<dns_waiter, boost::intrusive::constant_time_size<false>>;

  std::chrono::milliseconds lifetime(const dns_answer& answer) const noexcept;
  entry& slot_for(const core::host_name& name, clock::time_point now);
  static void hand_out(waiters& waiting, const dns_answer& answer);

  options options_;
  std::deque<entry> entries_;  // never shrinks: references and the index's keys stay valid
  boost::unordered_flat_map<std::string_view, std::size_t> index_;
  std::unordered_map<core::host_name, waiters> flights_;
  std::size_t hand_ = 0;
  std::uint64_t evictions_ = 0;
};

}  // namespace exeat::proxy
