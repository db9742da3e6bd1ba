#include "proxy/http_exchange.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "allowlist/address_guard.hpp"
#include "proxy/abrupt_end.hpp"
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

// What a chunked body may bring behind itself: a line that is being put together, and those that are kept.
std::size_t trailers_of(wire::body_framing framing) noexcept {
  return framing == wire::body_framing::chunked ? 2 * wire::chunked_decoder::max_trailer_bytes : 0;
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
  std::string trouble;
  if (!decide(record, trouble)) {
    detail.reason = record.reason;
    detail.error = trouble;
    // Each attempt at a credential costs a connection. One that belongs to a job that is over gets nowhere
    // any more: the client's next one may.
    detail.close = detail.close || core::row_of(record.reason).status == 407 ||
                   core::row_of(record.reason).kind == core::reason_kind::limit ||
                   record.reason == core::reason::identity_changed;
  } else if (head_.max_forwards == 0U) {
    buffer_.consume(parser_.size());
    co_return co_await answer_as_last(record, detail.close);
  } else {
    http_exchange exchange(*this, std::move(record));
    co_return co_await exchange.run();
  }
  buffer_.consume(parser_.size());
  co_await refuse(record, detail);
  co_return !detail.close;
}

task<bool> session::answer_as_last(const request_record& record, bool close) {
  auto event = record.to_event(event::kind::decision);
  event.status = 204;
  worker_.record(record.slot, event);
  std::string answer = "HTTP/1.1 204 No Content\r\nExeat-Decision: ";
  answer.append(record.id.view()).append(close ? "\r\nConnection: close\r\n\r\n" : "\r\n\r\n");
  if (co_await write_all(answer)) co_return false;
  co_return !close;
}

http_exchange::http_exchange(session& session, request_record record)
    : session_(session),
      worker_(session.worker_),
      record_(std::move(record)),
      to_(session.head_.to),
      key_{record_.slot, record_.job ? record_.job->id() : std::string(), core::to_string(session.head_.to),
           worker_.process().hops.toward(session.head_.to.host)},
      pool_generation_(worker_.upstreams().generation()),
      texts_(worker_.memory()),
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
              .length = head.content_length,
              .nominated = head.framing == wire::body_framing::chunked ? wire::nominated_names(head.fields)
                                                                       : std::string()};
  body_done_ = !announces_body(head);
  wire::write_request_head(head, {.via = worker_.settings().via}, request_text_);
  if (const auto* hop = key_.via; hop != nullptr && !hop->tunnels_http && !request_.websocket) {
    // The address that goes here is known once it has been checked.
    constexpr std::string_view scheme = "http://";
    constexpr std::string_view unknown = "0.0.0.0";
    const auto keys = hop->keys();
    wire::write_request_head(
        head,
        {.via = worker_.settings().via, .absolute_authority = unknown, .extra_lines = keys->authorization},
        forwarded_text_);
    authority_at_ = head.method.size() + 1 + scheme.size();
    authority_size_ = unknown.size();
  }
  // The head's views end here: the buffer now belongs to the body and to the requests behind it.
  session_.buffer_.consume(session_.parser_.size());
  session_.exchange_ = this;
}

void http_exchange::reset(stream_socket& socket) noexcept {
  end_abruptly_on_close(socket.native_handle());
  error_code ignored;
  socket.close(ignored);
}

http_exchange::~http_exchange() {
  session_.origin_in_use_ = nullptr;
  session_.exchange_ = nullptr;
}

bool http_exchange::take_buffers() {
  const auto text = request_text_.size() + forwarded_text_.size() + trailers_of(request_.framing);
  if (!worker_.buffers().has_one() || !texts_.grow(text)) return false;
  answer_.emplace(worker_.buffers());
  return true;
}

bool http_exchange::charge_answer(const wire::response_head& head, std::size_t size) noexcept {
  if (texts_.grow(size + trailers_of(head.framing))) return true;
  download_trouble(core::reason::out_of_buffers, "no memory for the head of the answer");
  return false;
}

