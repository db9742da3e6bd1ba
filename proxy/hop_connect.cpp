#include "proxy/hop_connect.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/container/small_vector.hpp>
#include <cerrno>
#include <utility>

#include "proxy/closing_deadline.hpp"
#include "proxy/local_addresses.hpp"
#include "proxy/tls_front.hpp"
#include "proxy/worker.hpp"
#include "wire/response_head.hpp"

namespace exeat::proxy {
namespace {

std::unexpected<hop_failure> failed(const next_hop& hop, core::reason reason, std::string_view what,
                                    std::uint16_t status = 0) {
  return std::unexpected(hop_failure{reason, fmt::format("{}: {}", hop.text, what), status});
}

task<std::expected<address_list, hop_failure>> addresses_of(worker& worker, const next_hop& hop) {
  address_list out;
  if (const auto* literal = std::get_if<core::ip_address>(&hop.at.host)) {
    out.push_back(*literal);
  } else {
    auto answer = co_await worker.resolver().resolve(std::get<core::host_name>(hop.at.host));
    worker.count_lookups();
    if (!answer.addresses) {
      co_return failed(hop, core::reason::upstream_unreachable,
                       fmt::format("{}{}{}", core::code_of(answer.addresses.error()),
                                   answer.detail.empty() ? "" : ": ", answer.detail));
    }
    out = *answer.addresses;
  }
  worker.hop_addresses().learn(hop, out);
  co_return out;
}

// The other end of a handshake that may outlive whoever waits for it.
struct handshake {
  explicit handshake(const executor& on) : ended(on, steady_timer::time_point::max()) {}
  steady_timer ended;
  std::optional<std::expected<plain_side, front_failure>> result;
  bool abandoned = false;
};

/// What the front holds of it. A front that is aborted calls nobody, but lets go of this.
class handshake_teller {
 public:
  explicit handshake_teller(std::shared_ptr<handshake> of) : of_(std::move(of)) {}
  handshake_teller(handshake_teller&&) noexcept = default;
  handshake_teller& operator=(handshake_teller&&) = delete;
  ~handshake_teller() {
    if (of_ && !of_->result)
      tell(std::unexpected(
          front_failure{.reason = core::reason::tls_handshake, .text = "the connection was given up"}));
  }
  void tell(std::expected<plain_side, front_failure> got) noexcept {
    if (of_->abandoned) {
      if (got) ::close(got->fd);
      return;
    }
    of_->result = std::move(got);
    of_->ended.cancel();
  }

