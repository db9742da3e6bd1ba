#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

void deadline::arm(std::chrono::milliseconds after) noexcept {
  unlink();
  if (after <= std::chrono::milliseconds::zero()) return;
  // + 1: the current tick has partly gone by, and a deadline never fires early.
  const auto now = std::chrono::steady_clock::now();
  due_tick_ = wheel_->tick_of(now + after) + 1;
  if (due_tick_ <= wheel_->current_) due_tick_ = wheel_->current_ + 1;
  wheel_->slots_[due_tick_ % timer_wheel::slot_count].push_back(*this);
}

timer_wheel::timer_wheel(asio::io_context& context)
    : origin_(std::chrono::steady_clock::now()), timer_(context.get_executor()) {}

std::uint64_t timer_wheel::tick_of(std::chrono::steady_clock::time_point at) const noexcept {
  return at <= origin_ ? 0 : static_cast<std::uint64_t>((at - origin_) / tick);
}

void timer_wheel::start() {
  wait();
}

void timer_wheel::stop() noexcept {
  stopped_ = true;
  timer_.cancel();
}

void timer_wheel::wait() {
  // At the very turn of a tick: what is due is then late by the rest of its tick alone.
  timer_.expires_at(origin_ + static_cast<std::chrono::milliseconds::rep>(current_ + 1) * tick);
  timer_.async_wait([this](error_code) {
    if (stopped_) return;
    advance(std::chrono::steady_clock::now());
    wait();
  });
}

void timer_wheel::advance(std::chrono::steady_clock::time_point now) noexcept {
  const auto target = tick_of(now);
  // After a suspend the ticks to catch up may be many; one turn visits every slot.
  const auto from = target > current_ + slot_count ? target - slot_count : current_;
  for (auto t = from + 1; t <= target; ++t) {
    current_ = t;
    slot due;
    auto& bucket = slots_[t % slot_count];
    for (auto it = bucket.begin(); it != bucket.end();) {
      auto& entry = *it++;
      if (entry.due_tick_ > target) continue;
      entry.unlink();
      due.push_back(entry);
    }
    // A callback may disarm or destroy any other entry; auto-unlink keeps `due` right.
    while (!due.empty()) {
      auto& entry = due.front();
      entry.unlink();
      entry.expired_(entry.owner_);
    }
  }
}

}  // namespace exeat::proxy
