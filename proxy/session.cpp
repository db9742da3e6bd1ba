#include "proxy/session.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

#include "allowlist/explanation.hpp"
#include "proxy/abrupt_end.hpp"
#include "proxy/http_exchange.hpp"
#include "proxy/refusal.hpp"
#include "proxy/worker.hpp"
#include "wire/forward_head.hpp"

namespace exeat::proxy {
namespace {

// How long, and for how many octets, a client may go on sending after our last answer.
constexpr std::chrono::milliseconds slow_close_time{1000};
constexpr std::size_t slow_close_octets = 256 * 1024;
// Another worker holds a claim for as long as it reads or writes.
constexpr std::chrono::milliseconds claim_time{10};
constexpr std::chrono::milliseconds slow_refusal{1000};

outcome outcome_of(core::reason reason) noexcept {
  if (reason == core::reason::client_closed) return outcome::error;
  switch (core::row_of(reason).kind) {
    case core::reason_kind::policy:
    case core::reason_kind::request:
      return outcome::deny;
    default:
      return outcome::error;
  }
}

}  // namespace

session::session(worker& worker, const listener& listener, stream_socket client, client_peer peer,
                 admission admitted)
    : worker_(worker),
      listener_(listener),
      client_(std::move(client)),
      peer_(peer),
      admission_(std::move(admitted)),
      buffer_(worker.buffers()),
      deadline_(worker.wheel(), &session::deadline_passed, this) {
  if (listener.is_enough()) asker_ = {.phase = listener.configured().phase, .job = {}, .bound = {}};
  worker_.sessions().push_back(*this);
}

session::~session() = default;

void session::start(std::unique_ptr<session> session) {
  auto& context = session->worker_.context();
  auto cancel = session->cancel_;
  // The signal outlives the coroutine that listens to it.
  asio::co_spawn(
      context.get_executor(),
      [](std::unique_ptr<proxy::session> s) -> task<void> { co_await s->run(); }(std::move(session)),
      asio::bind_cancellation_slot(cancel->slot(), [cancel](std::exception_ptr) {}));
}

task<void> session::run() {
  // abort() ends what is awaited; nothing is to throw on its way out.
  co_await asio::this_coro::throw_if_cancelled(false);
  try {
    co_await serve();
  } catch (const std::exception& e) {
    // Out of memory, in the main. The client sees a reset, the operator a line.
    record_failure(new_record(), event::kind::decision, core::reason::internal_error, e.what());
  }
}

task<void> session::serve() {
  for (bool first = true;; first = false) {
    switch (co_await read_head(first)) {
      case read_outcome::closed:
        co_return;
      case read_outcome::refused:
        co_await refuse_bad_head();
        co_return;
      case read_outcome::head:
        break;
    }
    if (!within_rate()) {
      co_await refuse_flood();
      co_return;
    }
    if (head_.form == wire::target_form::connect) {
      co_await serve_connect();
      co_return;
    }
    const bool goes_on = co_await serve_http();
    // Whoever has not taken an answer takes no other: what was sent in advance is not served.
    if (client_gone_) co_return;
    if (!goes_on || draining_ || aborted_) break;
    parser_.reset();
  }
  co_await close_slowly();
}

task<session::read_outcome> session::read_head(bool first) {
  const auto& settings = worker_.settings();
  const wire::head_limits limits{settings.limits.head_bytes, settings.limits.head_fields};
  timed_out_ = false;
  between_requests_ = buffer_.empty();
  arm(first ? settings.timeouts.head : between_requests_ ? settings.timeouts.idle : settings.timeouts.head);
  for (;;) {
    if (!buffer_.empty()) {
      const auto octets = buffer_.data();
      switch (parser_.parse({octets.data(), octets.size()}, limits, head_)) {
        case wire::parse_status::done:
          deadline_.disarm();
          between_requests_ = false;
          co_return read_outcome::head;
        case wire::parse_status::error:
          deadline_.disarm();
          co_return read_outcome::refused;
        case wire::parse_status::need_more:
          break;
      }
      if (between_requests_) {
        between_requests_ = false;
        if (!first) arm(settings.timeouts.head);
      }
    }
    const auto [error, count] = co_await read_some();
    if (count != 0 && !timed_out_) continue;
    deadline_.disarm();
    if (aborted_ || (between_requests_ && draining_)) co_return read_outcome::closed;
    if (timed_out_) {
      // A connection that was opened in advance, or kept alive, and not used: nobody waits for an answer.
      if (buffer_.empty()) {
        worker_.counters().limit_hit(first ? core::reason::head_timeout : core::reason::idle_timeout);
        co_return read_outcome::closed;
      }
      auto record = new_record();
      co_await refuse(record, {.reason = core::reason::head_timeout});
      co_return read_outcome::closed;
    }
    if (!buffer_.empty()) {
      record_failure(new_record(), event::kind::decision, core::reason::client_closed, {});
    }
    co_return read_outcome::closed;
  }
}

request_record session::new_record() const {
  request_record record;
  record.id = worker_.next_id();
  record.time = std::chrono::system_clock::now();
  record.start = std::chrono::steady_clock::now();
  record.client = peer_;
  record.policy = worker_.jobs().implicit.policy;
  place(record);
  return record;
}

namespace {

// Without the query; as the origin will be sent it.
std::string_view path_of(const wire::request_head& head) noexcept {
  const auto path = head.path.substr(0, head.path.find('?'));
  if (!path.empty()) return path;
  return head.path.empty() && head.is("OPTIONS") ? "*" : "/";
}

}  // namespace

bool session::decide(request_record& record, std::string& error) {
  record.method = head_.method;
  record.scheme = head_.scheme() == core::scheme::https ? "https" : head_.upgrade_websocket ? "ws" : "http";
  record.host = core::to_string(head_.to.host);
  record.port = head_.to.port;
  if (!identify(record, error)) return false;
  const allowlist::request request{.phase = record.phase,
                                   .scheme = head_.scheme(),
                                   .to = &head_.to,
                                   .now = std::chrono::time_point_cast<std::chrono::seconds>(record.time),
                                   .method = head_.method,
                                   .path = path_of(head_)};
  const auto decision = allowlist::decide(*record.policy->policy, request);
  record.rule = decision.governing;
  record.reason = decision.reason;
  record.would_deny = decision.verdict == allowlist::verdict::would_deny;
  record.governed = decision.verdict == allowlist::verdict::allow;
  if (decision.verdict == allowlist::verdict::deny) return false;
  if (record.scheme != "https" && (record.scheme == "ws" || (record.governed && record.rule->terms) ||
                                   worker_.settings().on_tighten == config::tighten_action::cut)) {
    const auto path = path_of(head_);
    auto& more = record.with_more();
    if (!more.path_memory.emplace(worker_.memory()).grow(path.size())) {
      record.would_deny = false;
      error = "no memory for the path";
      record.reason = core::reason::out_of_buffers;
      return false;
    }
    more.path = path;
  }
  if (record.would_deny) record.with_more().hint = hint_of(record, record.reason);
  if (!wire::via_names(head_.fields, worker_.settings().via)) return true;
  record.reason = core::reason::proxy_loop;
  record.would_deny = false;
  return false;
}

bool session::within_terms(request_record& record, const core::destination& to, std::uint64_t octets_up,
                           std::string& error) {
  // What only `audit` lets through, no rule has let through: it uses up nothing.
  if (!record.governed) return true;
  const auto& policy = *record.policy;
  const auto& terms = record.rule->terms;
  const auto* limits = policy.meter_of(record.phase, record.rule);
  const auto* requests = policy.requests_of(record.phase, record.rule);
  const bool audit = record.phase_of().mode == allowlist::phase_mode::audit;
  auto reason = core::reason::allowed;
  if (policy.time_has_passed(record.phase, record.start)) {
    reason = core::reason::time_limit;
    error = cut_by_time_limit;
  } else if (limits != nullptr) {
    for (const auto way : {way::up, way::down}) {
      const auto wanted = way == way::up ? std::max<std::uint64_t>(octets_up, 1) : 1;
      if (!limits->is_short(way, wanted)) continue;
      reason = reason_of_limit(way);
      error = limits->shortage(way, wanted);
      break;
    }
  }
  if (reason == core::reason::allowed && requests != nullptr && requests->is_used_up()) {
    reason = core::reason::request_limit;
    error = requests->shortage();
  }
  const auto* name = std::get_if<core::host_name>(&to.host);
  if (reason == core::reason::allowed && terms && terms->max_names && name != nullptr) {
    auto* names = policy.names_of(*record.rule);
    if (names == nullptr || !names->charge(*name, *terms->max_names)) {
      reason = core::reason::too_many_names;
      error = "max_names " + std::to_string(*terms->max_names) + " of " + record.rule->id + " is used up";
    }
  }
  // Whatever else audit lets pass, it has passed. Of two workers one may have taken the last one meanwhile.
  if (requests != nullptr && (reason == core::reason::allowed || audit) && !requests->charge() &&
      reason == core::reason::allowed) {
    reason = core::reason::request_limit;
    error = requests->shortage();
  }
  if (reason == core::reason::allowed || audit) policy.phase_used(record.phase, record.start);
  if (reason == core::reason::allowed) {
    record.limits = limits;
    return true;
  }
  record.reason = reason;
  record.would_deny = audit;
  if (audit) record.with_more().hint = hint_of(record, reason);
  return record.would_deny;
}

std::string session::hint_of(const request_record& record, core::reason reason) const {
  return allowlist::hint_for_log({.policy = record.policy->policy.get(),
                                  .phase = record.phase,
                                  .scheme = head_.scheme(),
                                  .to = &head_.to,
                                  .reason = reason,
                                  .governing = record.rule,
                                  .decision = record.id.view()});
}

task<void> session::await_budget() {
  steady_timer timer(worker_.context().get_executor(), claim_time);
  co_await timer.async_wait(no_throw);
}

task<void> session::refuse(request_record& record, refusal_detail detail) {
  const allowlist::refused refused{.policy = record.policy->policy.get(),
                                   .phase = record.placed ? record.phase : allowlist::no_phase,
                                   .scheme = head_.scheme(),
                                   .to = detail.to ? &*detail.to : nullptr,
                                   .reason = detail.reason,
                                   .governing = record.rule,
                                   .guard = detail.by_guard,
                                   .decision = record.id.view()};
  const auto hint = allowlist::hint_for_log(refused);

  auto event = record.to_event(detail.logged ? event::kind::close : event::kind::decision);
  event.verdict = outcome_of(detail.reason);
  event.reason = detail.reason;
  event.status = core::row_of(detail.reason).status;
  event.error = detail.error;
  event.hint = hint;
  event.bytes_up = detail.bytes_up;
  event.bytes_down = detail.bytes_down;
  // While the client still waits: whoever has its answer may be gone before anybody looks.
  const auto behind = co_await process_behind(detail.reason);
  if (behind) {
    event.process = behind->exe;
    event.pid = behind->pid;
    event.command = behind->command;
    event.cgroup = behind->cgroup;
    if (behind->uid) event.client_uid = behind->uid;
  }
  worker_.record(record.slot, event);
  if (detail.reason == core::reason::canary) lock_down(record);

  if (detail.reason == core::reason::credential_wrong) {
    // Whoever guesses waits for each answer.
    steady_timer slow(worker_.context().get_executor(), slow_refusal);
    co_await slow.async_wait(no_throw);
  }
  const auto why = allowlist::explain_to_client(refused);
  const auto destination = detail.to ? core::to_string(*detail.to) : std::string();
  std::string answer;
  append_refusal(answer,
                 {.reason = allowlist::shown_to_client(detail.reason, record.rule),
                  .decision = record.id.view(),
                  .destination = destination,
                  .phase = record.placed ? std::string_view(record.phase_of().name) : std::string_view(),
                  .message = why.message,
                  .next = why.next,
                  .listener = listener_.address(),
                  .tls = listener_.configured().tls.has_value(),
                  .wants_json = detail.wants_json,
                  .head_request = detail.head_only,
                  .close = detail.close,
                  .http_minor = detail.minor});
  if (co_await write_all(answer)) co_return;
  if (detail.close) co_await close_slowly();
}

void session::record_failure(const request_record& record, enum event::kind kind, core::reason reason,
                             std::string_view error) {
  auto event = record.to_event(kind);
  event.verdict = outcome::error;
  event.reason = reason;
  event.error = error;
  event.hint = {};
  worker_.record(record.slot, event);
}

task<void> session::refuse_bad_head() {
  const auto fault = parser_.error();
  if (fault.reason == core::reason::origin_form && !worker_.process().probe_path.empty() &&
      head_.target == worker_.process().probe_path) {
    co_await answer_probe();
    co_return;
  }
  if (!within_rate()) {
    co_await refuse_flood();
    co_return;
  }
  auto record = new_record();
  record.method = head_.method;
  // Where the phase is known without a head to read, it has sent one more.
  const auto* served = record.placed ? worker_.jobs().find(asker_->job) : nullptr;
  const bool within = served == nullptr || within_rate_of(record, *served);
  co_await refuse(record, {.reason = within ? fault.reason : record.reason,
                           .error = within ? std::string_view(fault.detail) : std::string_view(),
                           .wants_json = accept_wants_json(head_.accept)});
}

bool session::within_rate() noexcept {
  return worker_.requests().admit(admission_->client());
}

task<void> session::refuse_flood() {
  auto record = new_record();
  co_await refuse(record, {.reason = core::reason::too_many_requests,
                           .minor = static_cast<int>(head_.minor),
                           .wants_json = accept_wants_json(head_.accept)});
}

task<void> session::answer_probe() {
  static constexpr std::string_view answer = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
  co_await write_all(answer);
  co_await close_slowly();
}

task<error_code> session::write_all(std::span<const char> octets) {
  // A socket that waits for an answer nearly always takes all of it at once. Whatever is wrong with it shows
  // below.
  const auto sent =
      ::send(client_.native_handle(), octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) octets = octets.subspan(static_cast<std::size_t>(sent));
  if (octets.empty()) co_return error_code{};
  arm(worker_.settings().timeouts.idle);
  const auto [error, count] =
      co_await asio::async_write(client_, asio::buffer(octets.data(), octets.size()), no_throw);
  deadline_.disarm();
  if (error) client_gone_ = true;
  co_return error;
}

task<std::pair<error_code, std::size_t>> session::read_some() {
  const auto room = buffer_.room();
  if (room.empty()) co_return std::pair{error_code(asio::error::no_buffer_space), std::size_t{0}};
  const auto [error, count] =
      co_await client_.async_read_some(asio::buffer(room.data(), room.size()), no_throw);
  buffer_.commit(count);
  co_return std::pair{error == asio::error::eof ? error_code{} : error, count};
}

task<void> session::close_slowly() {
  error_code ignored;
  client_.shutdown(stream_socket::shutdown_send, ignored);
  timed_out_ = false;
  arm(slow_close_time);
  for (std::size_t seen = 0; seen < slow_close_octets && !timed_out_ && !aborted_;) {
    buffer_.clear();
    const auto [error, count] = co_await read_some();
    if (count == 0) break;
    seen += count;
  }
  deadline_.disarm();
  client_.close(ignored);
}

void session::reset_client() noexcept {
  end_abruptly_on_close(client_.native_handle());
  error_code ignored;
  client_.close(ignored);
}

void session::drain() noexcept {
  draining_ = true;
  error_code ignored;
  if (between_requests_) client_.cancel(ignored);
}

void session::tighten() noexcept {
  if (exchange_ != nullptr) exchange_->tighten();
}

void session::seal() noexcept {
  if (exchange_ != nullptr) exchange_->seal();
  if (peeking_ == nullptr || !peeking_->is_sealed()) return;
  // Whoever reads next looks at the seal first.
  error_code ignored;
  client_.cancel(ignored);
}

void session::abort() noexcept {
  aborted_ = true;
  draining_ = true;
  error_code ignored;
  client_.close(ignored);
  if (origin_in_use_ != nullptr) origin_in_use_->close(ignored);
  // A look-up or a dial has no socket of ours.
  cancel_->emit(asio::cancellation_type::terminal);
}

void session::arm(std::chrono::milliseconds after) noexcept {
  deadline_.arm(after);
}

void session::deadline_passed(void* self) noexcept {
  auto& s = *static_cast<session*>(self);
  s.timed_out_ = true;
  // Of an operation that has just completed a cancel wakes nobody, and its coroutine may begin another one:
  // so again, until somebody disarms.
  s.deadline_.arm(timer_wheel::tick);
  error_code ignored;
  s.client_.cancel(ignored);
  if (s.origin_in_use_ != nullptr) s.origin_in_use_->cancel(ignored);
}

}  // namespace exeat::proxy
