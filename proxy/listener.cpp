#include "proxy/listener.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "proxy/session.hpp"
#include "proxy/socket_address.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {
namespace {

// A burst does not keep the tunnels of this worker waiting.
constexpr int accepts_per_turn = 64;

void prepare_tcp(int fd) noexcept {
  const auto set = [fd](int level, int option, int value) {
    ::setsockopt(fd, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  // A client that vanished without a FIN is noticed in about two minutes; live streams may be silent for
  // hours.
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

// Where no session can be made: best effort, never blocks.
void say_and_close(int fd, core::reason reason) noexcept {
  const auto& row = core::row_of(reason);
  std::string text = "HTTP/1.1 503 limit-reached " + std::string(row.code) +
                     "\r\nProxy-Status: exeat; error=" + std::string(row.proxy_error) + "; details=\"" +
                     std::string(row.code) + "\"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  (void)::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
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
      phase_(bound.configured.phase),
      address_(config::to_string(bound.bound)),
      unix_(std::holds_alternative<config::unix_endpoint>(bound.bound)),
      socket_(worker.context().get_executor(), fd),
      spare_(open_spare()),
      rest_(worker.wheel(), &listener::rested, this),
      self_(std::make_shared<listener*>(this)) {}

listener::~listener() {
  *self_ = nullptr;
  if (spare_ >= 0) ::close(spare_);
}

void listener::start() {
  wait();
}

void listener::stop() noexcept {
  stopped_ = true;
  rest_.disarm();
  error_code ignored;
  socket_.close(ignored);
}

void listener::wait() {
  socket_.async_wait(descriptor::wait_read, [self = self_](error_code error) {
    auto* l = *self;
    if (error || l == nullptr || l->stopped_) return;
    try {
      l->accept_ready();
    } catch (const std::bad_alloc&) {
      l->rest_.arm(timer_wheel::tick);  // that client is lost; those who wait in the queue are not
    }
    if (!l->stopped_ && !l->rest_.armed()) l->wait();
  });
}

void listener::accept_ready() {
  for (int i = 0; i < accepts_per_turn; ++i) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    const int fd = ::accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size,
                             SOCK_NONBLOCK | SOCK_CLOEXEC);
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
}

void listener::admit(int fd, const void* address) {
  client_peer peer;
  if (unix_) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) peer.uid = credentials.uid;
  } else {
    peer.address = address_from(static_cast<const sockaddr*>(address));
    peer.port = port_from(*static_cast<const sockaddr_storage*>(address));
    prepare_tcp(fd);
  }
  worker_.counters().connection_accepted();

  const auto key = peer.key();
  const auto answer = worker_.leases().admit(key);
  if (answer != connection_leases::answer::admitted) {
    const auto reason = answer == connection_leases::answer::total_reached
                            ? core::reason::too_many_connections
                            : core::reason::too_many_of_client;
    worker_.refused_connection(*this, peer, reason);
    say_and_close(fd, reason);
    worker_.counters().connection_closed();
    return;
  }
  admission admitted(worker_, key);
  stream_socket client(worker_.context().get_executor());
  error_code error;
  const int family = unix_ ? AF_UNIX : static_cast<const sockaddr_storage*>(address)->ss_family;
  client.assign(asio::generic::stream_protocol(family, unix_ ? 0 : IPPROTO_TCP), fd, error);
  if (error) {
    ::close(fd);
    return;
  }
  session::start(std::make_unique<session>(worker_, *this, std::move(client), peer, std::move(admitted)));
}

void listener::shed() noexcept {
  bool any = false;
  for (int i = 0; i < accepts_per_turn; ++i) {
    if (spare_ >= 0) ::close(std::exchange(spare_, -1));
    const int fd = ::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) break;
    any = true;
    worker_.counters().connection_accepted();
    worker_.refused_connection(*this, {}, core::reason::out_of_descriptors);
    say_and_close(fd, core::reason::out_of_descriptors);
    worker_.counters().connection_closed();
  }
  if (!any) worker_.counters().limit_hit(core::reason::out_of_descriptors);
  spare_ = open_spare();
  rest_.arm(timer_wheel::tick);
}

void listener::rested(void* self) noexcept {
  auto& l = *static_cast<listener*>(self);
  if (!l.stopped_) l.wait();
}

}  // namespace exeat::proxy