task<bool> http_exchange::run() {
  if (!take_buffers()) {
    const bool close = !request_.keep_alive || !body_done_ || session_.draining_;
    auto detail = refusal_of(close);
    detail.reason = core::reason::out_of_buffers;
    co_await session_.refuse(record_, detail);
    co_return !close;
  }
  const auto octets_up = std::max(request_text_.size(), forwarded_text_.size()) + request_.length;
  if (!session_.within_terms(record_, to_, octets_up, limit_text_)) {
    const bool close = !request_.keep_alive || !body_done_ || session_.draining_;
    auto detail = refusal_of(close);
    detail.reason = record_.reason;
    detail.error = limit_text_;
    co_await session_.refuse(record_, detail);
    co_return !close;
  }
  if (const auto ended = co_await connect()) co_return *ended;
  exchanging_ = true;
  // A reload or a seal may have come while the origin was looked up and dialled.
  tighten();
  seal_unsent();
  log_soon_.arm(log_soon);  // not before: the guard may still refuse it
  worker_.counters().http_request(record_.slot);

  auto result = answer::failed;
  std::exception_ptr fault;
  try {
    result = co_await exchange();
    if (result == answer::retry) {
      // The origin closed the idle connection just as we used it (RFC 9112 9.3.1).
      request_.repeatable = false;
      exchanging_ = false;
      if (const auto ended = co_await connect()) co_return *ended;
      exchanging_ = true;
      tighten();
      seal_unsent();
      result = co_await exchange();
    }
  } catch (...) {
    fault = std::current_exception();
  }
  co_await stop_pump();  // whatever happened: it works on this frame
  exchanging_ = false;
  if (fault) std::rethrow_exception(fault);
  log_soon_.disarm();
  session_.deadline_.disarm();
  if (session_.aborted_) {
    log_end(core::reason::draining, "drain_timeout has passed");
    co_return false;
  }
  if (result == answer::tunnel && co_await charge_early()) {
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
  waiting_ = false;
  from_pool_ = false;
  origin_.reset();
  if (session_.bound_origin_ && session_.bound_key_ == key_ &&
      session_.bound_generation_ == pool_generation_ && is_silent(session_.bound_origin_->socket) &&
      may_use(*session_.bound_origin_)) {
    // NTLM and Negotiate: the origin knows this client by its connection, so that stays with the client's.
    // Like a pooled one it does not outlive the policy that checked its address.
    origin_ = std::move(*session_.bound_origin_);
    request_.auth = true;
    from_pool_ = true;
  } else if (request_.repeatable && !request_.auth) {
    origin_ = worker_.upstreams().take(key_);
    if (origin_ && !may_use(*origin_)) origin_.reset();
    from_pool_ = origin_.has_value();
  }
  session_.bound_origin_.reset();
  may_retry_ = from_pool_ && request_.repeatable;
  if (!origin_) {
    auto path = co_await open_path(worker_, record_.policy, record_.governed ? record_.rule : nullptr, to_,
                                   request_.websocket ? path_use::tunnel : path_use::http, record_.slot,
                                   record_.timing);
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
  record_.goes(*origin_);
  session_.origin_in_use_ = &origin_->socket;
  co_return std::nullopt;
}

bool http_exchange::may_use(const upstream_connection& connection) const noexcept {
  if (!record_.governed || !record_.rule->terms || record_.rule->terms->resolve_in.empty()) return true;
  if (!connection.address) return false;
  const std::array addresses{*connection.address};
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return !allowlist::guard(*record_.policy->policy, to_, addresses, now, record_.rule);
}

std::string_view http_exchange::head_text() {
  if (!origin_->forwards) return request_text_;
  auto target = to_;
  if (origin_->address) target.host = *origin_->address;
  auto authority = core::to_string(target);
  if (to_.port == 80) authority.resize(authority.size() - 3);  // ":80"
  forwarded_text_.replace(authority_at_, authority_size_, authority);
  authority_size_ = authority.size();
  return forwarded_text_;
}

task<std::size_t> http_exchange::read_origin() {
  // Trouble, or a deadline, from before this read found nothing to wake.
  if (trouble_ != core::reason::allowed || session_.timed_out_) co_return 0;
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

std::uint64_t size_of(const std::array<std::string_view, 4>& parts) noexcept {
  std::uint64_t sum = 0;
  for (const auto& part : parts) sum += part.size();
  return sum;
}

}  // namespace

task<bool> http_exchange::to_client(parts what, bool final) {
  if (cut_) co_return false;
  const auto size = size_of(what);
  octet_claim claim(record_.limits, way::down, size);
  if (!claim && !co_await await_claim(claim, way::down, size)) co_return false;
  answer_started_ |= final;
  const auto [error, count] = co_await asio::async_write(session_.client_, buffers_of(what), no_throw);
  claim.settle(count);
  note_excess(way::down);
  down_ += count;
  worker_.counters().bytes(record_.slot, 0, count);
  record_.count_moved(0, count);
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
  if (cut_) co_return false;
  const auto size = size_of(what);
  octet_claim claim(record_.limits, way::up, size);
  if (!claim && !co_await await_claim(claim, way::up, size)) co_return false;
  const auto [error, count] = co_await asio::async_write(origin_->socket, buffers_of(what), no_throw);
  claim.settle(count);
  note_excess(way::up);
  up_ += count;
  worker_.counters().bytes(record_.slot, count, 0);
  record_.count_moved(count, 0);
  if (!error) moving();
  co_return !error;
}

void http_exchange::moving() noexcept {
  const auto& timeouts = worker_.settings().timeouts;
  if (!body_done_ && !origin_deaf_ && !answer_started_) {
    // A body that drips is one that stands still.
    const auto least = std::max<std::uint64_t>(
        1, worker_.settings().limits.body_rate * static_cast<std::uint64_t>(timeouts.idle.count()) / 1000);
    if (uploading_ && up_ - upload_mark_ < least) return;
    uploading_ = true;
    upload_mark_ = up_;
    session_.arm(timeouts.idle);
    return;
  }
  uploading_ = false;
  const bool waiting = (body_done_ || origin_deaf_) && !answer_started_;
  // One deadline for the head of the answer, however many octets it drips in.
  if (waiting && waiting_) return;
  waiting_ = waiting;
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
    e.verdict = core::row_of(reason).kind == core::reason_kind::policy ? outcome::deny : outcome::error;
    e.reason = reason;
  }
  e.status = status_;
  e.error = error.empty() ? std::string_view(limit_text_) : error;
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
