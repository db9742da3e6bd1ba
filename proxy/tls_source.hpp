// A TLS listener's files as they are now: certificates and revocation lists change without a restart.
#pragma once
#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "config/settings.hpp"
#include "proxy/tls_context.hpp"

namespace exeat::proxy {

/// Thread-safe: one for all workers of a listener.
class tls_source {
 public:
  /// Files are not looked at more often by current().
  static constexpr std::chrono::milliseconds look_interval{1000};
  /// A look found files that have changed: they were taken up, or (with a sentence) they cannot be, and those
  /// before them stay in force. Once per change; on the thread that looked.
  using report = std::function<void(const std::expected<void, std::string>& loaded)>;

  /// Blocking file I/O. The error is a sentence.
  static std::expected<std::unique_ptr<tls_source>, std::string> open(config::tls_settings files,
                                                                      report changed = {});
  tls_source(const tls_source&) = delete;
  tls_source& operator=(const tls_source&) = delete;

  /// The files in force, for the next handshake. At most once in look_interval, on one of the callers, it
  /// asks the file system whether they have changed (four stat), and then loads them.
  std::shared_ptr<const tls_context> current() { return current(std::chrono::steady_clock::now()); }
  std::shared_ptr<const tls_context> current(std::chrono::steady_clock::time_point now);
  /// Loads them now, changed or not. The error is a sentence; those before them then stay in force.
  std::expected<void, std::string> reload();

 private:
  // What tells one state of a file from another.
  struct stamp {
    ::dev_t device = 0;
    ::ino_t inode = 0;
    std::int64_t size = -1;
    std::array<std::int64_t, 4> times{};
    friend bool operator==(const stamp&, const stamp&) = default;
  };
  using stamps = std::array<stamp, 4>;

  tls_source(config::tls_settings files, report changed)
      : files_(std::move(files)), changed_(std::move(changed)) {}
  stamps look() const noexcept;
  std::expected<void, std::string> load(const stamps& seen);

  const config::tls_settings files_;
  const report changed_;
  std::mutex looking_;  // over seen_ and next_look_, and while files are read
  stamps seen_{};
  std::chrono::steady_clock::time_point next_look_;
  std::mutex swapping_;  // over context_; never held for long
  std::shared_ptr<const tls_context> context_;
};

}  // namespace exeat::proxy
