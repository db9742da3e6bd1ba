#include "proxy/http_exchange.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <utility>
#include <vector>

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

// What exchanges lived in, for the next ones of this worker: a good two KiB for each request.
class block_list : public std::vector<void*> {
 public:
  block_list() { reserve(32); }
  block_list(const block_list&) = delete;
  block_list& operator=(const block_list&) = delete;
  ~block_list() {
    for (auto* block : *this) ::operator delete(block);
  }
};

block_list& kept_blocks() {
  static thread_local block_list blocks;
  return blocks;
}

bool is_safe(std::string_view method) noexcept {
  return method == "GET" || method == "HEAD" || method == "OPTIONS";
}

}  // namespace

task<bool> session::serve_http() {
  return http_exchange::serve(std::make_unique<http_exchange>(*this));
}

task<bool> http_exchange::serve(std::unique_ptr<http_exchange> exchange) {
  const auto owned = std::move(exchange);  // gone at the end of this, not of the frame
  auto& x = *owned;
  auto& session = x.session_;
  std::string trouble;
  if (!session.decide(x.record_, trouble)) co_return co_await x.refuse_undecided(trouble);
  if (session.head_.max_forwards != 0U) {
    x.begin();
    co_return co_await x.run();
  }
  const bool close = !session.head_.keep_alive || announces_body(session.head_) || session.draining_;
  session.buffer_.consume(session.parser_.size());
  co_return co_await session.answer_as_last(x.record_, close);
}

task<bool> http_exchange::refuse_undecided(std::string_view trouble) {
  const auto& head = session_.head_;
  const auto& row = core::row_of(record_.reason);
  // Each attempt at a credential costs a connection. One that belongs to a job that is over gets nowhere
  // any more: the client's next one may.
  const bool close = !head.keep_alive || announces_body(head) || session_.draining_ || row.status == 407 ||
                     row.kind == core::reason_kind::limit || record_.reason == core::reason::identity_changed;
  session::refusal_detail detail{.reason = record_.reason,
                                 .error = trouble,
                                 .to = head.to,
                                 .close = close,
                                 .head_only = head.is("HEAD"),
                                 .minor = static_cast<int>(head.minor),
                                 .wants_json = accept_wants_json(head.accept)};
  session_.buffer_.consume(session_.parser_.size());
  co_await session_.refuse(record_, std::move(detail));
  co_return !close;
}

void* http_exchange::operator new(std::size_t size) {
  auto& kept = kept_blocks();
  if (kept.empty()) return ::operator new(size);
  auto* block = kept.back();
  kept.pop_back();
  return block;
}

void http_exchange::operator delete(void* block) noexcept {
  auto& kept = kept_blocks();
  if (kept.size() < kept.capacity()) {
    kept.push_back(block);
  } else {
    ::operator delete(block);
  }
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

http_exchange::http_exchange(session& session)
    : session_(session),
      worker_(session.worker_),
      record_(session.new_record()),
      texts_(worker_.memory()),
      log_soon_(worker_.wheel(), &http_exchange::log_soon_passed, this) {}

void http_exchange::begin() {
  const auto& head = session_.head_;
  to_ = head.to;
  key_.phase = record_.slot;
  if (record_.job) key_.job = record_.job->id();
  key_.origin = core::to_string(to_);
  key_.via = worker_.process().hops.toward(to_.host);
  pool_generation_ = worker_.upstreams().generation();
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
  if (!reuse()) {
    if (const auto ended = co_await dial()) co_return *ended;
  }
  connected();
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
      if (!reuse()) {
        if (const auto ended = co_await dial()) co_return *ended;
      }
      connected();
      exchanging_ = true;
      tighten();
      seal_unsent();
      result = co_await exchange();
    }
  } catch (...) {
    fault = std::current_exception();
  }
  if (pumping_) co_await stop_pump();  // whatever happened: it works on this frame
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
  const bool goes_on = request_.keep_alive && body_done_ && !answer_closes_;
  if (goes_on && session_.buffer_.empty()) co_await others_first();
  co_return goes_on;
}

bool http_exchange::reuse() {
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
  return origin_.has_value();
}

task<std::optional<bool>> http_exchange::dial() {
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
  co_return std::nullopt;
}

void http_exchange::connected() {
  worker_.counters().upstream_connection(from_pool_ ? metrics::upstream_source::pool
                                                    : metrics::upstream_source::dialed);
  record_.goes(*origin_);
  session_.origin_in_use_ = &origin_->socket;
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
