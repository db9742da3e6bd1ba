// How the octets of a plain HTTP exchange move: at once where the sockets allow it, through Asio where
// somebody has to wait.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "proxy/http_exchange.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {

task<std::size_t> http_exchange::read_origin(std::size_t most) {
  // Trouble, or a deadline, from before this read found nothing to wake.
  if (trouble_ != core::reason::allowed || session_.timed_out_) co_return 0;
  auto room = answer_->room();
  if (room.empty()) {
    origin_error_ = asio::error::no_buffer_space;
    co_return 0;
  }
  room = room.first(std::min(room.size(), most));
  if (more_ && may_go_on()) {
    const auto got = ::recv(origin_->socket.native_handle(), room.data(), room.size(), MSG_DONTWAIT);
    more_ = got == static_cast<std::ptrdiff_t>(room.size());
    if (got >= 0 || (errno != EAGAIN && errno != EINTR)) {
      origin_error_ = got < 0 ? error_code(errno, asio::error::get_system_category()) : error_code{};
      if (got <= 0) co_return 0;
      answer_->commit(static_cast<std::size_t>(got));
      moving();
      co_return static_cast<std::size_t>(got);
    }
  }
  at_once_ = 0;
  const auto [error, count] =
      co_await origin_->socket.async_read_some(asio::buffer(room.data(), room.size()), no_throw);
  answer_->commit(count);
  more_ = count == room.size();
  origin_error_ = error == asio::error::eof ? error_code{} : error;
  if (count != 0) moving();
  co_return count;
}

namespace {

std::array<asio::const_buffer, 4> buffers_of(const std::array<std::string_view, 4>& parts) noexcept {
  std::array<asio::const_buffer, 4> out;
  for (std::size_t i = 0; i < parts.size(); ++i) out[i] = asio::buffer(parts[i].data(), parts[i].size());
  return out;
}

std::uint64_t size_of(const std::array<std::string_view, 4>& parts) noexcept {
  std::uint64_t sum = 0;
  for (const auto& part : parts) sum += part.size();
  return sum;
}

// Takes the first `count` octets off.
void trim(std::array<std::string_view, 4>& parts, std::size_t count) noexcept {
  for (auto& part : parts) {
    const auto gone = std::min(part.size(), count);
    part.remove_prefix(gone);
    count -= gone;
  }
}

// What the kernel takes without waiting. 0: nothing, or an error, which it will tell again.
std::size_t send_some(int fd, const std::array<std::string_view, 4>& parts) noexcept {
  std::array<iovec, 4> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  for (const auto& part : parts) {
    if (!part.empty()) pieces[message.msg_iovlen++] = {const_cast<char*>(part.data()), part.size()};
  }
  const auto sent = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

// So many reads and writes at once, of 32 KiB at most each, keep the others waiting for less than 100 us.
constexpr std::uint8_t most_at_once = 16;

}  // namespace

task<void> http_exchange::others_first() {
  at_once_ = 0;
  co_await asio::post(awaiting);
}

bool http_exchange::may_go_on() noexcept {
  if (at_once_ >= most_at_once) return false;
  ++at_once_;
  return true;
}

void http_exchange::count_moved(way way, std::uint64_t count) noexcept {
  const auto up = way == way::up ? count : 0;
  const auto down = way == way::down ? count : 0;
  up_ += up;
  down_ += down;
  worker_.counters().bytes(record_.slot, up, down);
  record_.count_moved(up, down);
}

bool http_exchange::send_at_once(way way, parts& what) noexcept {
  if (cut_ || !may_go_on()) return false;
  const auto size = size_of(what);
  octet_claim claim(record_.limits, way, size);
  if (!claim) return false;
  answer_started_ |= way == way::down;
  auto& socket = way == way::down ? session_.client_ : origin_->socket;
  const auto count = send_some(socket.native_handle(), what);
  claim.settle(count);
  if (count == 0) return false;
  note_excess(way);
  count_moved(way, count);
  moving();
  trim(what, count);
  return count == size;
}

void http_exchange::client_failed() noexcept {
  if (session_.timed_out_) {
    download_trouble(core::reason::idle_timeout, "the client read nothing in time");
  } else {
    download_trouble(core::reason::client_closed, "the client closed before it had the whole answer");
  }
  answer_started_ = true;  // nobody is there to be told otherwise
}

task<bool> http_exchange::to_client(parts what, bool final) {
  if (cut_) co_return false;
  const auto size = size_of(what);
  octet_claim claim(record_.limits, way::down, size);
  if (!claim && !co_await await_claim(claim, way::down, size)) co_return false;
  answer_started_ |= final;
  at_once_ = 0;
  const auto [error, count] = co_await asio::async_write(session_.client_, buffers_of(what), no_throw);
  claim.settle(count);
  note_excess(way::down);
  count_moved(way::down, count);
  if (error) {
    client_failed();
  } else {
    moving();
  }
  co_return !error;
}

task<bool> http_exchange::to_origin(parts what) {
  if (cut_) co_return false;
  const auto size = size_of(what);
  octet_claim claim(record_.limits, way::up, size);
  if (!claim && !co_await await_claim(claim, way::up, size)) co_return false;
  at_once_ = 0;
  const auto [error, count] = co_await asio::async_write(origin_->socket, buffers_of(what), no_throw);
  claim.settle(count);
  note_excess(way::up);
  count_moved(way::up, count);
  if (!error) moving();
  co_return !error;
}

void http_exchange::moving() noexcept {
  const auto& timeouts = worker_.settings().timeouts;
  if (!body_done_ && !origin_deaf_ && !answer_started_) {
    // A body that drips is one that stands still.
    const auto least = std::max<std::uint64_t>(
        1, worker_.settings().limits.body_rate * static_cast<std::uint64_t>(timeouts.idle.count()) / 1000);
    if (uploading_ && up_ - upload_mark_ < least) return;
    uploading_ = true;
    upload_mark_ = up_;
    session_.arm(timeouts.idle);
    return;
  }
  uploading_ = false;
  const bool waiting = (body_done_ || origin_deaf_) && !answer_started_;
  // One deadline for the head of the answer, however many octets it drips in.
  if (waiting && waiting_) return;
  waiting_ = waiting;
  session_.arm(waiting ? timeouts.response : timeouts.idle);
}

}  // namespace exeat::proxy
