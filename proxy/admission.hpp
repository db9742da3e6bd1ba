// One admitted client connection: counted until it is gone, handed from session to tunnel.
#pragma once
#include <utility>

#include "proxy/job_seats.hpp"
#include "proxy/limits.hpp"

namespace exeat::proxy {

class worker;

/// Movable, releases once; on its worker's thread.
class admission {
 public:
  admission(worker& worker, const client_key& client) noexcept;
  admission(admission&& other) noexcept
      : worker_(std::exchange(other.worker_, nullptr)),
        client_(other.client_),
        seat_(std::move(other.seat_)) {}
  admission& operator=(admission&&) = delete;
  ~admission();

  const client_key& client() const noexcept { return client_; }
  bool is_seated() const noexcept { return static_cast<bool>(seat_); }
  /// Counts it with its job and phase, too, until it is gone.
  void seat(job_seat at) noexcept { seat_ = std::move(at); }

 private:
  worker* worker_;
  client_key client_;
  job_seat seat_;
};

}  // namespace exeat::proxy
