// getaddrinfo without blocking a worker: a few threads for each phase (`resolver: system`).
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/host_name.hpp"
#include "proxy/dns_answer.hpp"

namespace exeat::proxy {

struct system_lookup_limits {
  unsigned threads = 4;      ///< of one asker
  std::size_t queued = 256;  ///< look-ups of one asker that wait for a thread
  /// How long whoever asks waits (`timeouts.dns`). What could not begin by then is dropped.
  std::chrono::milliseconds patience{5000};
};

/// Threads that call getaddrinfo, with the search domains of resolv.conf and $HOSTALIASES switched off, and
/// re-reading resolv.conf when it changes. Thread-safe. nsswitch.conf alone says where names come from.
///
/// getaddrinfo cannot be interrupted: a name whose servers do not answer holds a thread for as long as
/// resolv.conf has it wait. So each asker (a phase) has threads of its own, begun when they are needed, and
/// no name of one asker holds up another's.
class system_lookup_pool {
 public:
  enum class submitted : std::uint8_t {
    queued,
    full,  ///< too many wait already
    held,  ///< every thread of this asker has been held for longer than `patience`
  };

  /// What a thread does for one name; system_lookup but in tests.
  using look_up = std::function<dns_answer(const core::host_name& name, std::chrono::milliseconds patience)>;

  explicit system_lookup_pool(system_lookup_limits limits = {});
  system_lookup_pool(system_lookup_limits limits, look_up how);
  /// Drops what is queued. Threads that are held up in getaddrinfo end by themselves.
  ~system_lookup_pool();
  system_lookup_pool(const system_lookup_pool&) = delete;
  system_lookup_pool& operator=(const system_lookup_pool&) = delete;

  /// Calls `done` on a thread of the pool, once, or drops it: when the pool ends first, when no thread came
  /// free within `patience`, and where anything but `queued` is returned. There are as many askers as there
  /// are numbers. Throws std::system_error where not even the asker's first thread can be begun.
  submitted submit(std::uint32_t asker, const core::host_name& name,
                   std::function<void(const dns_answer&)> done);

 private:
  struct shared;
  std::shared_ptr<shared> shared_;
};

/// The blocking look-up that a thread of the pool does. Where it asks name servers by itself, it does not try
/// for longer than `patience` if fewer or shorter tries than those of resolv.conf can help it.
dns_answer system_lookup(const core::host_name& name, std::chrono::milliseconds patience);

}  // namespace exeat::proxy
