#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "load/loop.hpp"

namespace exeat::bench {

enum class service {
  echo,    // what comes goes back, through TLS where there is a context
  http,    // GET /N is answered with a body of N octets
  stream,  // sends for ever, or takes what comes, or both
};

/// What the origin itself has seen: the check on what clients believe to have done.
struct served {
  std::uint64_t connections = 0;
  std::uint64_t live = 0;
  std::uint64_t requests = 0;  // http
  std::uint64_t octets = 0;    // received
};

struct offer {
  service what = service::echo;
  SSL_CTX* tls = nullptr;
  bool sends = false;     // stream
  bool receives = false;  // stream
};

/// Listens on several ports of 127.0.0.1, lest the kernel's search for a free local port be what is measured.
class origin {
 public:
  /// Ports `first` to `last`; 0 to 0: eight that the kernel chooses. Throws std::system_error where one is
  /// taken.
  origin(loop& events, const offer& what, std::uint16_t first, std::uint16_t last);
  ~origin();
  origin(const origin&) = delete;
  origin& operator=(const origin&) = delete;

  [[nodiscard]] const std::vector<std::uint16_t>& ports() const { return ports_; }
  [[nodiscard]] const served& seen() const { return *seen_; }

 private:
  std::unique_ptr<served> seen_ = std::make_unique<served>();
  std::vector<std::uint16_t> ports_;
  std::vector<std::unique_ptr<waiter>> listeners_;
};

}  // namespace exeat::bench
