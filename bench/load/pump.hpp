#pragma once
#include <cstdint>

#include "load/loop.hpp"

namespace exeat::bench {

/// One end of a bulk transfer: sends zeros for as long as the socket takes them, or throws away what comes
/// (without copying it out of the kernel, so that the proxy stays the slowest part), or both.
/// Level-triggered, a bounded piece a turn. Owns the descriptor, and deletes itself when the connection is
/// gone.
class pump final : public waiter {
 public:
  pump(loop& events, int descriptor, bool sends, bool receives, std::uint64_t& received);
  ~pump() override;
  pump(const pump&) = delete;
  pump& operator=(const pump&) = delete;

  void ready(std::uint32_t events) override;

 private:
  int descriptor_;
  std::uint64_t& received_;
};

}  // namespace exeat::bench
