#include "review/store.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "review/schema.hpp"

namespace exeat::review {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto pause = 500ms;  // from the first decision that is not written to the write of all by then
constexpr auto housekeeping_pause = 10min;
constexpr auto budgets_pause = 5s;
constexpr auto idle_pause = 1min;
constexpr int last_tries = 4;  // at the end, each with SQLite's own patience for locks

/// Decisions of which nothing but verdict and reason is known, without a byte of new memory.
using bare_counts =
    std::array<std::array<std::atomic<std::uint64_t>, core::reason_count>, metrics::verdict_count>;

}  // namespace

struct store::state {
  state(database&& on, store_options wanted)
      : options(std::move(wanted)),
        book(std::move(on), options.bounds),
        fresh(options.memory),
        waiting(options.memory) {}

  void run() noexcept;
  bool write() noexcept;
  void take_calls();
  void take_bare();
  void housekeeping() noexcept;
  void say(bool ok, const std::string& text) noexcept;

  const store_options options;
  ledger book;
  bare_counts bare{};
  std::atomic<bool> any_bare{false};

  mutable std::mutex mutex;
  std::condition_variable wake, flushed;
  aggregate fresh;  ///< from here on under the mutex
  std::uint64_t flushes_wanted = 0, flushes_done = 0, flushes_failed = 0;
  bool stopping = false;
  std::deque<std::function<void(database&)>> calls;
  std::uint64_t calls_wanted = 0, calls_done = 0;
  std::string trouble;
  metrics::review_sample counted;
  std::uint64_t waiting_lost = 0;  ///< detail_lost() of `waiting`

  // The thread's own.
  aggregate waiting;  ///< could not be written yet
  clock::time_point next_housekeeping{}, next_budgets{};
  bool wrote_any = false;

  std::thread thread;
};

void store::state::say(bool ok, const std::string& text) noexcept {
  try {
    {
      const std::lock_guard lock(mutex);
      if (ok == trouble.empty()) return;
      trouble = ok ? "" : text;
    }
    if (options.on_trouble) options.on_trouble(ok, text);
  } catch (const std::exception&) {  // out of memory: it is said the next time
  }
}

void store::state::take_bare() {
  if (!any_bare.exchange(false)) return;
  const auto now = std::chrono::system_clock::now();
  for (std::size_t v = 0; v < bare.size(); ++v) {
    for (std::size_t r = 0; r < core::reason_count; ++r) {
      auto& count = bare[v][r];
      if (count.load(std::memory_order_relaxed) == 0) continue;
      const auto taken = count.exchange(0, std::memory_order_relaxed);
      try {
        waiting.add_lost(static_cast<proxy::outcome>(v), static_cast<core::reason>(r), taken, now);
      } catch (...) {
        count.fetch_add(taken, std::memory_order_relaxed);
        any_bare = true;
        throw;
      }
    }
  }
}

/// All that was seen so far. False: it waits in memory.
bool store::state::write() noexcept {
  std::uint64_t lost = 0;
  try {
    aggregate taken(options.memory);
    {
      const std::lock_guard lock(mutex);
      std::swap(taken, fresh);
    }
    try {
      waiting.merge(std::move(taken));
    } catch (const std::exception&) {  // out of memory: what is not merged yet goes on as a bare count
      for (const auto& [key, one] : taken.groups()) {
        bare[static_cast<std::size_t>(one.verdict)][static_cast<std::size_t>(one.reason)] += one.count;
      }
      any_bare = true;
      throw;
    }
    take_bare();
    if (!waiting.empty()) {
      book.write(waiting, lost);
      wrote_any = true;
      lost += waiting.detail_lost();
      waiting = aggregate(options.memory);
    }
    const auto size = book.size();
    {
      const std::lock_guard lock(mutex);
      counted.detail_lost += lost;
      counted.octets = size;
      counted.waiting = 0;
      waiting_lost = 0;
    }
    say(true, "the review store is written again");
    return true;
  } catch (const std::exception& failed) {
    {
      const std::lock_guard lock(mutex);
      ++counted.failures;
      counted.detail_lost += lost;
      counted.waiting = waiting.size();
      waiting_lost = waiting.detail_lost();
    }
    say(false,
        fmt::format("the review store {} cannot be written; decisions wait in memory, where they merge: {}",
                    options.database, failed.what()));
    return false;
  }
}

void store::state::housekeeping() noexcept {
  const auto now = clock::now();
  try {
    if (now >= next_housekeeping) {
      next_housekeeping = now + housekeeping_pause;
      book.forget_old(std::chrono::system_clock::now());
    }
    if (options.budgets && wrote_any && now >= next_budgets) {
      next_budgets = now + budgets_pause;
      wrote_any = false;
      book.write_budgets(options.budgets(), std::chrono::system_clock::now());
    }
  } catch (const std::exception&) {  // it fails as write() does, which says so
    const std::lock_guard lock(mutex);
    ++counted.failures;
  }
}

