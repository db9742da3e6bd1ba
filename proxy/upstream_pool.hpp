// Idle connections to origins for plain HTTP: per worker, never shared across phases, dropped at every
// reload.
#pragma once
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <optional>
#include <string>

#include "core/destination.hpp"
#include "metrics/phase_slots.hpp"
#include "proxy/asio.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

struct next_hop;

struct upstream_key {
  metrics::phase_slot phase{};
  std::string job;                ///< its id
  std::string origin;             ///< host:port
  const next_hop* via = nullptr;  ///< the upstream proxy that its name leads through
  friend bool operator==(const upstream_key&, const upstream_key&) = default;
};
std::size_t hash_value(const upstream_key& key) noexcept;

/// A connected socket that leads to an origin, itself or through an upstream proxy.
struct upstream_connection {
  stream_socket socket;
  std::optional<core::ip_address> address;  ///< of the origin, which the guard checked; none: not known here
  const next_hop* via = nullptr;            ///< the upstream proxy that it goes through
  bool forwards =
      false;  ///< that one reads the requests itself, in absolute form; else they are the origin's
};

/// Nothing has come that nobody asked for, neither octets nor a FIN: the next answer will be the answer to
/// the next request.
bool is_silent(stream_socket& socket) noexcept;

/// Not thread-safe: lives on its worker's thread.
class upstream_pool {
 public:
  struct options {
    std::size_t per_key = 8;
    std::size_t total = 256;  ///< 0 = no pool
    std::chrono::milliseconds idle{30'000};
  };

  upstream_pool(timer_wheel& wheel, options options) noexcept : wheel_(wheel), options_(options) {}
  upstream_pool(const upstream_pool&) = delete;
  upstream_pool& operator=(const upstream_pool&) = delete;

  /// The most recently used connection that is still open and silent: octets nobody asked for, or a FIN,
  /// close it.
  std::optional<upstream_connection> take(const upstream_key& key);
  /// Keeps it, or closes it where there is no room. `generation` is what generation() said when it was
  /// dialled: a connection from before a reload was checked under another policy and is closed.
  void put(const upstream_key& key, upstream_connection connection, std::uint64_t generation);
  /// Closes all.
  void clear() noexcept;
  std::uint64_t generation() const noexcept { return generation_; }
  std::size_t size() const noexcept { return size_; }

 private:
  struct idle_connection {
    explicit idle_connection(upstream_pool& pool) noexcept;
    upstream_pool* owner;
    upstream_key key;
    std::size_t hash = 0;  ///< of the key
    std::optional<upstream_connection> connection;
    deadline expiry;
  };
  using bucket = std::list<idle_connection>;

  static void expired(void* which) noexcept;
  /// Empties `which`, and keeps it for the next put().
  void retire(bucket& from, bucket::iterator which) noexcept;

  timer_wheel& wheel_;
  options options_;
  boost::unordered_flat_map<std::size_t, bucket> idle_;  ///< by the key's hash
  bucket spare_;  ///< without a connection: no allocation for each put()
  std::size_t size_ = 0;
  std::uint64_t generation_ = 0;
};

}  // namespace exeat::proxy
