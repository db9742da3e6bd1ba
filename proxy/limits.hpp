// Connection counts that span workers, leased in slices so that the accept path shares no cache line.
#pragma once
#include <atomic>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <mutex>

#include "core/ip_address.hpp"

namespace exeat::proxy {

/// Who is counted: a client's address, or the uid at the other end of a unix socket (as 0::/96 plus uid, a
/// range that no client address lies in); on a listener that alone says the phase, in that phase, so that
/// phases that share an address leave one another their connections and requests.
struct client_key {
  core::ip_address address;
  std::uint32_t phase = 0;  ///< hash of the phase's name; 0: not known by the listener
  friend bool operator==(const client_key&, const client_key&) = default;
};
client_key key_of_uid(std::uint32_t uid) noexcept;
std::size_t hash_value(const client_key& key) noexcept;

/// What the process has left to lease. Thread-safe.
class connection_budget {
 public:
  /// Zero for `per_client` = no such limit.
  connection_budget(std::uint32_t total, std::uint32_t per_client, unsigned workers);

  std::uint32_t total_slice() const noexcept { return total_slice_; }
  std::uint32_t client_slice() const noexcept { return client_slice_; }
  bool limits_clients() const noexcept { return per_client_ != 0; }

  /// Takes up to `wanted`; returns what it got.
  std::uint32_t take(std::uint32_t wanted) noexcept;
  void give_back(std::uint32_t count) noexcept;
  std::uint32_t take(const client_key& client, std::uint32_t wanted);
  void give_back(const client_key& client, std::uint32_t count) noexcept;

 private:
  std::uint32_t per_client_;
  std::uint32_t total_slice_;
  std::uint32_t client_slice_;
  std::atomic<std::uint32_t> left_;
  std::mutex mutex_;
  boost::unordered_flat_map<client_key, std::uint32_t> leased_of_;
};

/// One worker's leases. Not thread-safe; must not outlive its budget.
class connection_leases {
 public:
  explicit connection_leases(connection_budget& budget) noexcept : budget_(budget) {}
  connection_leases(const connection_leases&) = delete;
  connection_leases& operator=(const connection_leases&) = delete;
  ~connection_leases();

  enum class answer : std::uint8_t { admitted, total_reached, client_reached };
  answer admit(const client_key& client);
  /// For each admitted, once.
  void release(const client_key& client) noexcept;

 private:
  struct lease {
    std::uint32_t used = 0;
    std::uint32_t held = 0;
  };
  void trim_total() noexcept;
  static std::uint32_t to_give_back(const lease& lease, std::uint32_t slice) noexcept;

  connection_budget& budget_;
  lease total_;
  boost::unordered_flat_map<client_key, lease> clients_;
};

}  // namespace exeat::proxy
