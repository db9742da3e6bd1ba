#include "proxy/relay.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "proxy/abrupt_end.hpp"
#include "proxy/keep_alive.hpp"

namespace exeat::proxy {
namespace {

constexpr std::size_t scratch_size = 64 * 1024;
// What one direction may move before the others have their turn.
constexpr std::size_t turn_budget = 1024 * 1024;
constexpr int events_per_wait = 128;

constexpr side other(side s) noexcept {
  return s == side::client ? side::origin : side::client;
}
constexpr std::size_t index(side s) noexcept {
  return static_cast<std::size_t>(s);
}

bool would_block() noexcept {
  return errno == EAGAIN || errno == EWOULDBLOCK;
}

constexpr way way_from(side s) noexcept {
  return s == side::client ? way::up : way::down;
}

std::string_view text_of_failure(side s) noexcept {
  return s == side::client ? std::string_view("the client's connection failed")
                           : std::string_view("the origin's connection failed");
}

// The plain side of TLS, a client's or an upstream's, sees EOF for an abort, too.
template <typename Endpoint>
bool is_cut(const Endpoint& source) noexcept {
  return source.is_pair && ended_abruptly(source.fd);
}

int new_epoll() {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "epoll");
  return fd;
}

}  // namespace

tunnel::tunnel(class relay& relay, std::unique_ptr<tunnel_owner> owner, int client, int origin)
    : relay_(&relay),
      owner_(std::move(owner)),
      stall_(relay.wheel_, &relay::look_for_stall, this),
      last_moved_(std::chrono::steady_clock::now()) {
  ends_[index(side::client)] = {.of = this, .fd = client, .which = side::client, .watch = {}};
  ends_[index(side::origin)] = {.of = this, .fd = origin, .which = side::origin, .watch = {}};
}

relay::relay(asio::io_context& context, timer_wheel& wheel, options options)
    : context_(context),
      wheel_(wheel),
      options_(options),
      pipes_(std::make_shared<pipe_pool>(options.pipes)),
      epoll_(new_epoll()),
      edges_(context, epoll_, &relay::edge, this),
      scratch_(std::make_unique_for_overwrite<char[]>(scratch_size)),
      feed_(wheel, &relay::feed_starved, this),
      self_(std::make_shared<relay*>(this)) {}

relay::~relay() {
  *self_ = nullptr;
  ready_.clear();
  starved_.clear();
  all_.clear_and_dispose([](tunnel* t) {
    for (auto& end : t->ends_) ::close(end.fd);
    for (auto& way : t->ways_) {
      if (way.pipe.valid()) {
        ::close(way.pipe.read_end);
        ::close(way.pipe.write_end);
      }
    }
    delete t;
  });
  edges_.stop();
  ::close(epoll_);
}

void relay::edge(void* self) noexcept {
  auto& r = *static_cast<relay*>(self);
  r.collect();
  r.run_ready();
}

bool relay::add(std::unique_ptr<tunnel_owner> owner, int client, int origin, const head_start& start) {
  auto* t = new tunnel(*this, std::move(owner), client, origin);
  all_.push_back(*t);
  ++size_;
  auto& up = t->ways_[index(side::client)];
  auto& down = t->ways_[index(side::origin)];
  up.bytes = start.already_up;
  down.bytes = start.already_down;
  t->meter_ = start.limits;
  t->ends_[index(side::client)].is_pair = start.client_is_pair;
  t->ends_[index(side::origin)].is_pair = start.origin_is_pair;
  if (!hold(up, start.early_up.data(), start.early_up.size()) ||
      !hold(down, start.early_down.data(), start.early_down.size())) {
    finish(*t, core::reason::out_of_buffers, "no memory for what came in advance", true);
    return false;
  }
  for (auto& end : t->ends_) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &end;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, end.fd, &event) != 0) {
      finish(*t, core::reason::internal_error, "epoll refused the socket", true);
      return false;
    }
  }
  const auto limit = [&](std::unique_ptr<deadline>& by, std::chrono::milliseconds after,
                         deadline::callback then) {
    if (after <= std::chrono::milliseconds::zero()) return true;
    by.reset(new (std::nothrow) deadline(wheel_, then, t));
    if (by) by->arm(after);
    return by != nullptr;
  };
  if (!limit(t->idle_, options_.idle, &relay::idle_expired) ||
      !limit(t->total_, options_.total, &relay::total_expired)) {
    finish(*t, core::reason::out_of_buffers, "no memory for its deadlines", true);
    return false;
  }
  t->stall_.arm(stall_watch::interval(options_.stall));
  if (!t->stall_.armed()) keep_origin_alive(*t);
  // Adding to an epoll set reports the present state as an edge; octets held already need no edge.
  if (!start.early_up.empty() || !start.early_down.empty()) make_ready(*t);
  return true;
}

