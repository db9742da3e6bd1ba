#include "proxy/http_exchange.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "proxy/live_tunnel.hpp"
#include "proxy/refusal.hpp"
#include "proxy/worker.hpp"
#include "wire/forward_head.hpp"

namespace exeat::proxy {
namespace {

// No request runs longer than this without a line in the log.
constexpr std::chrono::milliseconds log_soon{1000};

bool announces_body(const wire::request_head& head) noexcept {
  return head.framing == wire::body_framing::chunked ||
         (head.framing == wire::body_framing::length && head.content_length != 0);
}

void reset(tcp_socket& socket) noexcept {
  const linger now{1, 0};
  ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  error_code ignored;
  socket.close(ignored);
}

bool is_safe(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

}  // namespace

task<bool> session::serve_http() {
  auto record = new_record();
  refusal_detail detail{.to = head_.to,
                        .close = !head_.keep_alive || announces_body(head_) || draining_,
                        .head_only = head_.is("HEAD"),
                        .minor = static_cast<int>(head_.minor),
                        .wants_json = accept_wants_json(head_.accept)};
  if (!decide(record)) {
    detail.reason = record.reason;
  } else if (!worker_.settings().via.empty() && wire::via_names(head_.fields, worker_.settings().via)) {
    detail.reason = core::reason::own_listener;
    detail.error = "Via says that the request has been here before";
  } else {
    http_exchange exchange(*this, std::move(record));
    co_return co_await exchange.run();
  }
  buffer_.consume(parser_.size());
  co_await refuse(record, detail);
  co_return !detail.close;
}

http_exchange::http_exchange(session& session, request_record record)
    : session_(session),
      worker_(session.worker_),
      record_(std::move(record)),
      to_(session.head_.to),
      key_{record_.slot, core::to_string(session.head_.to)},
      pool_generation_(worker_.upstreams().generation()),
      log_soon_(worker_.wheel(), &http_exchange::log_soon_passed, this),
      pump_ended_(worker_.context().get_executor()) {
  const auto& head = session_.head_;
  request_ = {.head_request = head.is("HEAD"),
              .websocket = head.upgrade_websocket,
              .keep_alive = head.keep_alive,
              .repeatable = is_safe(head.method) && !announces_body(head) && !head.upgrade_websocket,
              .auth = head.connection_auth,
              .wants_json = accept_wants_json(head.accept),
              .minor = static_cast<int>(head.minor),
              .framing = head.framing,
              .length = head.content_length};
  body_done_ = !announces_body(head);
  wire::write_request_head(head, {.via = worker_.settings().via}, request_text_);
  // The head's views end here: the buffer now belongs to the body and to the requests behind it.
  session_.buffer_.consume(session_.parser_.size());
}

http_exchange::~http_exchange() {
  session_.origin_in_use_ = nullptr;
}

task<bool> http_exchange::run() {
  if (const auto ended = co_await connect()) co_return *ended;
  log_soon_.arm(log_soon);  // not before: the guard may still refuse it
  worker_.counters().http_request(record_.slot);

  auto result = answer::failed;
  std::exception_ptr fault;
  try {
    result = co_await exchange();
    if (result == answer::retry) {
      // The origin closed the idle connection just as we used it (RFC 9112 9.3.1).
      request_.repeatable = false;
      if (const auto ended = co_await connect()) co_return *ended;
      result = co_await exchange();
    }
  } catch (...) {
    fault = std::current_exception();
  }
  co_await stop_pump();  // whatever happened: it works on this frame
  if (fault) std::rethrow_exception(fault);
  log_soon_.disarm();
  session_.deadline_.disarm();
  if (session_.aborted_) {
    log_end(core::reason::draining, "drain_timeout has passed");
    co_return false;
  }
  if (result == answer::tunnel) {
    hand_over_tunnel();
    co_return false;
  }
  if (result != answer::complete) co_return co_await fail();
  log_end(core::reason::allowed, {});
  co_return request_.keep_alive&& body_done_ && !answer_closes_;
}

task<std::optional<bool>> http_exchange::connect() {
  // Of a first try nothing may reach into the second one: its socket goes, and look-up and dial have limits
  // of their own.
  session_.origin_in_use_ = nullptr;
  session_.deadline_.disarm();
  session_.timed_out_ = false;
  from_pool_ = false;
  origin_.reset();
  if (session_.bound_origin_ && session_.bound_key_ == key_ &&
      session_.bound_generation_ == pool_generation_ && is_silent(session_.bound_origin_->socket)) {
    // NTLM and Negotiate: the origin knows this client by its connection, so that stays with the client's.
    // Like a pooled one it does not outlive the policy that checked its address.
    origin_ = std::move(*session_.bound_origin_);
    request_.auth = true;
    from_pool_ = true;
  } else if (request_.repeatable && !request_.auth) {
    origin_ = worker_.upstreams().take(key_);
    from_pool_ = origin_.has_value();
  }
  session_.bound_origin_.reset();
  may_retry_ = from_pool_ && request_.repeatable;
  if (!origin_) {
    auto path = co_await open_path(worker_, record_.policy, to_, record_.timing);
    if (session_.aborted_) {
      log_end(core::reason::draining, "drain_timeout has passed");
      co_return false;
    }
    if (!path) {
      log_soon_.disarm();
      const bool close = !request_.keep_alive || !body_done_ || session_.draining_;
      co_await session_.refuse_path(record_, path.error(), refusal_of(close));
      co_return !close;
    }
    origin_ = std::move(*path);
  }
  worker_.counters().upstream_connection(from_pool_ ? metrics::upstream_source::pool
                                                    : metrics::upstream_source::dialed);
  record_.address = origin_->address;
  session_.origin_in_use_ = &origin_->socket;
  co_return std::nullopt;
}

task<http_exchange::answer> http_exchange::exchange() {
  moving();
  answer_.emplace(worker_.buffers());
  if (!co_await to_origin({request_text_})) {
    if (may_retry_ && !session_.timed_out_) co_return answer::retry;
    // It may have answered before it closed; what it said is worth more than our 502.
    origin_deaf_ = true;
  }
  start_pump();

  const auto& settings = worker_.settings();
  const wire::head_limits limits{settings.limits.head_bytes, settings.limits.head_fields};
  const wire::response_context context{.head_request = request_.head_request,
                                       .websocket_request = request_.websocket};
  wire::response_parser parser;
  wire::response_head head;
  for (unsigned interim = 0;;) {
    const auto octets = answer_->data();
    switch (parser.parse({octets.data(), octets.size()}, limits, context, head)) {
      case wire::parse_status::error:
        download_trouble(core::reason::origin_not_http, parser.error().detail);
        co_return answer::failed;
      case wire::parse_status::need_more:
        if (co_await read_origin() == 0) co_return read_failed();
        continue;
      case wire::parse_status::done:
        break;
    }
    if (!head.is_interim()) co_return co_await relay_answer(head, parser.size());
    if (++interim > wire::max_interim_responses) {
      download_trouble(core::reason::origin_not_http, "too many interim answers");
      co_return answer::failed;
    }
    if (request_.minor >= 1) {
      wire::write_response_head(head, {.client_minor = 1, .via = settings.via}, answer_text_);
      if (!co_await to_client({answer_text_})) co_return answer::failed;
    }
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
  answer_->consume(head_size);  // the head's views end here
  may_retry_ = false;

  if (is_switch) {
    if (!co_await to_client({answer_text_})) co_return answer::failed;
    co_return answer::tunnel;
  }
  if (from == wire::body_framing::none || (from == wire::body_framing::length && length == 0)) {
    answer_started_ = true;
    if (!co_await to_client({answer_text_})) co_return answer::failed;
  } else if (!co_await relay_body(from, to, length)) {
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

task<bool> http_exchange::relay_body(wire::body_framing from, wire::body_framing to, std::uint64_t length) {
  if (from == wire::body_framing::chunked) co_return co_await relay_chunks(to);

  const bool counted = from == wire::body_framing::length;
  const bool chunk = to == wire::body_framing::chunked;
  std::string_view head = answer_text_;
  for (;;) {
    const auto held = answer_->data();
    const auto size =
        counted ? static_cast<std::size_t>(std::min<std::uint64_t>(held.size(), length)) : held.size();
    if (size != 0 || !head.empty()) {
      answer_started_ = true;
      const std::string_view data(held.data(), size);
      const wire::chunk_header line(chunk && size != 0 ? size : 1);
      const bool ok = chunk && size != 0 ? co_await to_client({head, line.view(), data, wire::chunk_end})
                                         : co_await to_client({head, data});
      if (!ok) co_return false;
      head = {};
      answer_->consume(size);
      if (counted && (length -= size) == 0) co_return true;
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

task<bool> http_exchange::relay_chunks(wire::body_framing to) {
  const bool chunk = to == wire::body_framing::chunked;
  wire::chunked_decoder decoder;
  std::string_view head = answer_text_;
  for (;;) {
    const auto held = answer_->data();
    const auto step = decoder.next({held.data(), held.size()});
    switch (step.what) {
      case wire::chunk_step::kind::data: {
        answer_started_ = true;
        const wire::chunk_header line(step.data.size());
        const bool ok = chunk ? co_await to_client({head, line.view(), step.data, wire::chunk_end})
                              : co_await to_client({head, step.data});
        if (!ok) co_return false;
        head = {};
        answer_->consume(step.consumed);
        break;
      }
      case wire::chunk_step::kind::need_more:
        answer_->consume(step.consumed);
        if (!head.empty()) {
          answer_started_ = true;
          if (!co_await to_client({head})) co_return false;
          head = {};
        }
        if (co_await read_origin() == 0) {
          read_failed();
          co_return false;
        }
        break;
      case wire::chunk_step::kind::end: {
        answer_->consume(step.consumed);
        std::string last;
        if (chunk) wire::append_last_chunk(last, decoder.trailers());
        answer_started_ = true;
        co_return co_await to_client({head, last});
      }
      case wire::chunk_step::kind::error:
        download_trouble(answer_started_ ? core::reason::origin_truncated : core::reason::origin_not_http,
                         decoder.detail());
        co_return false;
    }
  }
}

task<std::size_t> http_exchange::read_origin() {
  // Trouble from before this read found nothing to wake.
  if (trouble_ != core::reason::allowed) co_return 0;
  const auto room = answer_->room();
  if (room.empty()) {
    origin_error_ = asio::error::no_buffer_space;
    co_return 0;
  }
  const auto [error, count] =
      co_await origin_->socket.async_read_some(asio::buffer(room.data(), room.size()), no_throw);
  answer_->commit(count);
  origin_error_ = error == asio::error::eof ? error_code{} : error;
  if (count != 0) moving();
  co_return count;
}

namespace {

std::array<asio::const_buffer, 4> buffers_of(const std::array<std::string_view, 4>& parts) noexcept {
  std::array<asio::const_buffer, 4> out;
  for (std::size_t i = 0; i < parts.size(); ++i) out[i] = asio::buffer(parts[i].data(), parts[i].size());
  return out;
}

}  // namespace

task<bool> http_exchange::to_client(parts what) {
  const auto [error, count] = co_await asio::async_write(session_.client_, buffers_of(what), no_throw);
  down_ += count;
  worker_.counters().bytes(record_.slot, 0, count);
  if (!error) {
    moving();
    co_return true;
  }
  if (session_.timed_out_) {
    download_trouble(core::reason::idle_timeout, "the client read nothing in time");
  } else {
    download_trouble(core::reason::client_closed, "the client closed before it had the whole answer");
  }
  answer_started_ = true;  // nobody is there to be told otherwise
  co_return false;
}

task<bool> http_exchange::to_origin(parts what) {
  const auto [error, count] = co_await asio::async_write(origin_->socket, buffers_of(what), no_throw);
  up_ += count;
  worker_.counters().bytes(record_.slot, count, 0);
  if (!error) moving();
  co_return !error;
}

void http_exchange::moving() noexcept {
  const auto& timeouts = worker_.settings().timeouts;
  const bool waiting = (body_done_ || origin_deaf_) && !answer_started_;
  session_.arm(waiting ? timeouts.response : timeouts.idle);
}

void http_exchange::download_trouble(core::reason reason, std::string_view error) noexcept {
  if (trouble_ != core::reason::allowed) return;
  trouble_ = reason;
  trouble_text_ = error;
}

void http_exchange::upload_trouble(core::reason reason, std::string_view error) noexcept {
  download_trouble(reason, error);
  // Wakes the reader of the answer: there will be none to wait for.
  error_code ignored;
  if (origin_) origin_->socket.cancel(ignored);
}

void http_exchange::start_pump() {
  if (body_done_ || origin_deaf_) return;
  pumping_ = true;
  pump_ended_.expires_at(steady_timer::time_point::max());
  asio::co_spawn(worker_.context().get_executor(), pump(), [this](std::exception_ptr failure) {
    if (failure) upload_trouble(core::reason::internal_error, "out of memory");
    pumping_ = false;
    pump_ended_.cancel();
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
  while (pumping_) co_await pump_ended_.async_wait(no_throw);
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
  wire::chunked_decoder decoder;
  for (;;) {
    const auto held = session_.buffer_.data();
    const auto step = decoder.next({held.data(), held.size()});
    switch (step.what) {
      case wire::chunk_step::kind::data: {
        const wire::chunk_header line(step.data.size());
        if (!co_await to_origin({line.view(), step.data, wire::chunk_end})) {
          origin_deaf_ = true;
          co_return false;
        }
        session_.buffer_.consume(step.consumed);
        break;
      }
      case wire::chunk_step::kind::need_more:
        session_.buffer_.consume(step.consumed);
        if (!co_await more_of_body()) co_return false;
        break;
      case wire::chunk_step::kind::end: {
        session_.buffer_.consume(step.consumed);
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

session::refusal_detail http_exchange::refusal_of(bool close) const {
  return {.to = to_,
          .close = close,
          .head_only = request_.head_request,
          .minor = request_.minor,
          .wants_json = request_.wants_json,
          .logged = logged_,
          .bytes_up = up_,
          .bytes_down = down_};
}

task<bool> http_exchange::fail() {
  // Half a request must not look like a whole one to the origin: its connection is reset.
  if (origin_) {
    reset(origin_->socket);
    session_.origin_in_use_ = nullptr;
    origin_.reset();
  }
  if (answer_started_ || trouble_ == core::reason::client_closed) {
    // Nor must half an answer to the client.
    log_end(trouble_, trouble_text_);
    session_.reset_client();
    co_return false;
  }
  const bool close = !request_.keep_alive || !body_done_ || session_.draining_;
  auto detail = refusal_of(close);
  detail.reason = trouble_;
  detail.error = trouble_text_;
  co_await session_.refuse(record_, detail);
  co_return !close;
}

void http_exchange::hand_over_tunnel() {
  record_.scheme = "ws";
  if (!logged_) {
    auto e = record_.to_event(event::kind::decision);
    e.status = status_;
    worker_.record(record_.slot, e);
  }
  session_.hand_over(std::move(record_), std::move(*origin_), {}, answer_->data(), up_, down_);
  origin_.reset();
}

void http_exchange::log_end(core::reason reason, std::string_view error) noexcept {
  auto e = record_.to_event(logged_ ? event::kind::close : event::kind::decision);
  if (reason != core::reason::allowed) {
    e.verdict = outcome::error;
    e.reason = reason;
  }
  e.status = status_;
  e.error = error;
  e.bytes_up = up_;
  e.bytes_down = down_;
  worker_.record(record_.slot, e);
}

void http_exchange::log_soon_passed(void* self) noexcept {
  auto& x = *static_cast<http_exchange*>(self);
  auto e = x.record_.to_event(event::kind::decision);
  e.status = x.status_;
  e.bytes_up = x.up_;
  e.bytes_down = x.down_;
  x.logged_ = true;
  x.worker_.record(x.record_.slot, e);
}

}  // namespace exeat::proxy
