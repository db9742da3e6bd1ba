// The body of a plain HTTP request on its way up, on a coroutine of its own.
#include <algorithm>
#include <exception>
#include <utility>

#include "proxy/http_exchange.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {

void http_exchange::start_pump() {
  if (body_done_ || origin_deaf_) return;
  pumping_ = true;
  pump_ended_.emplace(worker_.context().get_executor(), steady_timer::time_point::max());
  asio::co_spawn(worker_.context().get_executor(), pump(), [this](std::exception_ptr failure) {
    if (failure) upload_trouble(core::reason::internal_error, "out of memory");
    pumping_ = false;
    pump_ended_->cancel();
  });
}

task<void> http_exchange::stop_pump() {
  if (!pumping_) co_return;
  origin_deaf_ = true;
  error_code ignored;
  session_.client_.cancel(ignored);
  // The rest of the body will not come, so this request must not look whole; and a write begun later fails at
  // once.
  if (origin_) reset(origin_->socket);
  while (pumping_) co_await pump_ended_->async_wait(no_throw);
}

task<void> http_exchange::pump() {
  const bool whole =
      request_.framing == wire::body_framing::length ? co_await pump_length() : co_await pump_chunked();
  if (whole) {
    body_done_ = true;
    moving();
  }
}

task<bool> http_exchange::pump_length() {
  for (auto left = request_.length; left != 0;) {
    if (!co_await more_of_body()) co_return false;
    const auto held = session_.buffer_.data();
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(held.size(), left));
    if (!co_await to_origin({std::string_view(held.data(), size)})) {
      origin_deaf_ = true;
      co_return false;
    }
    session_.buffer_.consume(size);
    left -= size;
  }
  co_return true;
}

task<bool> http_exchange::pump_chunked() {
  wire::chunked_decoder decoder(request_.nominated);
  for (;;) {
    const auto got = decoder.gather(session_.buffer_.data());
    if (!got.data.empty()) {
      const wire::chunk_header line(got.data.size());
      if (!co_await to_origin({line.view(), got.data, wire::chunk_end})) {
        origin_deaf_ = true;
        co_return false;
      }
    }
    session_.buffer_.consume(got.consumed);
    switch (got.then) {
      case wire::chunk_step::kind::data:
      case wire::chunk_step::kind::need_more:
        if (!co_await more_of_body()) co_return false;
        break;
      case wire::chunk_step::kind::end: {
        std::string last;
        wire::append_last_chunk(last, decoder.trailers());
        if (co_await to_origin({last})) co_return true;
        origin_deaf_ = true;
        co_return false;
      }
      case wire::chunk_step::kind::error:
        upload_trouble(core::reason::bad_chunk, decoder.detail());
        co_return false;
    }
  }
}

task<bool> http_exchange::more_of_body() {
  if (!session_.buffer_.empty()) co_return true;
  if (origin_deaf_) co_return false;
  const auto [error, count] = co_await session_.read_some();
  if (count != 0) {
    moving();
    co_return true;
  }
  if (!session_.timed_out_ && !origin_deaf_) {
    upload_trouble(core::reason::client_closed, "the client closed within the request body");
  }
  co_return false;
}

}  // namespace exeat::proxy
