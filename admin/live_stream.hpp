// Those who watch /v1/live: each a connection that is written to as events come.
#pragma once
#include <atomic>
#include <boost/beast/core/basic_stream.hpp>
#include <chrono>
#include <cstddef>
#include <set>
#include <string>

#include "admin/live_feed.hpp"
#include "admin/people.hpp"
#include "proxy/asio.hpp"

namespace exeat::admin {

using peer_stream = boost::beast::basic_stream<boost::asio::generic::stream_protocol, proxy::executor>;

/// The admin thread's, the bell of the feed apart.
class live_streams {
 public:
  /// Between two writes to one watcher, so that a flood comes in few pieces.
  static constexpr std::chrono::milliseconds pause{100};
  /// A comment where nothing happens, which finds out who has gone.
  static constexpr std::chrono::seconds heartbeat{15};

  live_streams(live_feed& feed, const people& people, proxy::asio::io_context& context);
  live_streams(const live_streams&) = delete;
  live_streams& operator=(const live_streams&) = delete;

  /// Until the peer goes, takes nothing for `patience`, or the session (where there is one) ends. The head of
  /// the answer has been written.
  proxy::task<void> run(peer_stream& peer, live_filter filter, std::string session,
                        std::chrono::milliseconds patience);

 private:
  live_feed& feed_;
  const people& people_;
  proxy::asio::io_context& context_;
  std::set<proxy::steady_timer*> sleeping_;
  std::atomic<bool> rung_{false};
};

}  // namespace exeat::admin
