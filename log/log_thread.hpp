// The one thread that formats and writes log lines; workers only copy bytes into a ring.
#pragma once
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "log/event_observer.hpp"
#include "metrics/registry.hpp"
#include "proxy/event.hpp"

namespace exeat::log {

enum class format : std::uint8_t {
  automatic,  ///< short text on standard output where that is a terminal, JSON everywhere else
  json,
  text,
};

enum class level : std::uint8_t { info, warning, error };

/// Where lines go; any number of targets at once, and none is allowed too.
struct options {
  std::string file;              ///< all lines; empty: no file
  bool standard_output = false;  ///< all lines
  bool syslog = false;           ///< all lines, to the local syslog socket
  std::string blocked;           ///< refusals only, JSON whatever `format` says; empty: no such file
  log::format format = log::format::automatic;
  std::uint64_t rotate_size = 64ULL << 20;  ///< octets, of each file; 0: never rotated
  std::uint32_t rotate_keep = 5;            ///< FILE.1 (newest) to FILE.N are kept; 0: only FILE itself
  std::size_t ring_size = 1U << 20;         ///< octets per worker; a power of two, at least 16 KiB
};

/// Takes events and messages and writes them, in the order of each worker. Lines are lost, and counted,
/// where a ring is full or a target takes no more; a line `dropped` says so once there is room. A target
/// that fails (disk full) or hangs (a pipe nobody reads) is retried for as long as we run, and never holds
/// up a worker or the other targets.
class log_thread final : public proxy::event_sink {
 public:
  /// Opens the files; what is pushed or posted waits for begin(). The error is a sentence that names the
  /// file. `counters` must outlive the result; only the thread writes them.
  static std::expected<std::unique_ptr<log_thread>, std::string> open(const options& options,
                                                                      unsigned workers,
                                                                      metrics::log_counters& counters);
  /// Who sees each event besides; outlives the thread. Before begin().
  void observe(event_observer* observer) noexcept;
  /// Starts the thread. Once. The error is a sentence.
  std::expected<void, std::string> begin();
  /// Both.
  static std::expected<std::unique_ptr<log_thread>, std::string> start(const options& options,
                                                                       unsigned workers,
                                                                       metrics::log_counters& counters);
  /// As stop().
  ~log_thread() override;
  log_thread(const log_thread&) = delete;
  log_thread& operator=(const log_thread&) = delete;

  /// Worker `worker`'s thread alone; a copy into its ring, a system call only where the log thread sleeps.
  void push(unsigned worker, const proxy::event& event) noexcept override;

  /// A message of the process itself, as a line of the event `process`. Any thread. `code` is a short
  /// stable word ("ready", "reload-failed"), `text` a sentence of at most 2000 octets.
  void post(log::level level, std::string_view code, std::string_view text) noexcept;

  /// Closes and opens the files again, after somebody moved them away (SIGHUP). Any thread; returns at once.
  /// A file that cannot be opened goes on in the old place, and a line says so.
  void reopen() noexcept;

  /// Returns once all that was pushed or posted before the call is with the kernel, or dropped. False: not
  /// within `timeout_ms`. Any thread.
  bool flush(int timeout_ms = 5000) noexcept;

  /// Writes what is there and ends the thread; workers must have ended. A target that hangs gets two seconds.
  void stop() noexcept;

 private:
  struct state;
  explicit log_thread(std::unique_ptr<state> state) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace exeat::log
