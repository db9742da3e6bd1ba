// A worker's end of one listener: accepts, admits, starts sessions.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "allowlist/policy.hpp"
#include "proxy/asio.hpp"
#include "proxy/listen_socket.hpp"
#include "proxy/loaded_policy.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

class worker;

/// Not thread-safe: lives on its worker's thread. Takes the descriptor.
class listener {
 public:
  listener(worker& worker, const bound_listener& bound, int descriptor);
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;
  ~listener();

  void start();
  /// No more connections; those in the kernel's queue are refused by its reset.
  void stop() noexcept;

  const std::string& phase() const noexcept { return phase_; }
  /// host:port, or the path of a unix socket; for people.
  const std::string& address() const noexcept { return address_; }
  /// The phase in that policy; empty where a reload has lost it, which refuses everything.
  std::optional<allowlist::phase_id> phase_in(const loaded_policy& policy) const noexcept {
    return policy.policy->find_phase(phase_);
  }

 private:
  void wait();
  void accept_ready();
  void admit(int fd, const void* address);
  /// Out of descriptors: answers those who wait, one after the other, by the spare descriptor; then rests for
  /// a moment.
  void shed() noexcept;
  static void rested(void* self) noexcept;

  worker& worker_;
  std::string phase_;
  std::string address_;
  bool unix_ = false;
  bool stopped_ = false;
  descriptor socket_;
  int spare_ = -1;
  deadline rest_;
  std::shared_ptr<listener*> self_;
};

}  // namespace exeat::proxy
