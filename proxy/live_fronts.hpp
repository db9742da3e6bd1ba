// What a worker holds of each client connection that stands before its session: one that still says whom it
// speaks for, or that is TLS.
#pragma once
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "core/reason.hpp"
#include "proxy/memory_budget.hpp"

namespace exeat::proxy {

/// Why a connection got no session.
struct front_failure {
  core::reason reason = core::reason::internal_error;
  std::string text;     ///< for the operator's log; bounded, printable
  bool silent = false;  ///< the client closed without an octet: nobody waits for an answer
};

class live_front
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// Ends now, with resets to both sides; a callback that has not been called never will be.
  virtual void abort() noexcept = 0;
  /// The process is stopping: abort() where the client has not said anything yet.
  virtual void drain() noexcept = 0;

 protected:
  ~live_front() = default;
};

/// Lives on its worker's thread. May be destroyed before the fronts in it.
class live_fronts {
 public:
  /// No memory: nobody counts what fronts hold. `stall`: how long a client may take nothing of what waits for
  /// it; 0: for ever.
  explicit live_fronts(std::shared_ptr<memory_lease> memory = nullptr, std::chrono::milliseconds stall = {}) {
    shared_->memory = std::move(memory);
    shared_->stall = stall;
  }

  static constexpr std::size_t scratch_size = std::size_t{64} * 1024;
  /// Of those whose session has ended, and that only see that the client gets the rest: no limit on
  /// connections counts them any more. The oldest makes room.
  static constexpr std::size_t most_leaving = 512;

  void abort_all() noexcept {
    for (auto* which : {&shared_->all, &shared_->leaving}) {
      while (!which->empty()) {
        auto& front = which->front();
        front.unlink();
        front.abort();
      }
    }
  }
  void drain() noexcept {
    for (auto it = shared_->all.begin(); it != shared_->all.end();) (it++)->drain();
  }
  /// Nobody is left: a drained worker that waits for this cuts off no client's last octets.
  bool empty() const noexcept { return shared_->all.empty() && shared_->leaving.empty(); }

  using list = boost::intrusive::list<live_front, boost::intrusive::constant_time_size<false>>;
  struct shared {
    list all;
    list leaving;  ///< oldest first
    std::size_t leaving_count = 0;
    std::shared_ptr<memory_lease> memory;
    std::chrono::milliseconds stall{0};
    /// What one step of one front reads into.
    std::unique_ptr<char[]> scratch = std::make_unique_for_overwrite<char[]>(scratch_size);
    ~shared() {
      all.clear();
      leaving.clear();
    }
  };
  /// For fronts.
  const std::shared_ptr<shared>& state() const noexcept { return shared_; }

 private:
  std::shared_ptr<shared> shared_ = std::make_shared<shared>();
};

}  // namespace exeat::proxy