void store::state::take_calls() {
  std::deque<std::function<void(database&)>> taken;
  {
    const std::lock_guard lock(mutex);
    taken.swap(calls);
  }
  for (const auto& work : taken) {
    work(book.connection());
    const std::lock_guard lock(mutex);
    ++calls_done;
    flushed.notify_all();
  }
}

void store::state::run() noexcept {
  int tries = 0;
  for (;;) {
    std::uint64_t wanted = 0;
    bool stop_now = false;
    {
      std::unique_lock lock(mutex);
      const auto called = [&] {
        return stopping || !calls.empty() || flushes_wanted != flushes_done + flushes_failed;
      };
      if (waiting.empty()) {
        wake.wait_for(lock, wrote_any ? std::chrono::milliseconds(budgets_pause) : idle_pause,
                      [&] { return called() || !fresh.empty() || any_bare; });
      }
      if (!fresh.empty() || !waiting.empty() || any_bare) wake.wait_for(lock, pause, called);
      wanted = flushes_wanted;
      stop_now = stopping;
    }
    take_calls();
    const bool ok = write();
    {
      const std::lock_guard lock(mutex);
      (ok ? flushes_done : flushes_failed) = wanted - (ok ? flushes_failed : flushes_done);
      flushed.notify_all();
    }
    if (ok) {
      if (stop_now) next_budgets = {};
      housekeeping();
    }
    if (stop_now && (ok || ++tries == last_tries)) return;
  }
}

std::expected<std::unique_ptr<store>, std::string> store::open(store_options options) {
  auto opened = open_to_write(options.database, options.bounds.max_size);
  if (!opened) return std::unexpected(std::move(opened.error()));
  const auto path = options.database;
  try {
    auto inside = std::make_unique<state>(std::move(*opened), std::move(options));
    inside->book.note_start(std::chrono::system_clock::now());
    inside->counted.octets = inside->book.size();
    return std::unique_ptr<store>(new store(std::move(inside)));
  } catch (const sqlite_failure& failed) {
    return std::unexpected(fmt::format("cannot open the review store {}: {}", path, failed.what()));
  }
}

std::expected<void, std::string> store::begin() {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    state_->thread = std::thread([raw = state_.get()] {
      ::pthread_setname_np(::pthread_self(), "review");
      raw->run();
    });
  } catch (const std::system_error& failed) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return std::unexpected(fmt::format("cannot start the thread of the review store: {}", failed.what()));
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

store::store(std::unique_ptr<state> state) noexcept : state_(std::move(state)) {}

store::~store() {
  stop();
}

void store::see(const proxy::event& event) noexcept {
  bool first = false;
  try {
    const std::lock_guard lock(state_->mutex);
    first = state_->fresh.empty();
    state_->fresh.add(event);
    if (log::counts(event)) ++state_->counted.decisions;
  } catch (const std::exception&) {  // out of memory
    if (log::counts(event)) lost(event.verdict, event.reason, 1);
  }
  if (first) state_->wake.notify_one();
}

void store::lost(proxy::outcome verdict, core::reason reason, std::uint64_t count) noexcept {
  state_->bare[static_cast<std::size_t>(verdict)][static_cast<std::size_t>(reason)].fetch_add(
      count, std::memory_order_relaxed);
  state_->any_bare = true;
  state_->wake.notify_one();
}

bool store::flush(int timeout_ms) noexcept {
  std::unique_lock lock(state_->mutex);
  if (!state_->thread.joinable() || state_->stopping) return false;
  const auto mine = ++state_->flushes_wanted;
  const auto failed_before = state_->flushes_failed;
  state_->wake.notify_one();
  return state_->flushed.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] {
    return state_->flushes_done + state_->flushes_failed >= mine;
  }) && state_->flushes_failed == failed_before;
}

bool store::call(std::function<void(database&)> work, int timeout_ms) {
  std::unique_lock lock(state_->mutex);
  if (!state_->thread.joinable() || state_->stopping) return false;
  state_->calls.push_back(std::move(work));
  const auto mine = ++state_->calls_wanted;
  state_->wake.notify_one();
  return state_->flushed.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                                  [&] { return state_->calls_done >= mine; });
}

std::string store::stop() noexcept {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  if (!state_->thread.joinable()) return {};
  state_->thread.join();
  std::uint64_t left = 0;
  for (const auto& [key, one] : state_->waiting.groups()) left += one.count;
  if (left == 0) return {};
  try {
    return fmt::format("{} decisions are not in the review store: {}", left, state_->trouble);
  } catch (const std::exception&) {
    return {};
  }
}

metrics::review_sample store::sample() const {
  const std::lock_guard lock(state_->mutex);
  auto out = state_->counted;
  out.waiting += state_->fresh.size();
  out.detail_lost += state_->waiting_lost + state_->fresh.detail_lost();
  out.trouble = state_->trouble;
  return out;
}

}  // namespace exeat::review
