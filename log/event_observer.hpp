// Whoever else wants each event that the log thread takes out of the rings.
#pragma once
#include <cstdint>

#include "core/reason.hpp"
#include "proxy/event.hpp"

namespace exeat::log {

/// Whether the metrics count it: the end of what was let through is a second decision only where it was cut.
inline bool counts(const proxy::event& event) noexcept {
  return event.kind == proxy::event::kind::decision || event.verdict == proxy::outcome::deny ||
         event.verdict == proxy::outcome::error;
}

/// Called on the log thread alone, before the event is written; must neither block nor take long.
class event_observer {
 public:
  virtual ~event_observer() = default;
  /// The views of `event` live for the call.
  virtual void see(const proxy::event& event) noexcept = 0;
  /// So many decisions found no room in a ring: nothing else is known of them.
  virtual void lost(proxy::outcome verdict, core::reason reason, std::uint64_t count) noexcept = 0;
};

}  // namespace exeat::log
