// The origin's answer to a plain HTTP request: read strictly, written anew, streamed.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proxy/http_exchange.hpp"
#include "proxy/pipe_pool.hpp"
#include "proxy/worker.hpp"
#include "wire/forward_head.hpp"

namespace exeat::proxy {
namespace {

// Read at first: head and small bodies, in one go. What a body has beyond it goes on by splice where that is
// as much again; copying less is cheaper.
constexpr std::size_t small = 16 * 1024;

// Room for 128 fields is too much for the frame of each exchange. No head is kept across a wait.
wire::response_head& scratch_head() noexcept {
  static thread_local wire::response_head head;
  return head;
}

// Given back whatever happens.
class borrowed_pipe {
 public:
  explicit borrowed_pipe(std::shared_ptr<pipe_pool> pool) noexcept
      : pool_(std::move(pool)), pipe_(pool_->borrow()) {}
  borrowed_pipe(const borrowed_pipe&) = delete;
  borrowed_pipe& operator=(const borrowed_pipe&) = delete;
  ~borrowed_pipe() {
    if (pipe_.valid()) pool_->give_back(pipe_);
  }
  pipe_pair* operator->() noexcept { return &pipe_; }

 private:
  std::shared_ptr<pipe_pool> pool_;
  pipe_pair pipe_;
};

}  // namespace

task<http_exchange::answer> http_exchange::exchange() {
  uploading_ = false;
  moving();
  answer_->clear();
  more_ = false;
  parts request{head_text()};
  if (!send_at_once(way::up, request) && !co_await to_origin(request)) {
    if (trouble_ != core::reason::allowed) co_return answer::failed;
    if (may_retry_ && !session_.timed_out_) co_return answer::retry;
    // It may have answered before it closed; what it said is worth more than our 502.
    origin_deaf_ = true;
  }
  start_pump();
  co_await others_first();

  const auto& settings = worker_.settings();
  const wire::head_limits limits{settings.limits.head_bytes, settings.limits.head_fields};
  const wire::response_context context{.head_request = request_.head_request,
                                       .websocket_request = request_.websocket};
  wire::response_parser parser;
  auto& head = scratch_head();
  std::size_t interim_octets = 0;
  for (unsigned interim = 0;;) {
    const auto octets = answer_->data();
    switch (parser.parse({octets.data(), octets.size()}, limits, context, head)) {
      case wire::parse_status::error:
        download_trouble(core::reason::origin_not_http, parser.error().detail);
        co_return answer::failed;
      case wire::parse_status::need_more:
        if (co_await read_origin(small) == 0) co_return read_failed();
        continue;
      case wire::parse_status::done:
        break;
    }
    if (!charge_answer(head, parser.size())) co_return answer::failed;
    if (!head.is_interim()) co_return co_await relay_answer(head, parser.size());
    interim_octets += parser.size();
    if (++interim > wire::max_interim_responses || interim_octets > limits.bytes) {
      download_trouble(core::reason::origin_not_http, "too many interim answers, or too large ones");
      co_return answer::failed;
    }
    if (request_.minor >= 1) {
      wire::write_response_head(head, {.client_minor = 1, .via = settings.via}, answer_text_);
      if (!co_await to_client({answer_text_}, false)) co_return answer::failed;
    }
    may_retry_ = false;  // the request has been seen
    answer_->consume(parser.size());
    parser.reset();
  }
}

http_exchange::answer http_exchange::read_failed() noexcept {
  if (trouble_ != core::reason::allowed) return answer::failed;
  if (session_.timed_out_) {
    if (!body_done_ && !origin_deaf_ && !answer_started_) {
      download_trouble(core::reason::body_timeout, "the request body stood still");
    } else {
      download_trouble(core::reason::origin_timeout, "the origin sent nothing in time");
    }
  } else if (may_retry_ && answer_->empty() && !answer_started_) {
    return answer::retry;
  } else if (answer_started_) {
    download_trouble(core::reason::origin_truncated, "the origin closed within the body");
  } else {
    download_trouble(core::reason::origin_closed, answer_->empty() ? "the origin closed without an answer"
                                                                   : "the origin closed within the head");
  }
  return answer::failed;
}

task<http_exchange::answer> http_exchange::relay_answer(const wire::response_head& head,
                                                        std::size_t head_size) {
  if (head.is_proxy_challenge() && origin_->forwards) {
    // Its own challenge; nor does an origin's reach the client, if that is whose it is.
    download_trouble(core::reason::upstream_credential,
                     "the upstream proxy answered 407: see its credential_file");
    co_return answer::failed;
  }
  if (head.is_proxy_challenge()) {
    download_trouble(core::reason::origin_not_http, "the origin answered 407, which only a proxy may");
    co_return answer::failed;
  }
  const auto minor = static_cast<unsigned>(request_.minor);
  const auto to = wire::forwarded_framing(head, minor);
  answer_closes_ = !head.is_switch() && (!request_.keep_alive || !body_done_ || session_.draining_ ||
                                         to == wire::body_framing::until_close);
  wire::write_response_head(
      head, {.client_minor = minor, .via = worker_.settings().via, .close = answer_closes_}, answer_text_);
  status_ = head.status;
  const auto from = head.framing;
  const auto length = head.content_length;
  const bool reusable = head.keep_alive && from != wire::body_framing::until_close;
  const bool auth = head.connection_auth || request_.auth;
  const bool is_switch = head.is_switch();
  auto nominated = from == wire::body_framing::chunked ? wire::nominated_names(head.fields) : std::string();
  answer_->consume(head_size);  // the head's views end here
  may_retry_ = false;
  if (const auto size = length + answer_text_.size();
      from == wire::body_framing::length && record_.limits != nullptr && record_.limits->enforced() &&
      record_.limits->is_short(way::down, size)) {
    // It cannot become whole: better none than a part.
    limit_trouble(way::down, size);
    co_return answer::failed;
  }

  if (is_switch) {
    if (!co_await to_client({answer_text_})) co_return answer::failed;
    co_return answer::tunnel;
  }
  const bool counted = from == wire::body_framing::length;
  if (from == wire::body_framing::none || (counted && length <= answer_->size())) {
    const auto size = counted ? static_cast<std::size_t>(length) : 0;
    parts whole{answer_text_, {answer_->data().data(), size}};
    if (!send_at_once(way::down, whole) && !co_await to_client(whole)) co_return answer::failed;
    answer_->consume(size);
  } else if (!co_await relay_body(from, to, length, std::move(nominated))) {
    co_return answer::failed;
  }
  // Surplus octets would be taken for the next answer (RFC 9112 9.2, "response splitting"): such a connection
  // ends.
  if (reusable && body_done_ && !origin_deaf_ && !pumping_ && answer_->empty() && !session_.timed_out_) {
    session_.origin_in_use_ = nullptr;
    if (auth) {
      session_.bound_origin_ = std::move(*origin_);
      session_.bound_key_ = key_;
      session_.bound_generation_ = pool_generation_;
    } else {
      worker_.upstreams().put(key_, std::move(*origin_), pool_generation_);
    }
    origin_.reset();
  }
  co_return answer::complete;
}

task<bool> http_exchange::relay_body(wire::body_framing from, wire::body_framing to, std::uint64_t length,
                                     std::string nominated) {
  if (from == wire::body_framing::chunked) co_return co_await relay_chunks(to, std::move(nominated));

  const bool counted = from == wire::body_framing::length;
  const bool chunk = to == wire::body_framing::chunked;
  std::string_view head = answer_text_;
  for (;;) {
    const auto held = answer_->data();
    const auto size =
        counted ? static_cast<std::size_t>(std::min<std::uint64_t>(held.size(), length)) : held.size();
    if (size != 0 || !head.empty()) {
      const std::string_view data(held.data(), size);
      const wire::chunk_header line(chunk && size != 0 ? size : 1);
      auto what = chunk && size != 0 ? parts{head, line.view(), data, wire::chunk_end} : parts{head, data};
      if (!send_at_once(way::down, what) && !co_await to_client(what)) co_return false;
      head = {};
      answer_->consume(size);
      if (counted && (length -= size) == 0) co_return true;
    }
    // What is limited is claimed before it is read, and that is for the copy to do.
    if (counted && length >= small && record_.limits == nullptr) {
      if (!co_await splice_body(length)) co_return false;
      if (length == 0) co_return true;
    }
    if (co_await read_origin() != 0) continue;
    // An orderly end of the connection is the end of a body to the close; anything else is a truncation.
    if (counted || origin_error_ || session_.timed_out_ || trouble_ != core::reason::allowed) {
      read_failed();
      co_return false;
    }
    if (!chunk) co_return true;
    answer_text_.clear();
    wire::append_last_chunk(answer_text_);
    co_return co_await to_client({answer_text_});
  }
}

task<bool> http_exchange::splice_body(std::uint64_t& length) {
  borrowed_pipe pipe(worker_.relay().pipes());
  if (!pipe->valid()) co_return true;
  while (length != 0) {
    if (cut_ || trouble_ != core::reason::allowed || session_.timed_out_) co_return false;
    const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(length, pipe->capacity));
    const auto got = ::splice(origin_->socket.native_handle(), nullptr, pipe->write_end, nullptr, most,
                              SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (got <= 0) {
      more_ = false;
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) co_return true;
      origin_error_ = got < 0 ? error_code(errno, asio::error::get_system_category()) : error_code{};
      read_failed();
      co_return false;
    }
    pipe->filled += static_cast<std::uint32_t>(got);
    length -= static_cast<std::uint64_t>(got);
    moving();
    while (pipe->filled != 0) {
      const auto sent = ::splice(pipe->read_end, nullptr, session_.client_.native_handle(), nullptr,
                                 pipe->filled, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (sent > 0) {
        pipe->filled -= static_cast<std::uint32_t>(sent);
        count_moved(way::down, static_cast<std::uint64_t>(sent));
        moving();
        continue;
      }
      error_code error;
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
        at_once_ = 0;
        std::tie(error) = co_await session_.client_.async_wait(stream_socket::wait_write, no_throw);
        if (cut_) co_return false;
      } else {
        error = asio::error::broken_pipe;
      }
      if (!error) continue;
      client_failed();
      co_return false;
    }
    if (!may_go_on()) co_return true;  // the next read takes its turn
  }
  co_return true;
}