 private:
  std::shared_ptr<handshake> of_;
};

struct abandon_on_exit {
  std::shared_ptr<handshake> of;
  ~abandon_on_exit() {
    of->abandoned = true;
    if (of->result && *of->result && (*of->result)->fd >= 0) ::close((*of->result)->fd);
  }
};

task<std::expected<stream_socket, hop_failure>> shake_hands(worker& worker, const next_hop& hop,
                                                            std::shared_ptr<const tls_context> tls,
                                                            tcp_socket socket) {
  const abandon_on_exit guard{std::make_shared<handshake>(worker.context().get_executor())};
  auto& shared = *guard.of;
  error_code error;
  const int fd = socket.release(error);
  if (error) co_return failed(hop, core::reason::internal_error, error.message());
  start_tls(worker.context(), worker.wheel(), std::move(tls), fd, worker.settings().timeouts.connect,
            worker.hop_fronts(),
            [teller = handshake_teller(guard.of)](std::expected<plain_side, front_failure> got) mutable {
              teller.tell(std::move(got));
            });
  while (!shared.result) {
    (void)co_await shared.ended.async_wait(no_throw);
    if ((co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none)
      co_return failed(hop, core::reason::upstream_tls, "cancelled");
  }
  if (!*shared.result) {
    const auto& why = shared.result->error();
    co_return failed(hop, why.reason == core::reason::tls_handshake ? core::reason::upstream_tls : why.reason,
                     why.text);
  }
  stream_socket out(worker.context().get_executor());
  out.assign(asio::generic::stream_protocol(AF_UNIX, 0), std::exchange((*shared.result)->fd, -1), error);
  if (error) co_return failed(hop, core::reason::internal_error, error.message());
  co_return out;
}

/// Puts what there is behind what the buffer holds, without taking it off the socket. 0: the end; < 0: errno.
ssize_t peek_into(pooled_buffer& buffer, int fd) noexcept {
  for (;;) {
    const auto room = buffer.room();
    const auto count = ::recv(fd, room.data(), room.size(), MSG_PEEK | MSG_DONTWAIT);
    if (count >= 0 || errno != EINTR) return count;
  }
}

/// Takes off the socket what was peeked at. False: it is gone.
bool take_off(int fd, std::size_t count) noexcept {
  std::array<char, 4096> sink;
  while (count != 0) {
    const auto n = ::recv(fd, sink.data(), std::min(count, sink.size()), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    count -= static_cast<std::size_t>(n);
  }
  return true;
}

std::expected<void, hop_failure> judge(const next_hop& hop, const wire::response_head& head) {
  if (head.status >= 200 && head.status < 300) return {};
  if (head.status == 407) {
    return failed(hop, core::reason::upstream_credential,
                  hop.keys()->authorization.empty()
                      ? "it answered 407: it wants a credential (`credential_file`)"
                      : "it answered 407: the credential is not one that it takes",
                  head.status);
  }
  return failed(hop, core::reason::upstream_refused,
                fmt::format("it answered {} {} to CONNECT", head.status, head.phrase.substr(0, 80)),
                head.status);
}

/// Reads answers until a final one, or the end of all patience.
// The first octet of what a TLS server says to a request in plain text.
constexpr char tls_alert_type = 0x15;

task<std::expected<void, hop_failure>> read_answer(worker& worker, const next_hop& hop,
                                                   stream_socket& socket) {
  const auto& limits = worker.settings().limits;
  const wire::response_context context{.connect_request = true};
  wire::response_parser parser;
  wire::response_head head;
  if (!worker.buffers().has_one())
    co_return failed(hop, core::reason::out_of_buffers, "no memory for its answer to CONNECT");
  pooled_buffer buffer(worker.buffers());
  for (unsigned interim = 0;;) {
    const auto [error] = co_await socket.async_wait(stream_socket::wait_read, no_throw);
    if (error) co_return failed(hop, core::reason::upstream_not_http, error.message());
    const auto before = buffer.size();
    const auto count = peek_into(buffer, socket.native_handle());
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) continue;
    if (count <= 0) {
      co_return failed(hop, core::reason::upstream_not_http,
                       before == 0 ? "it closed the connection without an answer to CONNECT"
                                   : "it closed the connection within its answer to CONNECT");
    }
    buffer.commit(static_cast<std::size_t>(count));
    const auto octets = buffer.data();
    switch (parser.parse({octets.data(), octets.size()}, {limits.head_bytes, limits.head_fields}, context,
                         head)) {
      case wire::parse_status::error:
        co_return failed(hop, core::reason::upstream_not_http,
                         octets[0] == tls_alert_type ? "it answers in TLS: is it an https:// proxy?"
                                                     : parser.error().detail);
      case wire::parse_status::need_more:
        if (!take_off(socket.native_handle(), static_cast<std::size_t>(count)))
          co_return failed(hop, core::reason::upstream_not_http, "the connection failed");
        continue;
      case wire::parse_status::done:
        break;
    }
    // What was peeked at beyond the head stays where it is.
    if (!take_off(socket.native_handle(), parser.size() - before))
      co_return failed(hop, core::reason::upstream_not_http, "the connection failed");
    if (!head.is_interim()) co_return judge(hop, head);
    if (++interim > wire::max_interim_responses)
      co_return failed(hop, core::reason::upstream_not_http, "too many interim answers to CONNECT");
    buffer.clear();
    parser.reset();
  }
}

}  // namespace

task<std::expected<hop_connection, hop_failure>> connect_to(worker& worker, const next_hop& hop) {
  const auto addresses = co_await addresses_of(worker, hop);
  if (!addresses) co_return std::unexpected(addresses.error());
  const auto& own = worker.process().own_endpoints;
  for (const auto& address : *addresses) {
    if (is_own_listener(address, hop.at.port, own))
      co_return failed(hop, core::reason::own_listener, "a proxy loop: the upstream is this proxy");
  }
  auto dialled = co_await dial(worker.context(), worker.wheel(), *addresses, hop.at.port,
                               {.timeout = worker.settings().timeouts.connect}, &worker.dead());
  if (!dialled) {
    const auto reason = dialled.error().reason;
    co_return failed(hop,
                     reason == core::reason::out_of_descriptors ? reason : core::reason::upstream_unreachable,
                     dialled.error().detail);
  }
  if (is_own_listener(dialled->address, hop.at.port, own))
    co_return failed(hop, core::reason::own_listener, "a proxy loop: the upstream is this proxy");
  const auto address = dialled->address;
  auto tls = hop.keys()->tls;
  if (!tls) co_return hop_connection{stream_socket(std::move(dialled->socket)), address};
  auto plain = co_await shake_hands(worker, hop, std::move(tls), std::move(dialled->socket));
  if (!plain) co_return std::unexpected(std::move(plain.error()));
  co_return hop_connection{std::move(*plain), address};
}

task<std::expected<void, hop_failure>> ask_for_tunnel(worker& worker, const next_hop& hop,
                                                      stream_socket& socket, std::string target) {
  closing_deadline limit(worker.wheel(), socket);
  limit.arm(worker.settings().timeouts.connect);

  auto request = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", target);
  if (const auto& via = worker.settings().via; !via.empty()) request += "Via: 1.1 " + via + "\r\n";
  request += hop.keys()->authorization;
  request += "\r\n";
  const auto [error, count] =
      co_await asio::async_write(socket, asio::buffer(request.data(), request.size()), no_throw);
  std::expected<void, hop_failure> out;
  // Whoever refuses at once may have closed before it read everything: its answer counts.
  if (error && (limit.expired() || error == asio::error::operation_aborted)) {
    out = failed(hop, core::reason::upstream_not_http, error.message());
  } else {
    out = co_await read_answer(worker, hop, socket);
  }
  limit.disarm();
  if (limit.expired())
    co_return failed(hop, core::reason::upstream_timeout, "no answer to CONNECT within timeouts.connect");
  co_return out;
}

task<std::optional<std::string_view>> is_upstream(worker& worker, address_list addresses,
                                                  std::uint16_t port) {
  for (const auto& hop : worker.process().hops.all()) {
    if (hop.at.port != port) continue;
    (void)co_await addresses_of(worker, hop);
    const auto known = worker.hop_addresses().known(hop);
    if (known.empty()) co_return "it may be an upstream proxy: the name of that one cannot be looked up";
    boost::container::small_vector<listen_endpoint, 8> endpoints;
    bool is_here = false;
    for (const auto& address : known) {
      endpoints.push_back({address, port});
      is_here = is_here || is_local_address(address);
    }
    for (const auto& address : addresses) {
      // One on this machine may listen on all of its addresses.
      if (is_own_listener(address, port, endpoints) || (is_here && is_local_address(address)))
        co_return "the address is that of an upstream proxy";
    }
  }
  co_return std::nullopt;
}

}  // namespace exeat::proxy
