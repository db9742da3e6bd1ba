// The review store of a running process: what the log thread sees goes, aggregated, into the database.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "log/event_observer.hpp"
#include "metrics/registry.hpp"
#include "review/ledger.hpp"

namespace exeat::review {

struct store_options {
  std::string database;  ///< the file; made where it is not there
  ledger_bounds bounds;
  aggregate_bounds memory;
  /// Asked now and then, on the store's thread, for what `exeat report` says of budgets; may be empty.
  std::function<std::vector<metrics::budget_sample>()> budgets;
  /// Called on the store's thread when writing begins to fail, and once it goes well again (`ok`).
  std::function<void(bool ok, const std::string& text)> on_trouble;
};

/// Takes decisions on the log thread, aggregates them there, and writes them on its own: half a second after
/// the first that is not written yet, so that a process that is killed loses no more than the last second.
/// Where the database cannot be written (disk full, locked by another program) they stay in bounded memory,
/// merge, and are tried again for as long as we run.
class store final : public log::event_observer {
 public:
  /// Opens or makes the database; the error is a sentence. Before the sandbox and the first other thread.
  static std::expected<std::unique_ptr<store>, std::string> open(store_options options);
  /// Starts the thread. Once. The error is a sentence.
  std::expected<void, std::string> begin();
  /// As stop().
  ~store() override;
  store(const store&) = delete;
  store& operator=(const store&) = delete;

  /// The log thread alone: a look into a table and no system call, but for the first of half a second.
  void see(const proxy::event& event) noexcept override;
  void lost(proxy::outcome verdict, core::reason reason, std::uint64_t count) noexcept override;

  /// Returns once all that was seen before the call is in the database. False: not within `timeout_ms`, or it
  /// cannot be written. Any thread.
  bool flush(int timeout_ms = 5000) noexcept;

  /// Calls `work` on the store's thread, with a connection that may write, between two writes of its own.
  /// False: not within `timeout_ms`; it may still be called then, and has to own what it uses. It must not
  /// throw. Any thread but the store's.
  bool call(std::function<void(database&)> work, int timeout_ms = 5000);

  /// Writes what is there and ends the thread; the log thread must have ended. What cannot be written then is
  /// said in the result, a sentence; empty where all is well.
  std::string stop() noexcept;

  /// Any thread.
  metrics::review_sample sample() const;

 private:
  struct state;
  explicit store(std::unique_ptr<state> state) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace exeat::review
