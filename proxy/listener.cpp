#include "proxy/listener.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <functional>
#include <new>
#include <string_view>
#include <utility>

#include "allowlist/explanation.hpp"
#include "proxy/proxy_header.hpp"
#include "proxy/refusal.hpp"
#include "proxy/session.hpp"
#include "proxy/socket_address.hpp"
#include "proxy/tls_front.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {
namespace {

// A burst does not keep the tunnels of this worker waiting.
constexpr int accepts_per_turn = 64;

const std::vector<core::cidr>& upstreams_of(const config::listener& listener) {
  static const std::vector<core::cidr> none;
  for (const auto& check : listener.identity) {
    if (check.kind == config::identity_check::source::proxy_protocol) return check.upstreams;
  }
  return none;
}

std::uint32_t key_of_phase(const std::string& phase) noexcept {
  return static_cast<std::uint32_t>(std::hash<std::string>{}(phase)) | 1U;
}

// Where no session can be made: best effort, never blocks. Nothing of the request has been read, so nothing
// is known of it.
void say_and_close(int fd, core::reason reason, const core::decision_id& id) noexcept {
  try {
    const auto why = allowlist::explain_to_client({.reason = reason, .decision = id.view()});
    std::string text;
    append_refusal(text, {.reason = reason, .decision = id.view(), .message = why.message, .next = why.next});
    (void)::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  } catch (const std::bad_alloc&) {
    // A close says it, too.
  }
  ::shutdown(fd, SHUT_WR);
  // What the client has sent already would turn the close into a reset that destroys our answer.
  std::array<char, 4096> sink;
  while (::recv(fd, sink.data(), sink.size(), MSG_DONTWAIT) > 0) {
  }
  ::close(fd);
}

int open_spare() noexcept {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

}  // namespace

listener::listener(worker& worker, const bound_listener& bound, int fd)
    : worker_(worker),
      configured_(bound.configured),
      demands_(identity::demands_of(configured_)),
      is_enough_(identity::is_listener_only(configured_)),
      phase_key_(is_enough_ ? key_of_phase(configured_.phase) : 0),
      tls_(bound.tls),
      address_(config::to_string(bound.bound)),
      unix_(std::holds_alternative<config::unix_endpoint>(bound.bound)),
      socket_(fd),
      spare_(open_spare()),
      rest_(worker.wheel(), &listener::arrived, this),
      self_(std::make_shared<listener*>(this)) {}

listener::~listener() {
  stop();
  *self_ = nullptr;
  if (spare_ >= 0) ::close(spare_);
}

void listener::start() {
  arrivals_.emplace(worker_.context(), socket_, &listener::arrived, this);
}

void listener::stop() noexcept {
  rest_.disarm();
  arrivals_.reset();
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

void listener::arrived(void* self) noexcept {
  auto& l = *static_cast<listener*>(self);
  if (l.rest_.armed() || l.socket_ < 0) return;  // it looks when it has rested
  try {
    l.accept_ready();
  } catch (const std::exception&) {
    l.rest_.arm(timer_wheel::tick);  // that client is lost; those who wait in the queue are not
  }
}

void listener::accept_ready() {
  for (int i = 0; i < accepts_per_turn; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd =
        ::accept4(socket_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      admit(fd, &address);
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        shed();
        return;
      default:
        continue;  // the connection failed before it was accepted (accept(2), "Error handling")
    }
  }
  // No edge comes for those who are left.
  asio::post(worker_.context(), [self = self_] {
    if (*self != nullptr) arrived(*self);
  });
}

void listener::admit(int fd, const void* address) {
  client_peer peer;
  // Before anything else: the longer it takes, the likelier the client's socket is gone.
  find_peer(fd, peer);
  if (!unix_) {
    peer.address = address_from(static_cast<const sockaddr*>(address));
    peer.port = port_from(*static_cast<const sockaddr_storage*>(address));
  }
  worker_.counters().connection_accepted();

  const int family = unix_ ? AF_UNIX : static_cast<const sockaddr_storage*>(address)->ss_family;
  auto counted = count_in(fd, peer);
  if (!counted) {
    worker_.counters().connection_closed();
    return;
  }
  arriving client{fd, family, std::move(peer), std::move(*counted)};
  if (demands_.proxy_protocol) {
    read_header(std::move(client));
  } else {
    shake_hands(std::move(client));
  }
}

std::optional<admission> listener::count_in(int fd, const client_peer& peer) {
  auto key = peer.key();
  key.phase = phase_key_;
  const auto answer = worker_.leases().admit(key);
  if (answer == connection_leases::answer::admitted)
    return std::optional<admission>(std::in_place, worker_, key);
  const auto reason = answer == connection_leases::answer::total_reached ? core::reason::too_many_connections
                                                                         : core::reason::too_many_of_client;
  say_and_close(fd, reason, worker_.refused_connection(*this, peer, reason));
  return std::nullopt;
}

void listener::read_header(arriving client) {
  const auto& upstreams = upstreams_of(configured_);
  const bool may = client.peer.address && std::ranges::any_of(upstreams, [&](const core::cidr& prefix) {
                     return prefix.contains(identity::unmapped(*client.peer.address));
                   });
  if (!may) {
    worker_.refused_connection(*this, client.peer, core::reason::bad_proxy_protocol,
                               "the address is not among those that may send a PROXY header");
    ::close(client.fd);
    return;
  }
  const int fd = client.fd;
  read_proxy_header(
      worker_.context(), worker_.wheel(), fd, worker_.settings().timeouts.head, worker_.fronts(),
      [self = self_, client = std::move(client)](std::expected<proxied, front_failure> got) mutable {
        if (*self == nullptr) {
          if (got) ::close(got->fd);
          return;
        }
        auto& l = **self;
        if (!got) {
          l.failed(client, got.error());
          return;
        }
        client.fd = got->fd;
        if (const auto& source = got->header.source) {
          // Counted by who it is; until now it was the upstream's.
          client.peer.address = source->address;
          client.peer.port = source->port;
          client.peer.proxy_header = true;
          auto counted = l.count_in(client.fd, client.peer);
          if (!counted) return;
          // The upstream's place is free again; what is live has been counted twice for this moment only.
          l.worker_.counters().connection_accepted();
          arriving known{client.fd, client.family, client.peer, std::move(*counted)};
          l.shake_hands(std::move(known));
        } else {
          l.shake_hands(std::move(client));
        }
      });
}

void listener::shake_hands(arriving client) {
  if (!tls_) {
    begin(std::move(client));
    return;
  }
  const int fd = client.fd;
  if (!worker_.requests().admit_handshake(client.counted.client())) {
    worker_.refused_connection(*this, client.peer, core::reason::too_many_requests, "TLS handshakes");
    ::close(fd);
    return;
  }
  start_tls(worker_.context(), worker_.wheel(), tls_->current(), fd, worker_.settings().timeouts.head,
            worker_.fronts(),
            [self = self_, client = std::move(client)](std::expected<plain_side, front_failure> got) mutable {
              if (*self == nullptr) {
                if (got) ::close(got->fd);
                return;
              }
              if (!got) {
                (*self)->failed(client, got.error());
                return;
              }
              client.fd = got->fd;
              client.family = AF_UNIX;
              if (got->certificate) {
                client.peer.certificate =
                    std::make_shared<const identity::certificate_names>(std::move(*got->certificate));
              }
              (*self)->begin(std::move(client));
            });
}

void listener::failed(const arriving& client, const front_failure& why) noexcept {
  if (!why.silent) worker_.refused_connection(*this, client.peer, why.reason, why.text);
}

void listener::begin(arriving client) {
  if (!worker_.buffers().has_one()) {
    say_and_close(client.fd, core::reason::out_of_buffers,
                  worker_.refused_connection(*this, client.peer, core::reason::out_of_buffers));
    return;
  }
  stream_socket socket(worker_.context().get_executor());
  error_code error;
  socket.assign(asio::generic::stream_protocol(client.family, client.family == AF_UNIX ? 0 : IPPROTO_TCP),
                client.fd, error);
  if (error) {
    ::close(client.fd);
    return;
  }
  session::start(std::make_unique<session>(worker_, *this, std::move(socket), std::move(client.peer),
                                           std::move(client.counted)));
}

void listener::find_peer(int fd, client_peer& peer) noexcept {
  if (unix_) {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    peer.connected =
        static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
  }
  if (demands_.peer) {
    if (const auto found = unix_ ? identity::unix_peer(fd) : worker_.peers().find(fd)) {
      peer.local = *found;
    } else {
      peer.no_local = found.error();
    }
    return;
  }
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (unix_ && ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0)
    peer.local = identity::local_peer{.uid = credentials.uid, .pid = credentials.pid};
}

void listener::shed() noexcept {
  bool any = false;
  for (int i = 0; i < accepts_per_turn; ++i) {
    if (spare_ >= 0) ::close(std::exchange(spare_, -1));
    const int fd = ::accept4(socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) break;
    any = true;
    worker_.counters().connection_accepted();
    say_and_close(fd, core::reason::out_of_descriptors,
                  worker_.refused_connection(*this, {}, core::reason::out_of_descriptors));
    worker_.counters().connection_closed();
  }
  if (!any) worker_.counters().limit_hit(core::reason::out_of_descriptors);
  spare_ = open_spare();
  rest_.arm(timer_wheel::tick);
}

}  // namespace exeat::proxy
