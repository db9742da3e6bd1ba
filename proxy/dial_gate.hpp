// How many connections to one destination a worker opens at a time for one phase.
#pragma once
#include <boost/intrusive/list.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/destination.hpp"
#include "metrics/phase_slots.hpp"
#include "proxy/asio.hpp"

namespace exeat::proxy {

/// A flood of requests for a destination that does not answer holds that many dials, and not one more: the
/// others wait in front of the gate, in their order, for a part of the time that a dial may take anyway. One
/// that answers lets hundreds pass in a second, and no honest burst is refused. Not thread-safe.
class dial_gate {
  struct state;
  using key = std::uint64_t;

 public:
  /// Zero for `most` = no limit.
  dial_gate(asio::io_context& context, std::uint32_t most, std::uint64_t seed);

  /// One dial; over when it is destroyed.
  class pass {
   public:
    pass(std::shared_ptr<state> gate, key at) noexcept : gate_(std::move(gate)), at_(at) {}
    pass(pass&&) noexcept = default;
    pass& operator=(pass&&) = delete;
    ~pass();

   private:
    std::shared_ptr<state> gate_;
    key at_;
  };
  /// Empty: not within `patience`, or the caller was cancelled (terminal).
  task<std::optional<pass>> enter(core::destination to, metrics::phase_slot phase,
                                  std::chrono::milliseconds patience);

 private:
  struct waiter
      : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    explicit waiter(asio::io_context& context) : wake(context.get_executor()) {}
    steady_timer wake;
    bool let_in = false;
  };
  using queue = boost::intrusive::list<waiter, boost::intrusive::constant_time_size<false>>;
  struct state {
    void leave(key at) noexcept;
    boost::unordered_flat_map<key, std::uint32_t> inside;
    std::unordered_map<key, queue> waiting;  ///< only where somebody waits
  };
  key key_of(const core::destination& to, metrics::phase_slot phase) const noexcept;

  asio::io_context& context_;
  std::uint32_t most_;
  std::uint64_t seed_;
  std::shared_ptr<state> state_;
};

}  // namespace exeat::proxy
