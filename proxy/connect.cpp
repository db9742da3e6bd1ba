// CONNECT: decide, open the path, answer, peek, and become a tunnel (RFC 9110 9.3.6).
#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <utility>

#include "proxy/live_tunnel.hpp"
#include "proxy/refusal.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"
#include "wire/client_hello.hpp"
#include "wire/plain_http_probe.hpp"
#include "wire/tls_alert.hpp"

namespace exeat::proxy {
namespace {

constexpr std::string_view cut_by_drain = "drain_timeout has passed";

std::string_view version_text(std::uint16_t version) noexcept {
  switch (version) {
    case 0x0304:
      return "1.3";
    case 0x0303:
      return "1.2";
    case 0x0302:
      return "1.1";
    case 0x0301:
      return "1.0";
    case 0x0300:
      return "ssl3";
    default:
      return "other";
  }
}

std::span<const std::uint8_t> octets(std::span<const char> text) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

/// What the first octets of a tunnel turned out to be.
struct session::peeked {
  core::reason reason = core::reason::allowed;
  std::string_view error;
  bool spoke_tls = false;   ///< an alert will be understood
  bool spoke_http = false;  ///< an HTTP answer will be understood
  hello_facts hello;
  std::string words;  ///< what `error` points into where it is not a constant
};

task<void> session::serve_connect() {
  auto record = new_record();
  refusal_detail refusal{
      .to = head_.to, .minor = static_cast<int>(head_.minor), .wants_json = accept_wants_json(head_.accept)};
  std::string shortage;
  if (!decide(record, shortage)) {
    refusal.reason = record.reason;
    refusal.error = shortage;
    co_await refuse(record, refusal);
    co_return;
  }
  if (!within_terms(record, head_.to, 0, shortage)) {
    refusal.reason = record.reason;
    refusal.error = shortage;
    co_await refuse(record, refusal);
    co_return;
  }

  // What the peek may keep of a ClientHello, besides what the session's buffer holds.
  memory_charge hello(worker_.memory());
  if (!hello.grow(wire::max_client_hello)) {
    refusal.reason = core::reason::out_of_buffers;
    co_await refuse(record, refusal);
    co_return;
  }

  auto path = co_await open_path(worker_, record.policy, record.governed ? record.rule : nullptr, head_.to,
                                 path_use::tunnel, record.slot, record.timing);
  if (aborted_) {
    record_failure(record, event::kind::decision, core::reason::draining, cut_by_drain);
    co_return;
  }
  if (!path) {
    co_await refuse_path(record, path.error(), refusal);
    co_return;
  }
  record.goes(*path);
  std::string_view sealed;
  if (sealed_since(record, sealed)) {
    refusal.reason = record.reason;
    refusal.error = sealed;
    co_await refuse(record, refusal);
    co_return;
  }

  std::string answer = "HTTP/1.1 200 Connection established\r\nExeat-Decision: ";
  answer.append(record.id.view()).append("\r\n\r\n");
  auto event = record.to_event(event::kind::decision);
  event.status = 200;
  event.error = shortage;
  worker_.record(record.slot, event);

  origin_in_use_ = &path->socket;
  buffer_.consume(parser_.size());  // what is left was sent in advance, and is the tunnel's
  if (co_await write_all(answer)) {
    origin_in_use_ = nullptr;
    if (aborted_) {
      record_failure(record, event::kind::close, core::reason::draining, cut_by_drain);
    } else if (timed_out_) {
      record_failure(record, event::kind::close, core::reason::idle_timeout,
                     "the client does not take the 200");
    } else {
      record_failure(record, event::kind::close, core::reason::client_closed,
                     "the client was gone before the 200");
    }
    co_return;
  }

  const bool audit = record.phase_of().mode == allowlist::phase_mode::audit;
  const bool any =
      record.would_deny || (record.rule != nullptr && record.rule->tls == allowlist::tls_mode::any);
  peeked seen;
  peeking_ = &record;
  if (!any) co_await peek(record, seen);
  if (seen.reason == core::reason::allowed) co_await charge_peeked(record, seen);
  peeking_ = nullptr;
  origin_in_use_ = nullptr;
  if (aborted_) {
    record_failure(record, event::kind::close, core::reason::draining, cut_by_drain);
    co_return;
  }
  const bool is_sealed = sealed_since(record, seen.error);
  if (is_sealed) seen.reason = record.reason;
  if (seen.reason != core::reason::allowed && audit && !is_sealed) {
    // Let through; the line at the tunnel's end tells what would have cut it.
    record.would_deny = true;
    record.reason = seen.reason;
    record.with_more().hint = hint_of(record, seen.reason);
    worker_.counters().decision(record.slot, metrics::verdict::would_deny, seen.reason);
  } else if (seen.reason != core::reason::allowed) {
    auto end = record.to_event(event::kind::close);
    end.verdict = outcome::deny;
    end.reason = seen.reason;
    end.error = seen.error;
    end.sni = seen.hello.sni;
    end.alpn = seen.hello.alpn;
    end.tls_version = seen.hello.tls_version;
    const auto hint = hint_of(record, seen.reason);
    end.hint = hint;
    worker_.record(record.slot, end);
    co_await end_refused_tunnel(record, seen);
    co_return;
  }
  hand_over(std::move(record), std::move(*path), std::move(seen.hello), {}, 0, 0);
}

task<void> session::peek(const request_record& record, peeked& seen) {
  wire::client_hello_parser parser;
  timed_out_ = false;
  arm(worker_.settings().timeouts.client_hello);
  auto status = wire::hello_status::need_more;
  for (;;) {
    if (!buffer_.empty()) status = parser.feed(octets(buffer_.data()));
    if (status != wire::hello_status::need_more) break;
    if (record.is_sealed()) {
      deadline_.disarm();
      seen.spoke_tls = !buffer_.empty();
      co_return;
    }
    const auto [error, count] = co_await read_some();
    if (count != 0 && !timed_out_) continue;
    if (record.is_sealed()) continue;
    deadline_.disarm();
    if (timed_out_) {
      seen.reason = core::reason::client_hello_timeout;
      seen.spoke_tls = !buffer_.empty();
    } else if (!buffer_.empty()) {
      // Half a hello and a FIN: no TLS server would answer it, so nothing of it goes out.
      seen.reason = core::reason::bad_client_hello;
      seen.error = "the client closed within its ClientHello";
    }
    // Else the client closed without a word: the relay passes that on, and ends.
    co_return;
  }
  deadline_.disarm();

  const auto first = buffer_.data();
  switch (status) {
    case wire::hello_status::not_tls:
      seen.reason = core::reason::not_tls;
      seen.spoke_http = wire::looks_like_plain_http({first.data(), first.size()});
      seen.error = seen.spoke_http ? "plain HTTP inside a CONNECT tunnel" : parser.error().detail;
      co_return;
    case wire::hello_status::error:
      seen.reason = core::reason::bad_client_hello;
      seen.error = parser.error().detail;
      seen.spoke_tls = true;
      co_return;
    default:
      break;
  }

  const auto& hello = parser.hello();
  seen.spoke_tls = true;
  seen.hello.sni = hello.sni_text.view();
  seen.hello.alpn = hello.alpn.view();
  seen.hello.tls_version = version_text(hello.highest_version);
  const auto* name = std::get_if<core::host_name>(&head_.to.host);
  if (name != nullptr && !hello.has_sni) {
    seen.reason = core::reason::sni_missing;
  } else if (name == nullptr ? hello.has_sni : !(hello.sni && *hello.sni == *name)) {
    seen.reason = core::reason::sni_mismatch;
    seen.words = name == nullptr ? std::string("a tunnel to an address must carry no server name")
                                 : "the ClientHello names " + seen.hello.sni;
    seen.error = seen.words;
  } else if (hello.has_ech &&
             allowlist::ech_of(record.phase_of(), record.rule) == allowlist::ech_mode::refuse) {
    seen.reason = core::reason::ech_refused;
  }
}

task<void> session::charge_peeked(const request_record& record, peeked& seen) {
  const auto size = buffer_.size();
  octet_claim claim(record.limits, way::up, size);
  while (!claim.claim()) {
    if (claim.is_short()) {
      seen.reason = core::reason::upload_limit;
      seen.words = record.limits->shortage(way::up, size);
      seen.error = seen.words;
      co_return;
    }
    co_await await_budget();
    if (aborted_) co_return;
  }
  claim.settle(size);
}

task<void> session::end_refused_tunnel(const request_record& record, const peeked& seen) {
  if (seen.spoke_tls) {
    const bool name = seen.reason == core::reason::sni_mismatch || seen.reason == core::reason::sni_missing;
    const auto alert =
        wire::fatal_alert(name ? wire::tls_alert::unrecognized_name : wire::tls_alert::access_denied);
    std::array<char, alert.size()> text{};
    std::ranges::copy(alert, text.begin());
    co_await write_all(text);
  } else if (seen.spoke_http) {
    const std::vector<std::string> fixes = {
        fmt::format("Send it to the proxy as `GET http://...` (`http_proxy`, and no forced tunnel); the rule "
                    "then needs `ports: [{}]`.",
                    head_.to.port),
        "Or the rule says `tls: any`: then nobody looks inside this tunnel.",
        fmt::format("Show decision {} to whoever owns the policy (`exeat report` lists it).",
                    record.id.view()),
    };
    std::string answer;
    append_refusal(answer,
                   {.reason = seen.reason,
                    .decision = record.id.view(),
                    .destination = core::to_string(head_.to),
                    .phase = record.phase_of().name,
                    .message = "This tunnel was opened with CONNECT and carries plain HTTP. A tunnel must "
                               "carry TLS, so that the proxy can hold the server name against the one that "
                               "was allowed.",
                    .next = fixes});
    co_await write_all(answer);
  }
  co_await close_slowly();
}

void session::hand_over(request_record record, upstream_connection origin, hello_facts hello,
                        std::span<const char> early_down, std::uint64_t up, std::uint64_t down) {
  bool cut = false;
  rejudged now;
  const auto* limits = record.limits;
  const auto* served = worker_.jobs().find(record.job.get());
  if (served == nullptr || record.is_sealed()) {
    now.denied = core::reason::phase_sealed;
    cut = true;
  } else if (record.policy != served->policy) {
    // The reload went over the live tunnels while this one was not yet among them.
    const auto& policy = served->policy;
    now = judge_again(record, *policy);
    cut = now.denied && worker_.settings().on_tighten == config::tighten_action::cut;
    if (!now.denied) {
      limits = record.limits = now.limits;
      record.limited_by = policy;
    }
  }
  auto owner = std::make_unique<live_tunnel>(worker_, std::move(record), std::move(*admission_),
                                             std::move(hello), up, down);
  admission_.reset();
  if (cut) {
    reset_client();
    owner->ended(
        {*now.denied, now.denied == core::reason::phase_sealed ? cut_by_seal : cut_by_reload, up, down});
    return;
  }

  error_code error;
  const int client_fd = client_.release(error);
  const int origin_fd = origin.socket.release(error);

  // Nearly always the fresh socket takes all of it at once, and the tunnel needs no buffer.
  std::span<const char> early_up = buffer_.data();
  std::uint64_t sent = 0;
  if (!early_up.empty()) {
    const auto n = ::send(origin_fd, early_up.data(), early_up.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) sent = static_cast<std::uint64_t>(n);
    early_up = early_up.subspan(static_cast<std::size_t>(sent));
  }
  if (sent != 0) owner->moved(sent, 0);
  worker_.relay().add(std::move(owner), client_fd, origin_fd,
                      {.early_up = early_up,
                       .early_down = early_down,
                       .already_up = up + sent,
                       .already_down = down,
                       .limits = limits,
                       .client_is_pair = listener_.configured().tls.has_value(),
                       .origin_is_pair = origin.via != nullptr});
}

task<void> session::refuse_path(request_record& record, const path_failure& failure, refusal_detail detail) {
  record.address = failure.address;
  record.via = failure.via;
  record.delegated = failure.via != nullptr && failure.via->remote && !failure.address;
  if (failure.by_guard && failure.by_guard->denied_by != nullptr) record.rule = failure.by_guard->denied_by;
  detail.reason = failure.reason;
  detail.error = failure.detail;
  detail.by_guard = failure.by_guard ? &*failure.by_guard : nullptr;
  co_await refuse(record, detail);
}

}  // namespace exeat::proxy
