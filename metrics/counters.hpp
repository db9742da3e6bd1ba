// What a worker counts: plain cells with one writer each, summed when somebody scrapes.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "core/reason.hpp"
#include "metrics/phase_slots.hpp"

namespace exeat::metrics {

/// As the label `verdict`; the same order as proxy::outcome, so that one casts to the other by index.
enum class verdict : std::uint8_t { allow, deny, would_deny, error };
inline constexpr std::size_t verdict_count = 4;

/// How a name was answered.
enum class dns_lookup : std::uint8_t {
  hit,       ///< from the cache
  miss,      ///< asked the name servers
  negative,  ///< from the cache, which remembers that there is no answer
  shared,    ///< waited for a query that was under way already
};
inline constexpr std::size_t dns_lookup_count = 4;

/// What became of the question whose process stands behind a refusal.
enum class process_lookup : std::uint8_t { found, unavailable, skipped };
inline constexpr std::size_t process_lookup_count = 3;

/// Where the upstream connection of a plain HTTP request came from.
enum class upstream_source : std::uint8_t { dialed, pool };
inline constexpr std::size_t upstream_source_count = 2;

/// A cell with one writing thread and any number of readers: a load and a store, no locked instruction.
class cell {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// Durations in fixed buckets; one writing thread.
class duration_histogram {
 public:
  /// Upper bounds (inclusive): 0.1 ms to 30 s.
  static constexpr std::array<std::chrono::nanoseconds, 17> bounds = [] {
    using namespace std::chrono_literals;
    return std::array<std::chrono::nanoseconds, 17>{100us, 250us, 500us, 1ms, 2500us, 5ms, 10ms, 25ms, 50ms,
                                                    100ms, 250ms, 500ms, 1s,  2500ms, 5s,  10s,  30s};
  }();

  /// Negative durations count as zero.
  void observe(std::chrono::nanoseconds duration) noexcept {
    if (duration.count() < 0) duration = std::chrono::nanoseconds{0};
    std::size_t i = 0;
    while (i < bounds.size() && duration > bounds[i]) ++i;
    buckets_[i].add();
    nanoseconds_.add(static_cast<std::uint64_t>(duration.count()));
  }
  /// Not cumulative; the last one is everything beyond 30 s.
  const std::array<cell, bounds.size() + 1>& buckets() const noexcept { return buckets_; }
  std::uint64_t nanoseconds() const noexcept { return nanoseconds_.value(); }

 private:
  std::array<cell, bounds.size() + 1> buckets_{};
  cell nanoseconds_{};
};

/// All that one worker counts. Every method is for that worker's thread alone, allocates nothing and takes
/// no lock; any thread may read. 140 KiB, of which a worker touches a few lines.
class alignas(64) worker_counters {
 public:
  void decision(phase_slot phase, verdict v, core::reason reason) noexcept {
    of(phase).decisions[static_cast<std::size_t>(v)][static_cast<std::size_t>(reason)].add();
  }
  void tunnel_opened(phase_slot phase) noexcept { of(phase).tunnels_opened.add(); }
  void tunnel_closed(phase_slot phase) noexcept { of(phase).tunnels_closed.add(); }
  /// `up` is client to origin. Call it as bytes flow, not only at the end.
  void bytes(phase_slot phase, std::uint64_t up, std::uint64_t down) noexcept {
    of(phase).bytes_up.add(up);
    of(phase).bytes_down.add(down);
  }
  /// One plain HTTP request forwarded to an origin.
  void http_request(phase_slot phase) noexcept { of(phase).http_requests.add(); }

  void connection_accepted() noexcept { connections_accepted_.add(); }
  void connection_closed() noexcept { connections_closed_.add(); }
  /// Time to a connected origin socket, all attempts together.
  void connect_time(std::chrono::nanoseconds duration) noexcept { connect_time_.observe(duration); }
  /// Time of a look-up that asked the name servers.
  void dns_time(std::chrono::nanoseconds duration) noexcept { dns_time_.observe(duration); }
  void dns_cache(dns_lookup how) noexcept { dns_lookups_[static_cast<std::size_t>(how)].add(); }
  /// A limit or deadline struck; reasons of the kind `limit`.
  void limit_hit(core::reason reason) noexcept { limit_hits_[static_cast<std::size_t>(reason)].add(); }
  void process(process_lookup how) noexcept { process_lookups_[static_cast<std::size_t>(how)].add(); }
  void upstream_connection(upstream_source source) noexcept {
    upstream_connections_[static_cast<std::size_t>(source)].add();
  }

  /// What is counted per phase.
  struct phase_cells {
    std::array<std::array<cell, core::reason_count>, verdict_count> decisions{};
    cell tunnels_opened{}, tunnels_closed{}, bytes_up{}, bytes_down{}, http_requests{};
  };
  const phase_cells& phase(phase_slot slot) const noexcept { return phases_[static_cast<std::size_t>(slot)]; }
  std::uint64_t connections_accepted() const noexcept { return connections_accepted_.value(); }
  std::uint64_t connections_closed() const noexcept { return connections_closed_.value(); }
  const duration_histogram& connect_times() const noexcept { return connect_time_; }
  const duration_histogram& dns_times() const noexcept { return dns_time_; }
  std::uint64_t dns_lookups(dns_lookup how) const noexcept {
    return dns_lookups_[static_cast<std::size_t>(how)].value();
  }
  std::uint64_t limit_hits(core::reason reason) const noexcept {
    return limit_hits_[static_cast<std::size_t>(reason)].value();
  }
  std::uint64_t process_lookups(process_lookup how) const noexcept {
    return process_lookups_[static_cast<std::size_t>(how)].value();
  }
  std::uint64_t upstream_connections(upstream_source source) const noexcept {
    return upstream_connections_[static_cast<std::size_t>(source)].value();
  }

 private:
  phase_cells& of(phase_slot slot) noexcept { return phases_[static_cast<std::size_t>(slot)]; }

  cell connections_accepted_{}, connections_closed_{};
  std::array<cell, dns_lookup_count> dns_lookups_{};
  std::array<cell, upstream_source_count> upstream_connections_{};
  std::array<cell, process_lookup_count> process_lookups_{};
  duration_histogram connect_time_{}, dns_time_{};
  std::array<cell, core::reason_count> limit_hits_{};
  std::array<phase_cells, phase_slot_count> phases_{};
};

}  // namespace exeat::metrics
