#include "proxy/live_tunnel.hpp"

#include <utility>

#include "proxy/worker.hpp"

namespace exeat::proxy {

live_tunnel::live_tunnel(worker& worker, request_record record, admission admission, hello_facts hello,
                         std::uint64_t up, std::uint64_t down)
    : worker_(worker),
      record_(std::move(record)),
      admission_(std::move(admission)),
      counted_up_(up),
      counted_down_(down) {
  if (!hello.tls_version.empty() || !hello.sni.empty() || !hello.alpn.empty()) {
    sni_is_host_ = !hello.sni.empty() && hello.sni == record_.host;
    if (sni_is_host_) hello.sni = {};
    hello_ = std::make_unique<const hello_facts>(std::move(hello));
  }
  worker_.counters().tunnel_opened(record_.slot);
  if (record_.count) record_.count->opened.add();
}

live_tunnel::~live_tunnel() {
  worker_.counters().tunnel_closed(record_.slot);
  if (record_.count) record_.count->closed.add();
}

void live_tunnel::moved(std::uint64_t up, std::uint64_t down) noexcept {
  worker_.counters().bytes(record_.slot, up, down);
  record_.count_moved(up, down);
  counted_up_ += up;
  counted_down_ += down;
  if (up != 0) note_excess(way::up);
  if (down != 0) note_excess(way::down);
}

void live_tunnel::ended(const tunnel_end& end) noexcept {
  // What was moved in the very turn in which the tunnel failed, for the metrics to agree with the log.
  moved(end.bytes_up - counted_up_, end.bytes_down - counted_down_);
  auto e = record_.to_event(event::kind::close);
  if (end.reason != core::reason::allowed) {
    e.verdict = core::row_of(end.reason).kind == core::reason_kind::policy ? outcome::deny : outcome::error;
    e.reason = end.reason;
  }
  e.error = end.error;
  std::string shortage;
  if (end.error.empty() && record_.limits != nullptr) {
    // Cut at a limit; or, in audit, beyond one.
    if (e.reason == core::reason::upload_limit || e.reason == core::reason::download_limit)
      shortage = record_.limits->shortage(e.reason == core::reason::upload_limit ? way::up : way::down,
                                          e.verdict == outcome::deny ? 1 : 0);
    e.error = shortage;
  }
  e.bytes_up = end.bytes_up;
  e.bytes_down = end.bytes_down;
  if (hello_) {
    e.sni = sni_is_host_ ? record_.host : hello_->sni;
    e.alpn = hello_->alpn;
    e.tls_version = hello_->tls_version;
  }
  worker_.record(record_.slot, e);
}

void live_tunnel::limit(std::shared_ptr<const loaded_policy> by, const meter* limits) noexcept {
  record_.limits = limits;
  record_.limited_by = std::move(by);
}

void live_tunnel::note_excess(way way) noexcept {
  if (record_.limits == nullptr || record_.limits->enforced() || record_.would_deny ||
      !record_.limits->is_over(way))
    return;
  record_.would_deny = true;
  record_.reason = reason_of_limit(way);
  worker_.counters().decision(record_.slot, metrics::verdict::would_deny, record_.reason);
}

}  // namespace exeat::proxy
