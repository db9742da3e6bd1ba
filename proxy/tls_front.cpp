#include "proxy/tls_front.hpp"

#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "proxy/tls_connection.hpp"
#include "proxy/tls_names.hpp"

namespace exeat::proxy {
namespace {

constexpr std::string_view answer_to_http =
    "HTTP/1.1 400 tls-handshake\r\nProxy-Status: exeat; error=http_request_error; "
    "details=\"tls-handshake\"\r\n"
    "Content-Type: text/plain\r\nContent-Length: 76\r\nConnection: close\r\n\r\n"
    "This proxy speaks TLS: its URL begins with https:// where yours has http://\n";

// What OpenSSL holds for a connection that moves octets, its buffers included.
constexpr std::size_t openssl_octets = std::size_t{48} * 1024;
// What it holds besides until the handshake is over: a message as long as its first record says, which for a
// ClientHello are up to 131396.
constexpr std::size_t handshake_octets = std::size_t{132} * 1024;

std::string text_of_upstream_error(unsigned long error) {
  const char* reason = ERR_reason_error_string(error);
  switch (ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0) {
    case SSL_R_WRONG_VERSION_NUMBER:
      return "what it sends is not TLS: its URL may begin with http:// in truth";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "it knows no TLS version from 1.2 on";
    default:
      return std::string("the handshake failed: ") + (reason == nullptr ? "no reason is known" : reason);
  }
}

std::string text_of_handshake_error(unsigned long error) {
  const char* reason = ERR_reason_error_string(error);
  switch (ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return "the client speaks HTTP without TLS: its proxy URL begins with http://, not https://";
    case SSL_R_UNSUPPORTED_PROTOCOL:
      return "the client knows no TLS version from 1.2 on";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "the client sent no certificate";
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return "the client wants another protocol than HTTP/1.1 (ALPN)";
    default:
      return std::string("the handshake failed: ") + (reason == nullptr ? "no reason is known" : reason);
  }
}

std::string_view text_of_late_handshake(bool toward_upstream, bool silent) {
  if (!toward_upstream) return "the handshake was not complete within timeouts.head";
  return silent ? "nothing came within timeouts.connect that would be TLS: is it an http:// proxy?"
                : "the handshake was not complete within timeouts.connect";
}

}  // namespace

void tls_connection::start(int fd, std::chrono::milliseconds timeout) {
  if (!memory_.grow(openssl_octets) || !handshake_memory_.grow(handshake_octets)) {
    ::close(fd);
    state_ = state::ended;
    asio::post(tcp_.get_executor(), [self = shared_from_this()] {
      if (auto done = std::exchange(self->done_, nullptr))
        done(std::unexpected(
            front_failure{.reason = core::reason::out_of_buffers, .text = "no memory for TLS"}));
    });
    return;
  }
  error_code error;
  tcp_.assign(fd, error);
  if (error) {
    ::close(fd);
    state_ = state::ended;
    asio::post(tcp_.get_executor(), [self = shared_from_this(), why = error.message()] {
      if (auto done = std::exchange(self->done_, nullptr))
        done(std::unexpected(front_failure{.reason = core::reason::internal_error, .text = why}));
    });
    return;
  }
  fronts_->all.push_back(*this);
  socket_.fd = fd;
  deadline_.arm(timeout);
  asio::post(tcp_.get_executor(), [self = shared_from_this()] { self->begin(); });
}

void tls_connection::begin() noexcept {
  if (state_ == state::ended) return;
  ERR_clear_error();
  ssl_.reset(SSL_new(tls_->native()));
  auto* bio = ssl_ ? new_tls_bio(socket_) : nullptr;
  if (bio == nullptr) return abort();  // out of memory
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), &certificate_fault_);
  if (!tls_->prepare(ssl_.get())) return abort();
  step();
}

void tls_connection::step() noexcept {
  socket_.allowance = live_fronts::scratch_size;
  try {
    switch (state_) {
      case state::shaking_hands:
        return shake_hands();
      case state::open:
      case state::leaving:
        return move_octets();
      case state::lingering:
        return discard();
      case state::ended:
        return;
    }
  } catch (const std::exception&) {
    abort();  // out of memory
  }
}

void tls_connection::wait(descriptor& on, descriptor::wait_type what, bool& flag,
                          void (tls_connection::*then)() noexcept) {
  if (flag) return;
  flag = true;
  on.async_wait(what, [self = shared_from_this(), &flag, then](error_code error) {
    flag = false;
    if (error || self->state_ == state::ended) return;
    then == nullptr ? self->step() : (self.get()->*then)();
  });
}

tls_connection::outcome tls_connection::outcome_of(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      wait(tcp_, descriptor::wait_read, waits_.tcp_read);
      return outcome::again;
    case SSL_ERROR_WANT_WRITE:
      wait(tcp_, descriptor::wait_write, waits_.tcp_write);
      return outcome::again;
    case SSL_ERROR_ZERO_RETURN:
      return outcome::ended;
    default:
      return outcome::failed;
  }
}

