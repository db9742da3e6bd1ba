// From an allowed name to addresses: cache, single-flight, hosts file, and the look-up itself.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/host_name.hpp"
#include "proxy/asio.hpp"
#include "proxy/dns_answer.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

class system_lookup_pool;

struct resolver_options {
  /// getaddrinfo (nsswitch.conf) on the pool in place of c-ares. `servers`, `hosts_file` and `tries` say
  /// nothing then.
  bool system = false;
  /// "ip", "ip:port" or "[ip6]:port"; empty: those of resolv.conf, read again when it changes.
  std::vector<std::string> servers;
  bool hosts_file = true;
  /// Of one look-up as a whole, over all servers and tries.
  std::chrono::milliseconds timeout{5000};
  /// Of the first try at a server, at most; shorter where all tries would not fit into `timeout`.
  std::chrono::milliseconds try_timeout{2000};
  unsigned tries = 2;
  std::size_t cache_entries = 4096;
  /// Answers live in the cache for their TTL, clamped.
  std::chrono::milliseconds min_ttl{1000}, max_ttl{3'600'000};
  /// For names that do not exist or have no address. Failures and timeouts live for at most one second.
  std::chrono::milliseconds negative_ttl{10'000};
  /// Names being looked up at one time; more fail at once (too_many_lookups).
  std::size_t in_flight = 1024;

  std::string hosts_path = "/etc/hosts";
  std::string resolv_conf_path = "/etc/resolv.conf";
};

/// Counted since the start; plain, read on the worker's thread.
struct resolver_stats {
  std::uint64_t hits = 0;       ///< addresses from the cache or the hosts file
  std::uint64_t negative = 0;   ///< failures from the cache
  std::uint64_t shared = 0;     ///< joined a look-up that was under way already
  std::uint64_t misses = 0;     ///< look-ups started
  std::uint64_t not_found = 0;  ///< look-ups that ended in dns_not_found
  std::uint64_t failures = 0;   ///< look-ups that ended in dns_failure
  std::uint64_t timeouts = 0;   ///< look-ups that ended in dns_timeout
  std::uint64_t evictions = 0;  ///< cache entries that made room before their time
};

/// Look-ups that one asker has under way; those that it joins, or finds in the cache, count for nothing.
struct lookup_share {
  std::uint32_t under_way = 0;
  std::uint32_t most = 0;  ///< 0: no limit
  std::uint32_t asker =
      0;  ///< who that is to system_lookup_pool, the same on every worker; 0: nobody's phase
};

struct resolve_result {
  std::expected<address_list, core::reason> addresses;  ///< never an empty list
  bool from_cache = false;                              ///< nothing was asked over the network
  std::string_view detail;                              ///< static text, on failure
};

/// One per worker, used on its thread alone. The caller has made sure that the policy allows the name: asking
/// for it tells the name servers. Never a search domain, never a reverse look-up. Without a query: localhost
/// names are what the hosts file says or loopback (RFC 6761 6.3), .onion names do not exist (RFC 7686 2).
class resolver {
 public:
  /// Throws std::runtime_error with a sentence where c-ares cannot start or a server is malformed. The wheel
  /// outlives the resolver. `pool` is needed for `system` only, and is shared by all workers.
  resolver(asio::io_context& context, timer_wheel& wheel, resolver_options options,
           std::shared_ptr<system_lookup_pool> pool = nullptr);
  /// Waiters that are left see dns_failure when their io_context runs on, or are destroyed with it.
  ~resolver();
  resolver(const resolver&) = delete;
  resolver& operator=(const resolver&) = delete;

  /// In the order of the name server's answers, IPv6 first. Where only one of A and AAAA answers in time,
  /// that one is the result. Cancelling the caller (terminal) ends the wait with dns_failure; the look-up
  /// goes on for others and for the cache.
  /// `share` outlives the resolver; null: nobody counts.
  task<resolve_result> resolve(core::host_name name, lookup_share* share = nullptr);

  const resolver_stats& stats() const noexcept;
  std::size_t cached_names() const noexcept;
  /// Forgets every answer.
  void flush() noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Null where `text` is "ip", "ip:port" or "[ip6]:port" as `resolver_options::servers` takes it, else what is
/// wrong with it; for the configuration's check.
const char* name_server_error(std::string_view text) noexcept;

}  // namespace exeat::proxy
