// getaddrinfo without blocking a worker: a few threads for all workers (`resolver: system`).
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/host_name.hpp"
#include "proxy/dns_answer.hpp"

namespace exeat::proxy {

/// Threads that call getaddrinfo, with the search domains of resolv.conf and $HOSTALIASES switched off, and
/// re-reading resolv.conf when it changes. Thread-safe. nsswitch.conf alone says where names come from.
class system_lookup_pool {
 public:
  /// `queued` bounds the look-ups that wait for a thread.
  explicit system_lookup_pool(unsigned threads = 4, std::size_t queued = 256);
  /// Drops what is queued. Threads that are held up in getaddrinfo end by themselves.
  ~system_lookup_pool();
  system_lookup_pool(const system_lookup_pool&) = delete;
  system_lookup_pool& operator=(const system_lookup_pool&) = delete;

  /// Calls `done` on a thread of the pool, once, or drops it when the pool ends first. False where the queue
  /// is full; `done` is not called then.
  bool submit(const core::host_name& name, std::function<void(const dns_answer&)> done);

 private:
  struct shared;
  std::shared_ptr<shared> shared_;
};

/// The blocking look-up that a thread of the pool does.
dns_answer system_lookup(const core::host_name& name);

}  // namespace exeat::proxy
