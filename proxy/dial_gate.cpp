#include "proxy/dial_gate.hpp"

#include <string_view>
#include <variant>

namespace exeat::proxy {

dial_gate::dial_gate(asio::io_context& context, std::uint32_t most, std::uint64_t seed)
    : context_(context), most_(most), seed_(seed), state_(std::make_shared<state>()) {}

dial_gate::pass::~pass() {
  if (gate_) gate_->leave(at_);
}

void dial_gate::state::leave(key at) noexcept {
  // Whoever waits longest has the place now; nobody else can take it in between.
  if (const auto found = waiting.find(at); found != waiting.end()) {
    if (!found->second.empty()) {
      auto& next = found->second.front();
      next.unlink();
      next.let_in = true;
      next.wake.cancel();
      return;
    }
    waiting.erase(found);
  }
  const auto found = inside.find(at);
  if (--found->second == 0) inside.erase(found);
}

dial_gate::key dial_gate::key_of(const core::destination& to, metrics::phase_slot phase) const noexcept {
  key hash = seed_ ^ (std::uint64_t{to.port} << 8 | static_cast<std::uint64_t>(phase));
  const auto add = [&](std::uint8_t octet) {
    hash = (hash ^ octet) * 0x100000001b3ULL;
    hash ^= hash >> 32;
  };
  if (const auto* name = std::get_if<core::host_name>(&to.host)) {
    for (const char c : name->view()) add(static_cast<std::uint8_t>(c));
  } else {
    for (const auto octet : std::get<core::ip_address>(to.host).bytes()) add(octet);
  }
  return hash;
}

task<std::optional<dial_gate::pass>> dial_gate::enter(core::destination to, metrics::phase_slot phase,
                                                      std::chrono::milliseconds patience) {
  if (most_ == 0) co_return pass(nullptr, 0);
  const auto at = key_of(to, phase);
  const auto gate = state_;  // the gate may be gone when this resumes
  auto& inside = gate->inside[at];
  if (inside < most_) {
    ++inside;
    co_return pass(gate, at);
  }
  waiter me(context_);
  gate->waiting[at].push_back(me);
  me.wake.expires_after(patience);
  co_await me.wake.async_wait(no_throw);
  if (me.let_in) co_return pass(gate, at);
  me.unlink();
  if (const auto found = gate->waiting.find(at); found != gate->waiting.end() && found->second.empty())
    gate->waiting.erase(found);
  co_return std::nullopt;
}

}  // namespace exeat::proxy
