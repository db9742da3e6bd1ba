#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "load/channel.hpp"
#include "load/loop.hpp"
#include "load/reply.hpp"
#include "load/tally.hpp"

namespace exeat::bench {

/// What a conversation says over and over, and what comes back.
struct topic {
  std::string message;          // through a tunnel these very octets come back
  bool page = false;            // or it is a GET, answered by 200 with
  std::uint64_t body = 0;       // this many octets
  std::function<int()> redial;  // for GET: a new connection where the proxy has closed the last one; -1: none
};

/// One connection that stays, with a round trip at a time on it. The first begins with the first event, which
/// a new socket has at once.
class conversation final : public waiter {
 public:
  conversation(loop& events, int descriptor, topic about, tally& counts);

  void ready(std::uint32_t events) override;

 private:
  enum class heard { nothing, all, stale, broken };  // stale: closed since the last response

  void begin();
  bool go_on();
  heard listen();
  bool connect(int descriptor);
  bool dial_again();

  loop& events_;
  channel connection_;
  topic about_;
  tally& counts_;
  reply reply_;
  std::string_view rest_;
  std::uint64_t since_ = 0;
  std::uint64_t back_ = 0;
  bool begun_ = false;
  bool used_ = false;  // a response has come on this connection
};

}  // namespace exeat::bench
