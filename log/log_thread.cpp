#include "log/log_thread.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "log/event_ring.hpp"
#include "log/writer.hpp"

namespace exeat::log {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto nap = 10ms;              // between two looks at the rings while events come
constexpr auto retry = 100ms;           // between two tries of a target that takes no more
constexpr auto last_patience = 2s;      // for such a target at the end
constexpr std::size_t post_max = 1000;  // messages that wait
constexpr std::size_t code_bound = 64;
constexpr std::size_t text_bound = 2000;

struct posted {
  std::chrono::system_clock::time_point time;
  log::level level;
  std::string code;
  std::string text;
};

}  // namespace

/// While events come, the thread looks at the rings every 10 ms and workers do no system call at all; once a
/// look finds nothing, it announces that it sleeps, and the next push wakes it.
struct log_thread::state {
  state(log::writer out, unsigned workers, std::size_t ring_size, metrics::log_counters& counted)
      : writer(std::move(out)), counters(counted), seen_drops(workers) {
    for (unsigned i = 0; i < workers; ++i) rings.push_back(std::make_unique<event_ring>(ring_size));
  }

  void run() noexcept;
  bool step();
  bool take_posted();
  bool drain_rings();
  void count_ring_drops();
  void tell_lost();
  void wait(clock::time_point until);
  void sleep(bool with_retry);
  void wake() noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(bell.get(), &one, sizeof one));
  }

  log::writer writer;
  metrics::log_counters& counters;
  owned_fd bell{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::vector<std::unique_ptr<event_ring>> rings;
  std::vector<std::uint64_t> seen_drops;
  event_observer* observer = nullptr;
  /// What the observer has been told of drops, of all rings together.
  std::array<std::array<std::uint64_t, core::reason_count>, metrics::verdict_count> told_lost{};
  std::atomic<std::uint64_t> posts_dropped{0};
  std::uint64_t seen_posts_dropped = 0;
  std::uint64_t ring_drops = 0;  ///< not told yet
  alignas(64) std::atomic<bool> sleeping{false};

  alignas(64) std::mutex mutex;
  std::condition_variable flushed;
  std::deque<posted> posts;  // from here on under the mutex
  bool wants_reopen = false;
  bool stopping = false;
  bool ended = false;
  std::uint64_t flushes_wanted = 0;
  std::uint64_t flushes_done = 0;

  std::thread thread;
};

bool log_thread::state::take_posted() {
  std::deque<posted> taken;
  bool reopen_now = false;
  {
    const std::lock_guard lock(mutex);
    taken.swap(posts);
    reopen_now = std::exchange(wants_reopen, false);
  }
  if (reopen_now) writer.reopen();
  for (const posted& post : taken) writer.write(message{post.time, post.level, post.code, post.text});
  return reopen_now || !taken.empty();
}

/// All that was there when it began; ends even where workers push as fast as it reads.
bool log_thread::state::drain_rings() {
  bool any = false;
  for (const auto& ring : rings) {
    for (std::size_t left = ring->records_max(); left > 0; --left) {
      const auto event = ring->front();
      if (!event) break;
      any = true;
      if (observer != nullptr) observer->see(*event);
      try {
        writer.write(*event);
      } catch (...) {
        ring->pop();
        throw;
      }
      ring->pop();
    }
  }
  return any;
}

void log_thread::state::tell_lost() {
  for (std::size_t v = 0; v < metrics::verdict_count; ++v) {
    for (const core::reason_row& row : core::reasons()) {
      const auto verdict = static_cast<proxy::outcome>(v);
      std::uint64_t now = 0;
      for (const auto& ring : rings) now += ring->dropped(verdict, row.value);
      auto& told = told_lost[v][static_cast<std::size_t>(row.value)];
      if (now > told) observer->lost(verdict, row.value, now - std::exchange(told, now));
    }
  }
}

void log_thread::state::count_ring_drops() {
  std::uint64_t fresh = 0;
  for (std::size_t i = 0; i < rings.size(); ++i) {
    const std::uint64_t now = rings[i]->dropped();
    fresh += now - std::exchange(seen_drops[i], now);
  }
  if (fresh > 0 && observer != nullptr) tell_lost();
  const std::uint64_t posts_now = posts_dropped.load(std::memory_order_relaxed);
  fresh += posts_now - std::exchange(seen_posts_dropped, posts_now);
  if (fresh > 0) counters.dropped[static_cast<std::size_t>(metrics::log_sink::ring)].add(fresh);
  ring_drops += fresh;
  if (ring_drops == 0) return;
  writer.write(loss{std::chrono::system_clock::now(), metrics::log_sink::ring, std::exchange(ring_drops, 0)});
}

/// One round. True where there was something to do.
bool log_thread::state::step() {
  const bool any_posted = take_posted();
  const bool any_drained = drain_rings();
  count_ring_drops();
  writer.report_drops();
  writer.flush();
  return any_posted || any_drained;
}

