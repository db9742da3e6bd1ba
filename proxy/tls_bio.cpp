#include "proxy/tls_bio.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace exeat::proxy {
namespace {

bool would_block() noexcept {
  return errno == EAGAIN || errno == EWOULDBLOCK;
}

int read_some(BIO* bio, char* into, int size) noexcept {
  auto& socket = *static_cast<tls_socket*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  if (socket.allowance == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  for (;;) {
    const auto most = std::min(static_cast<std::size_t>(size), socket.allowance);
    const auto n = ::recv(socket.fd, into, most, MSG_DONTWAIT);
    if (n > 0) {
      socket.received += static_cast<std::uint64_t>(n);
      socket.allowance -= static_cast<std::size_t>(n);
    }
    if (n == 0) socket.ended = true;
    if (n >= 0) return static_cast<int>(n);
    if (errno == EINTR) continue;
    if (would_block()) BIO_set_retry_read(bio);
    return -1;
  }
}

int write_some(BIO* bio, const char* from, int size) noexcept {
  auto& socket = *static_cast<tls_socket*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (size <= 0) return 0;
  for (;;) {
    const auto n = ::send(socket.fd, from, static_cast<std::size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) socket.sent += static_cast<std::uint64_t>(n);
    if (n >= 0) return static_cast<int>(n);
    if (errno == EINTR) continue;
    if (would_block()) BIO_set_retry_write(bio);
    return -1;
  }
}

long control(BIO*, int what, long, void*) noexcept {
  // No octet waits in here; an end is told by ended, lest OpenSSL answer it with an alert.
  return what == BIO_CTRL_FLUSH || what == BIO_CTRL_DUP ? 1 : 0;
}

BIO_METHOD* make_method() noexcept {
  auto* method =
      BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, "exeat socket");
  if (method == nullptr) return nullptr;
  BIO_meth_set_read(method, read_some);
  BIO_meth_set_write(method, write_some);
  BIO_meth_set_ctrl(method, control);
  return method;
}

}  // namespace

BIO* new_tls_bio(tls_socket& socket) noexcept {
  static BIO_METHOD* const method = make_method();
  auto* bio = method == nullptr ? nullptr : BIO_new(method);
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, &socket);
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace exeat::proxy
