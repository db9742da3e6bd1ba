#pragma once
#include <openssl/ssl.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "load/channel.hpp"
#include "load/loop.hpp"
#include "load/reply.hpp"
#include "load/route.hpp"
#include "load/tally.hpp"

namespace exeat::bench {

/// What a visit is for, worked out once.
struct errand {
  /// One head for each port of the origin, which visits take in turn; empty: nothing is asked, the exchange
  /// comes at once.
  std::vector<std::string> heads;
  bool refusal = false;    // a good answer is 4xx, otherwise 200
  bool to_connect = true;  // a 200 has no body
  std::uint64_t body = 0;  // octets that the body must have, where it is not a tunnel
  std::string payload;     // what is sent through the tunnel and must come back; empty: no exchange
  SSL_CTX* tls = nullptr;  // TLS in the tunnel
};

/// A connection of its own for one operation: dial, ask, read the answer, exchange, close.
class visit final : public waiter {
 public:
  /// `again`: the next one begins when one is over, until `counts.stopping`.
  visit(loop& events, const route& way, const errand& what, tally& counts, bool again)
      : events_{events}, way_{way}, what_{what}, counts_{counts}, again_{again} {}

  /// Starts one whose latency counts from `since`. Only where it is `idle`.
  void begin(std::uint64_t since);
  [[nodiscard]] bool idle() const { return !connection_.open(); }

  void ready(std::uint32_t events) override;

 private:
  enum class stage { ask, answer, send, receive };
  enum class outcome { wait, over, failed };

  bool dial(std::uint64_t since);
  outcome step();
  outcome ask();
  outcome answer();
  outcome send();
  outcome receive();
  outcome fail(const char* why);
  void go();

  loop& events_;
  const route& way_;
  const errand& what_;
  tally& counts_;
  bool again_;
  channel connection_;
  reply reply_;
  stage stage_ = stage::ask;
  std::string_view rest_;
  std::uint64_t since_ = 0;
  std::size_t port_ = 0;
  std::size_t back_ = 0;  // octets of the payload that have come back
};

}  // namespace exeat::bench