bool relay::hold(tunnel::direction& way, const char* data, std::size_t size) noexcept {
  if (size == 0) return true;
  if (options_.memory && !options_.memory->take(size)) return false;
  way.held_size = static_cast<std::uint32_t>(size);
  way.held.reset(new (std::nothrow) char[size]);
  if (!way.held) {
    let_go(way);
    return false;
  }
  std::memcpy(way.held.get(), data, size);
  way.held_begin = 0;
  way.held_end = static_cast<std::uint32_t>(size);
  return true;
}

void relay::let_go(tunnel::direction& way) noexcept {
  way.held.reset();
  way.held_begin = way.held_end = 0;
  if (const auto size = std::exchange(way.held_size, 0U); options_.memory && size != 0)
    options_.memory->give_back(size);
}

void relay::make_ready(tunnel& t) noexcept {
  if (!t.ready_hook::is_linked()) ready_.push_back(t);
  if (run_posted_) return;
  run_posted_ = true;
  asio::post(context_, [self = self_] {
    auto* r = *self;
    if (r == nullptr) return;
    r->run_posted_ = false;
    r->run_ready();
  });
}

void relay::collect() noexcept {
  std::array<epoll_event, events_per_wait> events;
  for (;;) {
    const int count = ::epoll_wait(epoll_, events.data(), events_per_wait, 0);
    for (int i = 0; i < count; ++i) {
      auto& end = *static_cast<tunnel::endpoint*>(events[static_cast<std::size_t>(i)].data.ptr);
      const auto what = events[static_cast<std::size_t>(i)].events;
      // That of an acknowledged FIN may say only what is known.
      if (what == EPOLLOUT && end.writable) continue;
      if ((what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end.readable = true;
      if ((what & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) end.writable = true;
      if ((what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end.hung_up = true;
      if (!end.of->ready_hook::is_linked()) ready_.push_back(*end.of);
    }
    if (count < events_per_wait) return;
  }
}

bool relay::is_full(tunnel::endpoint& target) noexcept {
  target.writable = false;
  if (target.tells_room) return true;
  // Most sockets never fill, and an edge for each that could take octets would wake us for nothing.
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &target;
  target.tells_room = ::epoll_ctl(epoll_, EPOLL_CTL_MOD, target.fd, &event) == 0;
  return target.tells_room;
}

void relay::run_ready() noexcept {
  // One pass: what becomes ready again during it waits for the next, so that Asio's handlers have their turn.
  ready_list turn;
  turn.swap(ready_);
  while (!turn.empty()) {
    auto& t = turn.front();
    t.ready_hook::unlink();
    serve(t);
  }
}

void relay::serve(tunnel& t) noexcept {
  const auto up = t.ways_[index(side::client)].bytes;
  const auto down = t.ways_[index(side::origin)].bytes;
  bool more = false;
  bool starved = false;
  std::optional<side> exhausted;
  for (const auto from : {side::client, side::origin}) {
    std::string_view error;
    switch (pump(t, from, error)) {
      case pumped::failed:
        finish(t, core::reason::allowed, error, true);
        return;
      case pumped::more:
        more = true;
        break;
      case pumped::starved:
        starved = true;
        break;
      case pumped::exhausted:
        exhausted = from;
        break;
      case pumped::blocked:
        break;
    }
  }
  const auto moved_up = t.ways_[index(side::client)].bytes - up;
  const auto moved_down = t.ways_[index(side::origin)].bytes - down;
  if (moved_up + moved_down != 0) {
    t.owner_->moved(moved_up, moved_down);
    if (t.idle_) t.last_moved_ = std::chrono::steady_clock::now();
  }
  if (exhausted) {
    finish(t, reason_of_limit(way_from(*exhausted)), {}, true);
  } else if (t.ways_[0].finished && t.ways_[1].finished) {
    finish(t, core::reason::allowed, {}, false);
  } else if (more) {
    make_ready(t);
  } else if (starved) {
    starve(t);
  }
}

void relay::starve(tunnel& t) noexcept {
  if (!t.ready_hook::is_linked()) starved_.push_back(t);
  if (!feed_.armed()) feed_.arm(timer_wheel::tick);
}

void relay::feed_starved(void* self) noexcept {
  auto& r = *static_cast<relay*>(self);
  while (!r.starved_.empty()) {
    auto& t = r.starved_.front();
    t.ready_hook::unlink();
    r.make_ready(t);
  }
}

relay::pumped relay::out_of_budget(tunnel& t, side from, std::string_view& error) noexcept {
  if (!t.meter_->is_short(way_from(from))) return pumped::starved;
  // Only an octet too many ends the tunnel: an end, or that there is nothing to read, costs no budget.
  auto& source = t.ends_[index(from)];
  char octet = 0;
  const auto n = ::recv(source.fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0) return pumped::exhausted;
  if (n == 0 && is_cut(source)) {
    error = text_of_failure(from);
    return pumped::failed;
  }
  if (n == 0) {
    t.ways_[index(from)].source_ended = true;
  } else if (would_block()) {
    source.readable = false;
  } else if (errno != EINTR) {
    error = text_of_failure(from);
    return pumped::failed;
  }
  return pumped::more;
}

void relay::settle(tunnel& t, side from, std::size_t claimed, ::ssize_t moved) noexcept {
  if (t.meter_ == nullptr) return;
  t.meter_->settle(way_from(from), claimed, moved > 0 ? static_cast<std::uint64_t>(moved) : 0);
}

relay::pumped relay::flush(tunnel::direction& way, tunnel::endpoint& target) noexcept {
  while (way.held_begin != way.held_end) {
    if (!target.writable) return pumped::blocked;
    const auto n = ::send(target.fd, way.held.get() + way.held_begin, way.held_end - way.held_begin,
                          MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
      if (errno == EINTR) continue;
      return would_block() && is_full(target) ? pumped::blocked : pumped::failed;
    }
    way.held_begin += static_cast<std::uint32_t>(n);
    way.bytes += static_cast<std::uint64_t>(n);
  }
  if (way.held) let_go(way);
  while (way.pipe.filled != 0) {
    if (!target.writable) return pumped::blocked;
    const auto n = ::splice(way.pipe.read_end, nullptr, target.fd, nullptr, way.pipe.filled,
                            SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n < 0) {
      if (errno == EINTR) continue;
      return would_block() && is_full(target) ? pumped::blocked : pumped::failed;
    }
    way.pipe.filled -= static_cast<std::uint32_t>(n);
    way.bytes += static_cast<std::uint64_t>(n);
  }
  return pumped::more;
}

relay::pumped relay::pump(tunnel& t, side from, std::string_view& error) noexcept {
  auto& way = t.ways_[index(from)];
  auto& source = t.ends_[index(from)];
  auto& target = t.ends_[index(other(from))];
  if (way.finished) return pumped::blocked;

  const auto start = way.bytes;
  for (;;) {
    if (const auto state = flush(way, target); state != pumped::more) {
      if (state == pumped::failed) error = text_of_failure(other(from));
      return state;
    }
    if (way.source_ended) {
      // Where the other way has ended as well, the close that follows sends the FIN.
      if (!t.ways_[index(other(from))].finished) ::shutdown(target.fd, SHUT_WR);
      way.finished = true;
      pipes_->give_back(std::exchange(way.pipe, {}));
      return pumped::blocked;
    }
    if (!source.readable) {
      pipes_->give_back(std::exchange(way.pipe, {}));
      return pumped::blocked;
    }
    if (way.bytes - start >= turn_budget) return pumped::more;

    std::size_t most = way.pipe.valid() ? way.pipe.capacity : scratch_size;
    if (t.meter_ != nullptr) {
      most = static_cast<std::size_t>(t.meter_->claim(way_from(from), most));
      if (most == 0) {
        const auto state = out_of_budget(t, from, error);
        if (state != pumped::more) return state;
        continue;
      }
    }

    if (way.pipe.valid()) {
      const auto n =
          ::splice(source.fd, nullptr, way.pipe.write_end, nullptr, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      settle(t, from, most, n);
      if (n > 0) {
        way.pipe.filled += static_cast<std::uint32_t>(n);
      } else if (n == 0 && is_cut(source)) {
        error = text_of_failure(from);
        return pumped::failed;
      } else if (n == 0) {
        way.source_ended = true;
      } else if (would_block()) {
        source.readable = false;
      } else if (errno != EINTR) {
        error = text_of_failure(from);
        return pumped::failed;
      }
      continue;
    }

    if (options_.memory && !options_.memory->has(scratch_size)) {
      if (const auto state = pump_lean(t, from, most, error); state != pumped::more) return state;
      continue;
    }
    const auto n = ::recv(source.fd, scratch_.get(), most, MSG_DONTWAIT);
    settle(t, from, most, n);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (would_block()) {
        source.readable = false;
        continue;
      }
      error = text_of_failure(from);
      return pumped::failed;
    }
    if (n == 0 && is_cut(source)) {
      error = text_of_failure(from);
      return pumped::failed;
    }
    if (n == 0) {
      way.source_ended = true;
      continue;
    }
    const auto got = static_cast<std::size_t>(n);
    // A short read drained the socket: the next octets, or a FIN that was not there yet, bring an edge of
    // their own.
    if (got < most && !source.hung_up) source.readable = false;

    std::size_t sent = 0;
    while (sent < got && target.writable) {
      const auto m = ::send(target.fd, scratch_.get() + sent, got - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (m >= 0) {
        sent += static_cast<std::size_t>(m);
      } else if (errno != EINTR && !(would_block() && is_full(target))) {
        error = text_of_failure(other(from));
        return pumped::failed;
      }
    }
    way.bytes += sent;
    if (sent < got && !hold(way, scratch_.get() + sent, got - sent)) {
      error = "out of memory";
      return pumped::failed;
    }
    if (got == scratch_size) way.pipe = pipes_->borrow();
  }
}

relay::pumped relay::pump_lean(tunnel& t, side from, std::size_t most, std::string_view& error) noexcept {
  auto& way = t.ways_[index(from)];
  auto& source = t.ends_[index(from)];
  auto& target = t.ends_[index(other(from))];
  if (!target.writable) {
    settle(t, from, most, 0);
    return pumped::blocked;
  }
  const auto n = ::recv(source.fd, scratch_.get(), most, MSG_DONTWAIT | MSG_PEEK);
  ::ssize_t sent = 0;
  if (n > 0) {
    sent = ::send(target.fd, scratch_.get(), static_cast<std::size_t>(n), MSG_NOSIGNAL | MSG_DONTWAIT);
    const bool failed = sent < 0 && errno != EINTR && !(would_block() && is_full(target));
    // What is on its way is taken off the source, which has it.
    if (sent > 0) (void)::recv(source.fd, scratch_.get(), static_cast<std::size_t>(sent), MSG_DONTWAIT);
    settle(t, from, most, sent);
    if (failed) {
      error = text_of_failure(other(from));
      return pumped::failed;
    }
    if (sent > 0) way.bytes += static_cast<std::uint64_t>(sent);
    if (sent == n && static_cast<std::size_t>(n) < most && !source.hung_up) source.readable = false;
    return pumped::more;
  }
  const int fault = errno;
  settle(t, from, most, 0);
  if (n == 0 && !is_cut(source)) {
    way.source_ended = true;
  } else if (n < 0 && (fault == EAGAIN || fault == EWOULDBLOCK)) {
    source.readable = false;
  } else if (n == 0 || fault != EINTR) {
    error = text_of_failure(from);
    return pumped::failed;
  }
  return pumped::more;
}

void relay::cut(tunnel& t, core::reason reason, std::string_view error) noexcept {
  finish(t, reason, error, true);
}

void relay::finish(tunnel& t, core::reason reason, std::string_view error, bool reset) noexcept {
  const tunnel_end end{reason, error, t.ways_[index(side::client)].bytes, t.ways_[index(side::origin)].bytes};
  for (auto& e : t.ends_) {
    if (reset) end_abruptly_on_close(e.fd);
    ::close(e.fd);
  }
  for (auto& way : t.ways_) {
    pipes_->give_back(std::exchange(way.pipe, {}));
    if (way.held) let_go(way);
  }
  all_.erase(all_.iterator_to(t));
  --size_;
  t.owner_->ended(end);
  delete &t;
}

void relay::idle_expired(void* which) noexcept {
  auto& t = *static_cast<tunnel*>(which);
  const auto idle = t.relay_->options_.idle;
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - t.last_moved_);
  if (since >= idle) {
    t.relay_->cut(t, core::reason::idle_timeout, "no octet passed within timeouts.tunnel_idle");
  } else {
    t.idle_->arm(idle - since);
  }
}

void relay::total_expired(void* which) noexcept {
  auto& t = *static_cast<tunnel*>(which);
  t.relay_->cut(t, core::reason::tunnel_timeout, "the tunnel was open for timeouts.tunnel");
}

void relay::keep_origin_alive(tunnel& t) noexcept {
  t.origin_kept_ = true;
  auto& origin = t.ends_[index(side::origin)];
  if (!origin.is_pair) keep_alive(origin.fd);
}

void relay::look_for_stall(void* which) noexcept {
  auto& t = *static_cast<tunnel*>(which);
  if (!t.origin_kept_) keep_origin_alive(t);
  for (auto& end : t.ends_) {
    const auto& way = t.ways_[index(other(end.which))];
    if (!end.watch.is_stalled(end.fd, way.bytes, way.held_end - way.held_begin + way.pipe.filled)) continue;
    t.relay_->cut(t, core::reason::tunnel_stalled,
                  end.which == side::client ? "the client takes nothing of what waits for it"
                                            : "the origin takes nothing of what waits for it");
    return;
  }
  t.stall_.arm(stall_watch::interval(t.relay_->options_.stall));
}

}  // namespace exeat::proxy
