// One admitted client connection: counted until it is gone, handed from session to tunnel.
#pragma once
#include <utility>

#include "proxy/limits.hpp"

namespace exeat::proxy {

class worker;

/// Movable, releases once; on its worker's thread.
class admission {
 public:
  admission(worker& worker, const client_key& client) noexcept;
  admission(admission&& other) noexcept
      : worker_(std::exchange(other.worker_, nullptr)), client_(other.client_) {}
  admission& operator=(admission&&) = delete;
  ~admission();

 private:
  worker* worker_;
  client_key client_;
};

}  // namespace exeat::proxy
