#include "cli/background.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

namespace exeat::cli {
namespace {

constexpr std::chrono::seconds end_patience{2};

}  // namespace

background::background() : state_(std::make_shared<state>()) {}

background::~background() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->waiting.clear();
  state_->changed.notify_all();
  state_->changed.wait_for(lock, end_patience, [&] { return !state_->begun || state_->ended; });
}

bool background::begin() {
  if (state_->begun) return true;
  // Signals are for the main thread.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread([shared = state_] {
      ::pthread_setname_np(::pthread_self(), "background");
      const sched_param none{};
      // Where it may not, it does what it has to do all the same.
      static_cast<void>(::sched_setscheduler(0, SCHED_IDLE, &none));
      serve(*shared);
    }).detach();
    state_->begun = true;
  } catch (const std::system_error&) {
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return state_->begun;
}

void background::serve(state& shared) {
  std::unique_lock lock(shared.mutex);
  for (;;) {
    shared.changed.wait(lock, [&] { return shared.ending || !shared.waiting.empty(); });
    if (shared.ending) break;
    const auto order = std::move(shared.waiting.front());
    shared.waiting.pop_front();
    lock.unlock();
    bool failed = false;
    try {
      order->work();
    } catch (...) {  // whoever waits does it himself, and sees what it is
      failed = true;
    }
    order->work = nullptr;
    lock.lock();
    order->failed = failed;
    order->done = true;
    shared.changed.notify_all();
  }
  shared.ended = true;
  shared.changed.notify_all();
}

bool background::run(std::function<void()> work, std::chrono::milliseconds patience) {
  std::unique_lock lock(state_->mutex);
  if (!begin()) return false;
  const auto mine = std::make_shared<order>(order{.work = std::move(work)});
  state_->waiting.push_back(mine);
  state_->changed.notify_all();
  if (state_->changed.wait_for(lock, patience, [&] { return mine->done; })) return !mine->failed;
  std::erase(state_->waiting, mine);
  return false;
}

bool background::later(std::function<void()> work) {
  const std::scoped_lock lock(state_->mutex);
  if (std::ranges::any_of(state_->waiting, &order::may_wait) || !begin()) return false;
  state_->waiting.push_back(std::make_shared<order>(order{.work = std::move(work), .may_wait = true}));
  state_->changed.notify_all();
  return true;
}

}  // namespace exeat::cli