void log_thread::state::wait(clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
  if (left.count() > 0) {
    pollfd ready{bell.get(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(left.count()));
  }
  std::uint64_t rung = 0;
  static_cast<void>(!::read(bell.get(), &rung, sizeof rung));
}

void log_thread::state::sleep(bool with_retry) {
  sleeping.store(true, std::memory_order_seq_cst);
  const bool nothing = std::ranges::all_of(rings, [](const auto& ring) { return ring->empty(); });
  if (nothing) wait(clock::now() + (with_retry ? std::chrono::milliseconds(retry) : 1h));
  sleeping.store(false, std::memory_order_seq_cst);
}

void log_thread::state::run() noexcept {
  std::optional<clock::time_point> give_up;
  for (;;) {
    std::uint64_t wanted = 0;
    bool stop_now = false;
    {
      const std::lock_guard lock(mutex);
      wanted = flushes_wanted;
      stop_now = stopping;
    }
    const auto began = clock::now();
    bool busy = false;
    try {
      busy = step();
    } catch (const std::exception&) {  // out of memory: the record at hand is lost, and said so
      posts_dropped.fetch_add(1, std::memory_order_relaxed);
    }
    if (!writer.pending()) {
      const std::lock_guard lock(mutex);
      flushes_done = wanted;
      flushed.notify_all();
    }
    if (stop_now) {
      if (!give_up) give_up = began + last_patience;
      if (!busy && ((!writer.worth_waiting() && !writer.owes()) || clock::now() >= *give_up)) break;
      if (!busy) wait(clock::now() + nap);
    } else if (busy) {
      wait(began + nap);
    } else {
      sleep(writer.pending() || writer.owes());
    }
  }
  writer.abandon();
  const std::lock_guard lock(mutex);
  ended = true;
  flushed.notify_all();
}

std::expected<std::unique_ptr<log_thread>, std::string> log_thread::open(const options& options,
                                                                         unsigned workers,
                                                                         metrics::log_counters& counters) {
  const std::size_t size = options.ring_size;
  if (size < 4 * event_ring::record_max || (size & (size - 1)) != 0) {
    return std::unexpected(
        fmt::format("the ring size {} is no power of two from {} up", size, 4 * event_ring::record_max));
  }
  auto opened = writer::open(options, counters);
  if (!opened) return std::unexpected(std::move(opened.error()));
  auto inside = std::make_unique<state>(std::move(*opened), workers, size, counters);
  if (inside->bell.get() < 0) {
    return std::unexpected("cannot create an eventfd: " + std::generic_category().message(errno));
  }
  return std::unique_ptr<log_thread>(new log_thread(std::move(inside)));
}

std::expected<void, std::string> log_thread::begin() {
  // Signals are for the main thread; and a SIGPIPE of a write here must not end the process.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    state_->thread = std::thread([raw = state_.get()] {
      ::pthread_setname_np(::pthread_self(), "log");
      raw->run();
    });
  } catch (const std::system_error& failed) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return std::unexpected(fmt::format("cannot start the log thread: {}", failed.what()));
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

std::expected<std::unique_ptr<log_thread>, std::string> log_thread::start(const options& options,
                                                                          unsigned workers,
                                                                          metrics::log_counters& counters) {
  auto opened = open(options, workers, counters);
  if (!opened) return opened;
  if (auto begun = (*opened)->begin(); !begun) return std::unexpected(std::move(begun.error()));
  return opened;
}

log_thread::log_thread(std::unique_ptr<state> state) noexcept : state_(std::move(state)) {}

log_thread::~log_thread() {
  stop();
}

void log_thread::observe(event_observer* observer) noexcept {
  state_->observer = observer;
}

void log_thread::push(unsigned worker, const proxy::event& event) noexcept {
  if (!state_->rings[worker]->push(event)) return;
  if (state_->sleeping.load(std::memory_order_seq_cst) && state_->sleeping.exchange(false)) state_->wake();
}

void log_thread::post(log::level level, std::string_view code, std::string_view text) noexcept {
  try {
    posted item{std::chrono::system_clock::now(), level, std::string(code.substr(0, code_bound)),
                std::string(text.substr(0, text_bound))};
    if (text.size() > text_bound) item.text.replace(text_bound - 3, 3, "...");
    const std::lock_guard lock(state_->mutex);
    if (state_->posts.size() < post_max && !state_->ended) {
      state_->posts.push_back(std::move(item));
    } else {
      state_->posts_dropped.fetch_add(1, std::memory_order_relaxed);
    }
  } catch (const std::bad_alloc&) {
    state_->posts_dropped.fetch_add(1, std::memory_order_relaxed);
  }
  state_->wake();
}

void log_thread::reopen() noexcept {
  {
    const std::lock_guard lock(state_->mutex);
    state_->wants_reopen = true;
  }
  state_->wake();
}

bool log_thread::flush(int timeout_ms) noexcept {
  std::unique_lock lock(state_->mutex);
  const std::uint64_t mine = ++state_->flushes_wanted;
  state_->wake();
  return state_->flushed.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                                  [&] { return state_->flushes_done >= mine || state_->ended; });
}

void log_thread::stop() noexcept {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake();
  if (state_->thread.joinable()) state_->thread.join();
}

}  // namespace exeat::log
