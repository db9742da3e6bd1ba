// Octets between the client and the plain side, and every way in which they end.
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>

#include "proxy/abrupt_end.hpp"
#include "proxy/tls_connection.hpp"

namespace exeat::proxy {
namespace {

using namespace std::chrono_literals;

// What one way may move before the others of this worker have their turn.
constexpr std::size_t turn = 4 * live_fronts::scratch_size;
constexpr auto leave_time = 30s;  // for the client to take some of what its session left behind
constexpr auto linger_time = 2s;  // for it to close as well, lest our close destroys what it has not read
constexpr std::size_t linger_octets = std::size_t{256} * 1024;

bool would_block() noexcept {
  return errno == EAGAIN || errno == EWOULDBLOCK;
}

}  // namespace

void tls_connection::move_octets() {
  const auto up = state_ == state::open ? client_to_session() : flow::blocked;
  const auto down = up == flow::failed ? flow::failed : session_to_client();
  if (up == flow::failed || down == flow::failed) return abort();
  if (client_told_ && (state_ == state::leaving || session_told_)) return linger();
  if (client_ended_) wait(tcp_, descriptor::wait_error, waits_.tcp_error, &tls_connection::client_hung_up);
  if (up == flow::more || down == flow::more)
    asio::post(tcp_.get_executor(), [self = shared_from_this()] { self->step(); });
}

// True: all of it is gone, or nobody wants it any more.
bool tls_connection::give_session(std::span<const char> octets) {
  const bool kept = octets.data() == up_.rest().data();
  while (!octets.empty()) {
    const auto n = ::send(plain_.native_handle(), octets.data(), octets.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      octets = octets.subspan(static_cast<std::size_t>(n));
      if (kept) up_.taken(static_cast<std::size_t>(n));
    } else if (would_block()) {
      if (!kept) up_.keep(octets, pair_size_);
      wait(plain_, descriptor::wait_write, waits_.plain_write);
      return false;
    } else if (errno != EINTR) {
      up_.clear();  // closed: session_hung_up() comes next
      return true;
    }
  }
  return true;
}

tls_connection::flow tls_connection::client_to_session() {
  for (std::size_t moved = 0;;) {
    if (!up_.empty() && !give_session(up_.rest())) return flow::blocked;
    if (client_ended_) {
      if (!std::exchange(session_told_, true)) ::shutdown(plain_.native_handle(), SHUT_WR);
      return flow::blocked;
    }
    if (moved >= turn) return flow::more;
    // As many records as there are at once.
    auto room = scratch();
    auto last = outcome::again;
    bool dry = false;
    while (!dry && !room.empty()) {
      ERR_clear_error();
      const int n = SSL_read(ssl_.get(), room.data(), static_cast<int>(room.size()));
      if (n > 0) {
        room = room.subspan(static_cast<std::size_t>(n));
      } else {
        last = outcome_of(n);
        dry = true;
      }
    }
    const auto got = scratch().first(live_fronts::scratch_size - room.size());
    if (last == outcome::failed) {
      give_session(got);  // what came before the end is sound
      return flow::failed;
    }
    if (last == outcome::ended) client_ended_ = true;
    moved += got.size();
    if (!got.empty() && !give_session(got)) return flow::blocked;
    if (dry && !client_ended_) return flow::blocked;
  }
}

// Takes off what the client took; ended: all of it.
tls_connection::outcome tls_connection::give_client(std::span<const char>& octets) {
  while (!octets.empty()) {
    ERR_clear_error();
    const int n = SSL_write(ssl_.get(), octets.data(), static_cast<int>(octets.size()));
    if (n <= 0) return outcome_of(n) == outcome::again ? outcome::again : outcome::failed;
    octets = octets.subspan(static_cast<std::size_t>(n));
    if (state_ == state::leaving) deadline_.arm(leave_time);
  }
  return outcome::ended;
}

tls_connection::flow tls_connection::session_to_client() {
  for (std::size_t moved = 0;;) {
    if (!down_.empty()) {
      auto rest = down_.rest();
      const auto before = rest.size();
      const auto given = give_client(rest);
      if (given == outcome::failed) return flow::failed;
      down_.taken(before - rest.size());
      if (given == outcome::again) return flow::blocked;
    }
    if (session_ended_) return say_goodbye();
    if (moved >= turn) return flow::more;
    const auto n = ::recv(plain_.native_handle(), scratch().data(), scratch().size(), MSG_DONTWAIT);
    if (n > 0) {
      std::span<const char> octets = scratch().first(static_cast<std::size_t>(n));
      moved += octets.size();
      const auto given = give_client(octets);
      if (given == outcome::failed) return flow::failed;
      if (!octets.empty()) {
        // SSL_write wants to see the same octets again.
        down_.keep(octets, pair_size_);
        return flow::blocked;
      }
    } else if (n == 0) {
      session_ended_ = true;
    } else if (would_block()) {
      wait(plain_, descriptor::wait_read, waits_.plain_read);
      return flow::blocked;
    } else if (errno != EINTR) {
      return flow::failed;  // the session closed with octets of the client unread, as good as a reset
    }
  }
}

tls_connection::flow tls_connection::say_goodbye() {
  if (client_told_) return flow::blocked;
  ERR_clear_error();
  // Sends close_notify; called again only where that was not possible yet (it would read, else).
  const int result = SSL_shutdown(ssl_.get());
  if (result < 0) return outcome_of(result) == outcome::again ? flow::blocked : flow::failed;
  client_told_ = true;
  return flow::blocked;
}

void tls_connection::session_hung_up() noexcept {
  pollfd now{.fd = plain_.native_handle(), .events = 0, .revents = 0};
  try {
    if (::poll(&now, 1, 0) <= 0) {
      wait(plain_, descriptor::wait_error, waits_.plain_error, &tls_connection::session_hung_up);
      return;
    }
    if (ended_abruptly(plain_.native_handle())) return abort();
    if (state_ == state::open) leave();
    step();
  } catch (const std::exception&) {
    abort();
  }
}

// While we have not ended our own way, only a reset makes the kernel say so.
void tls_connection::client_hung_up() noexcept {
  state_ == state::lingering ? step() : abort();
}

void tls_connection::leave() {
  state_ = state::leaving;
  session_fd_ = -1;
  up_.clear();
  deadline_.arm(leave_time);
  unlink();
  if (!std::exchange(leaving_, true)) ++fronts_->leaving_count;
  fronts_->leaving.push_back(*this);
  if (fronts_->leaving_count > live_fronts::most_leaving && &fronts_->leaving.front() != this)
    fronts_->leaving.front().abort();
}

void tls_connection::linger() {
  if (!leaving_) leave();
  state_ = state::lingering;
  error_code ignored;
  plain_.close(ignored);
  down_.clear();
  ssl_.reset();
  ::shutdown(tcp_.native_handle(), SHUT_WR);
  deadline_.arm(linger_time);
  discard();
}

void tls_connection::discard() {
  for (;;) {
    const auto n = ::recv(tcp_.native_handle(), scratch().data(), scratch().size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && would_block()) return wait(tcp_, descriptor::wait_read, waits_.tcp_read);
    if (n <= 0) return end();
    discarded_ += static_cast<std::size_t>(n);
    if (discarded_ > linger_octets) return end();
  }
}

void tls_connection::end() noexcept {
  state_ = state::ended;
  deadline_.disarm();
  unlink();
  if (std::exchange(leaving_, false)) --fronts_->leaving_count;
  session_fd_ = -1;
  error_code ignored;
  plain_.close(ignored);
  tcp_.close(ignored);
  done_ = nullptr;
  ssl_.reset();
  up_.clear();
  down_.clear();
  memory_.clear();
  handshake_memory_.clear();
}

// A unix socket's peer sees ECONNRESET where the end that closes has octets unread. The session's own end can
// put one there, as long as it may still write; where not, the mark is all that tells an abrupt end from EOF.
void tls_connection::reset_session() noexcept {
  if (!plain_.is_open()) return;
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (session_fd_ >= 0 && ::getsockopt(session_fd_, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 &&
      cookie == session_cookie_)
    (void)::send(session_fd_, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  end_abruptly_on_close(plain_.native_handle());
}

void tls_connection::abort() noexcept {
  if (state_ == state::ended) return;
  const auto self = shared_from_this();
  reset_session();
  end_abruptly_on_close(tcp_.native_handle());
  end();
}

}  // namespace exeat::proxy
