// What may take its time: a thread that runs when nobody else wants the processor.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace exeat::cli {

/// One thread of the scheduling class SCHED_IDLE: whoever wakes up to serve takes the processor from it at
/// once, instead of waiting for the end of its slice. On a machine whose processors are all busy it gets next
/// to nothing: so nothing may depend on it. It begins with the first work. The calls come from one thread.
class background {
 public:
  background();
  background(const background&) = delete;
  background& operator=(const background&) = delete;
  /// What waits is dropped; what is under way is waited for, for two seconds: after that it goes on, with
  /// what it holds itself.
  ~background();

  /// True: `work` has been done, there. False: it was not done after `patience`, or it threw; then nobody
  /// knows whether it ever will be, and what it touches must be its own.
  bool run(std::function<void()> work, std::chrono::milliseconds patience);
  /// As soon as there is time. False: not at all, for one of these waits already, or there is no thread.
  bool later(std::function<void()> work);

 private:
  struct order {
    std::function<void()> work;
    bool done = false;
    bool failed = false;
    bool may_wait = false;  ///< nobody waits for it
  };
  struct state {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::shared_ptr<order>> waiting;
    bool begun = false;
    bool ending = false;
    bool ended = false;
  };
  bool begin();
  static void serve(state& shared);

  std::shared_ptr<state> state_;
};

}  // namespace exeat::cli
