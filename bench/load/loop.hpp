#pragma once
#include <sys/epoll.h>

#include <array>
#include <cstdint>

namespace exeat::bench {

/// Who waits for a descriptor. It may delete itself in `ready`, but no other.
class waiter {
 public:
  virtual ~waiter() = default;
  virtual void ready(std::uint32_t events) = 0;

 protected:
  waiter() = default;
  waiter(const waiter&) = default;
  waiter& operator=(const waiter&) = default;
};

/// One epoll instance for the one thread there is: clients and origin share it, so that a round trip costs no
/// switch between processes on the core of the generator.
class loop {
 public:
  loop();
  ~loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;

  /// Edge-triggered, both directions: whoever waits goes on until there is nothing left to do.
  void add(int descriptor, waiter& who);
  /// Level-triggered: for streams that would otherwise starve the others.
  void add_level(int descriptor, std::uint32_t events, waiter& who);
  /// Waits for up to `milliseconds` and calls whoever is ready.
  void turn(int milliseconds);

 private:
  int epoll_;
  std::array<epoll_event, 256> events_{};
};

}  // namespace exeat::bench
