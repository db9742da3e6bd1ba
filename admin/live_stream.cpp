#include "admin/live_stream.hpp"

#include <boost/asio/buffer.hpp>
#include <utility>

namespace exeat::admin {

namespace asio = boost::asio;
using proxy::no_throw;

live_streams::live_streams(live_feed& feed, const people& people, asio::io_context& context)
    : feed_(feed), people_(people), context_(context) {
  feed_.set_bell([this] {
    if (rung_.exchange(true)) return;
    asio::post(context_, [this] {
      rung_ = false;
      for (auto* timer : sleeping_) timer->cancel();
    });
  });
}

proxy::task<void> live_streams::run(peer_stream& peer, live_filter filter, std::string session,
                                    std::chrono::milliseconds patience) {
  struct watching {
    explicit watching(live_feed& feed) : feed_(feed) { feed_.begin_watch(); }
    ~watching() { feed_.end_watch(); }
    live_feed& feed_;
  } const counted(feed_);
  proxy::steady_timer timer(context_);
  struct sleeper {
    sleeper(std::set<proxy::steady_timer*>& all, proxy::steady_timer& timer) : all_(all), timer_(timer) {
      all_.insert(&timer_);
    }
    ~sleeper() { all_.erase(&timer_); }
    std::set<proxy::steady_timer*>& all_;
    proxy::steady_timer& timer_;
  };
  std::string text = "retry: 2000\n\n";
  for (;;) {
    auto batch = feed_.read(filter);
    filter.after = batch.next;
    text += batch.text;
    if (!text.empty()) {
      peer.expires_after(patience);
      auto [failed, sent] = co_await asio::async_write(peer, asio::buffer(text), no_throw);
      if (failed) co_return;
      text.clear();
      timer.expires_after(pause);
      co_await timer.async_wait(no_throw);
    } else {
      const sleeper here(sleeping_, timer);
      timer.expires_after(heartbeat);
      auto [woken] = co_await timer.async_wait(no_throw);
      if (!woken) text = ": nothing new\n\n";
    }
    if (!session.empty() && !people_.is_open(session, std::chrono::steady_clock::now())) co_return;
  }
}

}  // namespace exeat::admin