void tls_connection::shake_hands() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return open();
  if (outcome_of(result) != outcome::again) fail(handshake_failure());
}

front_failure tls_connection::handshake_failure() {
  front_failure out{.reason = core::reason::tls_handshake};
  const auto error = ERR_peek_last_error();
  if (!certificate_fault_.text.empty()) {
    out.text = certificate_fault_.text;
  } else if (tls_->server() != nullptr) {
    out.text = error != 0 ? text_of_upstream_error(error) : "it closed the connection within the handshake";
    return out;
  } else if (error != 0) {
    out.text = text_of_handshake_error(error);
  } else {
    out.silent = socket_.received == 0;
    out.text = out.silent ? "the client closed the connection without an octet"
                          : "the client closed the connection within the handshake";
  }
  const int code = ERR_GET_REASON(error);
  if (code == SSL_R_HTTP_REQUEST || code == SSL_R_HTTPS_PROXY_REQUEST)
    (void)::send(socket_.fd, answer_to_http.data(), answer_to_http.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return out;
}

void tls_connection::fail(front_failure failure) {
  auto done = std::exchange(done_, nullptr);
  linger();  // for an alert to be read
  if (done) done(std::unexpected(std::move(failure)));
}

void tls_connection::open() {
  plain_side out;
  if (tls_->server() != nullptr &&
      (SSL_get0_peer_certificate(ssl_.get()) == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK))
    return fail(
        {.reason = core::reason::tls_handshake, .text = "the upstream's certificate was not verified"});
  if (tls_->asks_for_certificate()) {
    const auto* certificate = SSL_get0_peer_certificate(ssl_.get());
    // FAIL_IF_NO_PEER_CERT has seen to it; nothing but a verified one gets on from here.
    if (certificate == nullptr || SSL_get_verify_result(ssl_.get()) != X509_V_OK)
      return fail(
          {.reason = core::reason::tls_handshake, .text = "the client's certificate was not verified"});
    out.certificate = names_of(*certificate);
    if (!out.certificate)
      return fail({.reason = core::reason::tls_handshake,
                   .text = "the client's certificate has more names than 256"});
  }
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
    const bool full = errno == EMFILE || errno == ENFILE;
    return fail({.reason = full ? core::reason::out_of_descriptors : core::reason::internal_error,
                 .text = std::strerror(errno)});
  }
  error_code error;
  plain_.assign(pair[0], error);
  if (error) {
    ::close(pair[0]);
    ::close(pair[1]);
    return fail({.reason = core::reason::internal_error, .text = error.message()});
  }
  socklen_t size = sizeof session_cookie_;
  if (::getsockopt(pair[1], SOL_SOCKET, SO_COOKIE, &session_cookie_, &size) == 0) session_fd_ = pair[1];
  int kept = 0;
  socklen_t kept_size = sizeof kept;
  if (::getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &kept, &kept_size) == 0 && kept > 0)
    pair_size_ = static_cast<std::size_t>(kept);
  handshake_memory_.clear();
  deadline_.arm(stall_watch::interval(fronts_->stall));
  state_ = state::open;
  out.fd = pair[1];
  wait(plain_, descriptor::wait_error, waits_.plain_error, &tls_connection::session_hung_up);
  // What the client sent right behind its handshake may be here already, and bring no event.
  asio::post(tcp_.get_executor(), [self = shared_from_this()] { self->step(); });
  if (auto done = std::exchange(done_, nullptr)) done(std::move(out));
}

void tls_connection::deadline_passed(void* which) noexcept {
  const auto self = static_cast<tls_connection*>(which)->shared_from_this();
  if (self->state_ == state::lingering) return self->end();
  if (self->state_ == state::open) {
    // A tunnel in the session's place looks for itself, and gives the reason: a little earlier than this one.
    if (self->watch_.is_stalled(self->socket_.fd, self->socket_.sent, self->down_.rest().size(),
                                stall_watch::parts + 1))
      return self->abort();
    self->deadline_.arm(stall_watch::interval(self->fronts_->stall));
    return;
  }
  if (self->state_ != state::shaking_hands) return self->abort();
  auto done = std::exchange(self->done_, nullptr);
  const bool silent = self->socket_.received == 0;
  self->abort();
  if (done)
    done(std::unexpected(
        front_failure{.reason = core::reason::tls_handshake,
                      .text = std::string(text_of_late_handshake(self->tls_->server() != nullptr, silent)),
                      .silent = silent}));
}

void start_tls(asio::io_context& context, timer_wheel& wheel, std::shared_ptr<const tls_context> tls, int fd,
               std::chrono::milliseconds handshake_timeout, live_fronts& fronts, tls_done done) {
  std::make_shared<tls_connection>(context, wheel, std::move(tls), fronts, std::move(done))
      ->start(fd, handshake_timeout);
}

}  // namespace exeat::proxy
