// The origin's answer to a plain HTTP request: read strictly, written anew, streamed.
#include <algorithm>
#include <utility>

#include "proxy/http_exchange.hpp"
#include "proxy/worker.hpp"
#include "wire/forward_head.hpp"

namespace exeat::proxy {

task<http_exchange::answer> http_exchange::exchange() {
  uploading_ = false;
  moving();
  answer_->clear();
  if (!co_await to_origin({head_text()})) {
    if (trouble_ != core::reason::allowed) co_return answer::failed;
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
  std::size_t interim_octets = 0;
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
  if (from == wire::body_framing::none || (from == wire::body_framing::length && length == 0)) {
    if (!co_await to_client({answer_text_})) co_return answer::failed;
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

task<bool> http_exchange::relay_chunks(wire::body_framing to, std::string nominated) {
  const bool chunk = to == wire::body_framing::chunked;
  wire::chunked_decoder decoder(std::move(nominated));
  std::string_view head = answer_text_;
  for (;;) {
    const auto got = decoder.gather(answer_->data());
    if (!got.data.empty()) {
      const wire::chunk_header line(got.data.size());
      const bool ok = chunk ? co_await to_client({head, line.view(), got.data, wire::chunk_end})
                            : co_await to_client({head, got.data});
      if (!ok) co_return false;
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
