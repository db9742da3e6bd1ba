// The process's numbers in one place: a set of counters per worker, and what `serve` and the log thread set.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/counters.hpp"
#include "metrics/phase_slots.hpp"

namespace exeat::metrics {

/// Where log lines go, or are lost: `ring` is the way from a worker to the log thread.
enum class log_sink : std::uint8_t { ring, file, standard_output, syslog, blocked };
inline constexpr std::size_t log_sink_count = 5;
/// "ring", "file", "stdout", "syslog", "blocked"
std::string_view name_of(log_sink sink) noexcept;

/// Written by the log thread alone.
struct log_counters {
  std::array<cell, log_sink_count> written{};  ///< lines; none for `ring`
  std::array<cell, log_sink_count> dropped{};  ///< lines
  std::array<cell, log_sink_count> errors{};   ///< failed writes, rotations and reopens
};

/// The policy in force.
struct policy_info {
  std::string digest;  ///< as health shows it
  std::size_t rules = 0;
  std::chrono::system_clock::time_point loaded_at;
};

/// What a limit of the policy is on.
enum class budget_kind : std::uint8_t {
  upload,    ///< octets
  download,  ///< octets
  names,
  requests,
  time,  ///< milliseconds
};

/// How far one limit of the policy has been used; of the job where `phase` is empty, of the phase where
/// `rule` is.
struct budget_sample {
  budget_kind kind = budget_kind::upload;
  std::string phase;
  std::string rule;  ///< its id
  std::uint64_t used = 0;
  std::uint64_t limit = 0;
};
using budget_source = std::function<std::vector<budget_sample>()>;

/// What the review store says of itself.
struct review_sample {
  std::uint64_t decisions = 0;    ///< taken since the start
  std::uint64_t detail_lost = 0;  ///< of these, without their destination: beyond a bound, or never seen
  std::uint64_t failures = 0;     ///< writes that failed
  std::uint64_t waiting = 0;      ///< groups that are in memory alone
  std::uint64_t octets = 0;       ///< of the database
  std::string trouble;            ///< a sentence while it cannot be written
};
using review_source = std::function<review_sample()>;

/// One per process. Everything but the workers' own counters may be called from any thread.
class registry {
 public:
  explicit registry(unsigned workers);

  unsigned workers() const noexcept { return static_cast<unsigned>(workers_.size()); }
  /// For that worker's thread alone.
  worker_counters& worker(unsigned number) noexcept { return *workers_[number]; }
  const worker_counters& worker(unsigned number) const noexcept { return *workers_[number]; }
  phase_slots& phases() noexcept { return phases_; }
  const phase_slots& phases() const noexcept { return phases_; }
  log_counters& log() noexcept { return log_; }
  const log_counters& log() const noexcept { return log_; }

  /// A policy was put in force: at start, or by a reload that count_reload(true) counts besides.
  void set_policy(policy_info info);
  std::optional<policy_info> policy() const;
  /// What is asked at each scrape for the limits of the policy in force; bounded by whoever sets it.
  void set_budgets(budget_source source);
  std::vector<budget_sample> budgets() const;
  /// What is asked at each scrape of the review store, where there is one.
  void set_review(review_source source);
  std::optional<review_sample> review() const;
  /// A reload ended; the load at start is none.
  void count_reload(bool ok) noexcept;
  std::uint64_t reloads(bool ok) const noexcept {
    return reloads_[ok ? 1 : 0].load(std::memory_order_relaxed);
  }
  /// True until a reload fails, and again after the next that succeeds.
  bool last_reload_ok() const noexcept { return last_reload_ok_.load(std::memory_order_relaxed); }

  /// Somebody asked for what he may not do.
  void count_control_denied() noexcept { control_denied_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t control_denied() const noexcept { return control_denied_.load(std::memory_order_relaxed); }
  /// A job went on to a later phase.
  void count_phase_advance() noexcept { phase_advances_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t phase_advances() const noexcept { return phase_advances_.load(std::memory_order_relaxed); }

 private:
  std::vector<std::unique_ptr<worker_counters>> workers_;
  phase_slots phases_;
  log_counters log_;
  mutable std::mutex mutex_;
  std::optional<policy_info> policy_;
  budget_source budgets_;
  review_source review_;
  std::array<std::atomic<std::uint64_t>, 2> reloads_{};
  std::atomic<bool> last_reload_ok_{true};
  std::atomic<std::uint64_t> control_denied_{0};
  std::atomic<std::uint64_t> phase_advances_{0};
};

}  // namespace exeat::metrics