task<bool> http_exchange::relay_chunks(wire::body_framing to, std::string nominated) {
  const bool chunk = to == wire::body_framing::chunked;
  wire::chunked_decoder decoder(std::move(nominated));
  std::string_view head = answer_text_;
  for (;;) {
    const auto got = decoder.gather(answer_->data());
    if (!got.data.empty()) {
      const wire::chunk_header line(got.data.size());
      auto what = chunk ? parts{head, line.view(), got.data, wire::chunk_end} : parts{head, got.data};
      if (!send_at_once(way::down, what) && !co_await to_client(what)) co_return false;
      head = {};
    }
    answer_->consume(got.consumed);
    switch (got.then) {
      case wire::chunk_step::kind::data:
      case wire::chunk_step::kind::need_more:
        if (!head.empty()) {
          if (!co_await to_client({head})) co_return false;
          head = {};
        }
        if (co_await read_origin() == 0) {
          read_failed();
          co_return false;
        }
        break;
      case wire::chunk_step::kind::end: {
        std::string last;
        if (chunk) wire::append_last_chunk(last, decoder.trailers());
        co_return co_await to_client({head, last});
      }
      case wire::chunk_step::kind::error:
        download_trouble(answer_started_ ? core::reason::origin_truncated : core::reason::origin_not_http,
                         decoder.detail());
        co_return false;
    }
  }
}

}  // namespace exeat::proxy
