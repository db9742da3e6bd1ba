// What a plain HTTP exchange has to do with the limits of its rule, and with a policy that tightens.
#include "proxy/http_exchange.hpp"
#include "proxy/live_tunnel.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {

task<bool> http_exchange::await_claim(octet_claim& claim, way way, std::uint64_t size) {
  for (;;) {
    if (claim.is_short()) {
      limit_trouble(way, size);
      co_return false;
    }
    co_await session_.await_budget();
    if (session_.timed_out_) download_trouble(core::reason::idle_timeout, "others held the rest of a limit");
    if (session_.aborted_ || trouble_ != core::reason::allowed) co_return false;
    if (claim.claim()) co_return true;
  }
}

void http_exchange::limit_trouble(way way, std::uint64_t size) {
  if (trouble_ != core::reason::allowed) return;
  limit_text_ = record_.limits->shortage(way, size);
  // Wakes the reader of the answer, where this is the body on its way up.
  upload_trouble(reason_of_limit(way), limit_text_);
}

void http_exchange::note_excess(way way) noexcept {
  if (record_.limits == nullptr || record_.limits->enforced() || record_.would_deny ||
      !record_.limits->is_over(way))
    return;
  record_.would_deny = true;
  record_.reason = reason_of_limit(way);
  limit_text_ = record_.limits->shortage(way, 0);
  // Where the decision's line is not written yet, that counts it.
  if (logged_) worker_.counters().decision(record_.slot, metrics::verdict::would_deny, record_.reason);
}

task<bool> http_exchange::charge_early() {
  octet_claim up(record_.limits, way::up, session_.buffer_.size());
  if (!up && !co_await await_claim(up, way::up, session_.buffer_.size())) co_return false;
  up.settle(session_.buffer_.size());
  octet_claim down(record_.limits, way::down, answer_->size());
  if (!down && !co_await await_claim(down, way::down, answer_->size())) co_return false;
  down.settle(answer_->size());
  co_return true;
}

void http_exchange::cut(core::reason reason, std::string_view error) noexcept {
  download_trouble(reason, error);
  cut_ = true;
  origin_deaf_ = true;
  error_code ignored;
  session_.client_.cancel(ignored);
  if (origin_) origin_->socket.cancel(ignored);
}

void http_exchange::tighten() noexcept {
  if (!exchanging_ || cut_ || worker_.settings().on_tighten != config::tighten_action::cut) return;
  const auto* served = worker_.jobs().find(record_.job.get());
  if (served == nullptr || record_.policy == served->policy) return;
  if (const auto now = judge_again(record_, *served->policy); now.denied) cut(*now.denied, cut_by_reload);
}

void http_exchange::seal_unsent() noexcept {
  if (exchanging_ && !cut_ && record_.is_sealed()) cut(core::reason::phase_sealed, cut_by_seal);
  seal();
}

void http_exchange::seal() noexcept {
  if (!exchanging_ || cut_) return;
  if (worker_.jobs().find(record_.job.get()) == nullptr) {
    cut(core::reason::phase_sealed, cut_by_end_of_job);
  } else if (worker_.is_due(record_)) {
    cut(core::reason::phase_sealed, cut_by_seal);
  } else if (worker_.is_out_of_time(record_, std::chrono::steady_clock::now())) {
    cut(core::reason::time_limit, cut_by_time_limit);
  }
}

}  // namespace exeat::proxy
