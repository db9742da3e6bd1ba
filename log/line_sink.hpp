// Targets of log lines. They are spdlog sinks, used synchronously by the log thread; spdlog's own file sink
// cannot be reopened, truncates the file where a rename fails, and blocks on a pipe that nobody reads.
#pragma once
#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "metrics/registry.hpp"

namespace exeat::log {

/// A file descriptor of ours, closed at the end.
class owned_fd {
 public:
  owned_fd() = default;
  explicit owned_fd(int fd) noexcept : fd_(fd) {}
  owned_fd(owned_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  owned_fd& operator=(owned_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~owned_fd();
  int get() const noexcept { return fd_; }

 private:
  int fd_ = -1;
};

/// Takes whole lines (payloads that end in a newline); the log thread alone calls it. What the target does
/// not take at once waits here, up to pending_max; what comes beyond is dropped and counted.
class line_sink : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  static constexpr std::size_t pending_max = 512U << 10;

  line_sink(metrics::log_sink name, metrics::log_counters& counters) : name_(name), counters_(counters) {}

  metrics::log_sink name() const noexcept { return name_; }
  /// Octets that the target has not taken yet.
  std::size_t pending() const noexcept { return pending_.size(); }
  /// The last attempt left octets behind because the target failed, not because it was full.
  bool failed() const noexcept { return failed_; }
  /// Lines dropped since the last call to forget_drops().
  std::uint64_t drops() const noexcept { return drops_; }
  void forget_drops() noexcept { drops_ = 0; }
  /// Gives up what is pending: counted as dropped.
  void abandon() noexcept;
  /// Opens the target anew. On an error, a sentence, the old one stays.
  virtual std::expected<void, std::string> reopen() { return {}; }

 protected:
  void sink_it_(const spdlog::details::log_msg& line) override;
  void flush_() override;
  /// Hands octets to the target without blocking: how many it took, or -1 for a failure.
  virtual std::ptrdiff_t hand_over(std::string_view octets) noexcept = 0;
  /// Called before a line of `octets` joins what is pending.
  virtual void before_line(std::size_t octets) { static_cast<void>(octets); }

  /// The last attempt left octets behind.
  bool stuck() const noexcept { return stuck_; }
  void count_error() noexcept { counters_.errors[static_cast<std::size_t>(name_)].add(); }
  void drop(std::uint64_t lines) noexcept;
  /// The rest of a line whose front the target has taken is of no use to another target.
  void forget_torn_line() noexcept;

 private:
  static constexpr std::size_t batch = 64U << 10;  // handed over at once, and at least after each drain

  metrics::log_sink name_;
  metrics::log_counters& counters_;
  std::string pending_;
  bool torn_ = false;  // pending_ starts within a line
  bool stuck_ = false;
  bool failed_ = false;
  std::uint64_t drops_ = 0;
};

/// A file that grows to `rotate_size` and is then renamed to FILE.1, FILE.1 to FILE.2, up to FILE.`keep`.
/// The error is a sentence.
std::expected<std::shared_ptr<line_sink>, std::string> open_file_sink(metrics::log_sink name,
                                                                      metrics::log_counters& counters,
                                                                      const std::string& path,
                                                                      std::uint64_t rotate_size,
                                                                      std::uint32_t keep);

/// Standard output, or another descriptor; not closed at the end. Its flags are shared with other processes
/// and stay as they are: it is asked before each write instead.
std::shared_ptr<line_sink> open_stream_sink(metrics::log_sink name, metrics::log_counters& counters, int fd);

/// The datagram socket of the local syslog. The error is a sentence.
std::expected<std::shared_ptr<line_sink>, std::string> open_syslog_sink(
    metrics::log_counters& counters, const std::string& socket_path = "/dev/log");

}  // namespace exeat::log
