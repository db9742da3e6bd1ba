// The last decisions, for whoever watches them as they happen.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace exeat::admin {

/// One event of the log.
struct live_item {
  bool refused = false;
  std::string phase;
  std::string words;  ///< what a search looks at, lower case
  std::string line;   ///< one JSON object, printable ASCII, no newline
};

/// What a watcher wants to see.
struct live_filter {
  std::string phase;                   ///< empty: all
  std::string words;                   ///< lower case; empty: all
  bool refused_only = false;           ///< refusals and failures alone
  std::optional<std::uint64_t> after;  ///< the number of the last one seen; none: from the oldest one kept
};

/// One bounded buffer for all watchers, each with its own place in it: who reads slowly loses the oldest ones
/// and is told how many, and nobody else waits. One thread publishes, any number read.
class live_feed {
 public:
  static constexpr std::size_t most_items = 2000;
  static constexpr std::size_t most_octets = 4U << 20;
  /// While nobody watches, refusals alone are kept, and so many in a second: for the first look at the page.
  static constexpr unsigned unwatched_in_a_second = 50;

  /// The publisher: whether this event is worth formatting.
  bool wants(bool refused) noexcept;
  /// The publisher, after wants(). Calls the bell where somebody watches.
  void publish(live_item item);

  struct batch {
    std::string text;        ///< server-sent events (HTML 9.2)
    std::uint64_t next = 0;  ///< what `after` is the next time
  };
  /// At most 256 KiB of what lies behind `filter.after`; empty text: nothing new.
  batch read(const live_filter& filter) const;

  /// Rung on the publisher's thread; not any more once another one is set.
  void set_bell(std::function<void()> bell) {
    const std::scoped_lock lock(bell_mutex_);
    bell_ = std::move(bell);
  }
  void begin_watch() noexcept { watchers_.fetch_add(1); }
  void end_watch() noexcept { watchers_.fetch_sub(1); }
  std::size_t watchers() const noexcept { return watchers_.load(); }

 private:
  struct numbered {
    std::uint64_t number = 0;
    std::uint64_t skipped = 0;  ///< events that were not kept right before it
    live_item item;
  };
  std::atomic<std::size_t> watchers_{0};
  std::mutex bell_mutex_;
  std::function<void()> bell_;
  // The publisher's.
  std::uint64_t skipped_ = 0;
  std::int64_t second_ = 0;
  unsigned in_second_ = 0;

  mutable std::mutex mutex_;
  std::deque<numbered> items_;
  std::size_t octets_ = 0;
  std::uint64_t last_ = 0;
};

}  // namespace exeat::admin
