#include "proxy/dialer.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/container/static_vector.hpp>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "proxy/closing_deadline.hpp"
#include "proxy/dialer_endpoint.hpp"
#include "proxy/keep_alive.hpp"

namespace exeat::proxy {
namespace {

error_code open_socket(tcp_socket& socket, const core::ip_address& address, const dial_options& options) {
  const int fd =
      ::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return {errno, boost::system::system_category()};
  error_code error;
  socket.assign(address.is_v4() ? asio::ip::tcp::v4() : asio::ip::tcp::v6(), fd, error);
  if (error) {
    ::close(fd);
    return error;
  }
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options.keep_alive) keep_alive(fd);
  return {};
}

core::reason reason_of_error(const error_code& error) noexcept {
  if (error.category() != boost::system::system_category()) return core::reason::connect_failed;
  switch (error.value()) {
    case ECONNREFUSED:
      return core::reason::connect_refused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
    case EADDRNOTAVAIL:  // no source address: no path of that family
    case EAFNOSUPPORT:   // nor here
      return core::reason::connect_unreachable;
    case ETIMEDOUT:
      return core::reason::connect_timeout;
    case EMFILE:
    case ENFILE:
      return core::reason::out_of_descriptors;
    default:
      return core::reason::connect_failed;
  }
}

/// What the attempts came to. Of several reasons the one that says most: a descriptor missing is ours to
/// mend, a timeout or a refusal came from a path that exists, unreachable is often but a missing IPv6.
class failures {
 public:
  void add(const core::ip_address& address, const error_code& error) {
    add(address, reason_of_error(error), error.message());
  }
  void add(const core::ip_address& address, core::reason reason, std::string_view text) {
    constexpr std::size_t enough = 400;
    if (rank(reason) > rank(worst_)) worst_ = reason;
    if (detail_.size() > enough) return;
    if (!detail_.empty()) detail_ += "; ";
    detail_ += address.to_string();
    detail_ += ": ";
    detail_ += text;
  }
  dial_failure result(unsigned attempts) && {
    return {worst_.value_or(core::reason::connect_failed), std::move(detail_), attempts};
  }

 private:
  static int rank(std::optional<core::reason> reason) noexcept {
    if (!reason) return 0;
    switch (*reason) {
      case core::reason::connect_unreachable:
        return 1;
      case core::reason::connect_refused:
        return 2;
      case core::reason::connect_timeout:
        return 3;
      case core::reason::out_of_descriptors:
        return 5;
      default:
        return 4;
    }
  }
  std::optional<core::reason> worst_;
  std::string detail_;
};

/// Several attempts at a time. Shared by the coroutine and the handlers, which outlive it on cancellation.
struct race {
  race(asio::io_context& context, timer_wheel& wheel, std::uint16_t to, dial_options with)
      : io(context),
        port(to),
        options(with),
        wake(context.get_executor()),
        limit(wheel, &race::out_of_time, this) {}

  struct attempt {
    tcp_socket socket;
    core::ip_address address;
    bool open = true;
  };

  static void out_of_time(void* self) noexcept {
    auto& me = *static_cast<race*>(self);
    me.timed_out = true;
    me.wake.cancel();
  }

  /// False where it failed at once.
  static bool start(const std::shared_ptr<race>& self, const core::ip_address& address) {
    attempt made{tcp_socket(self->io.get_executor()), address};
    if (const auto error = open_socket(made.socket, address, self->options)) {
      self->failed.add(address, error);
      self->out_of_descriptors = reason_of_error(error) == core::reason::out_of_descriptors;
      return false;
    }
    const auto index = self->attempts.size();
    self->attempts.push_back(std::move(made));
    ++self->running;
    self->attempts[index].socket.async_connect(
        endpoint_of(address, self->port), [self, index](error_code error) { self->ended(index, error); });
    return true;
  }

  void ended(std::size_t index, error_code error) {
    auto& at = attempts[index];
    if (!at.open) return;  // closed by us
    --running;
    if (!error && connected_to_itself(at.socket, at.address, port)) error = asio::error::connection_refused;
    if (error) {
      failed.add(at.address, error);
      failed_addresses.push_back(at.address);
      close(at);
      ++news;
    } else if (!winner) {
      winner = index;
    }
    wake.cancel();
  }

  static void close(attempt& which) noexcept {
    which.open = false;
    error_code ignored;
    which.socket.close(ignored);
  }
  void close_all() noexcept {
    limit.disarm();
    for (auto& at : attempts)
      if (at.open) close(at);
  }

  asio::io_context& io;
  std::uint16_t port;
  dial_options options;
  steady_timer wake;  // the next attempt is due, or something happened
  deadline limit;
  boost::container::static_vector<attempt, max_dialled> attempts;
  address_list failed_addresses;
  failures failed;
  std::optional<std::size_t> winner;
  unsigned running = 0;
  unsigned news = 0;  // attempts that failed since the coroutine looked
  bool timed_out = false;
  bool out_of_descriptors = false;
};

struct close_race {
  std::shared_ptr<race> run;
  ~close_race() { run->close_all(); }
};

/// One address: one socket, one deadline.
task<dial_result> dial_one(asio::io_context& context, timer_wheel& wheel, core::ip_address address,
                           std::uint16_t port, dial_options options, dead_addresses* dead) {
  failures failed;
  tcp_socket socket(context.get_executor());
  if (const auto error = open_socket(socket, address, options)) {
    failed.add(address, error);
    co_return std::unexpected(std::move(failed).result(0));
  }
  closing_deadline limit(wheel, socket);
  limit.arm(options.timeout);
  auto [error] = co_await socket.async_connect(endpoint_of(address, port), no_throw);
  limit.disarm();
  if (!error && !limit.expired() && connected_to_itself(socket, address, port))
    error = asio::error::connection_refused;
  if (!error && !limit.expired()) {
    if (dead != nullptr) dead->remove(address, port);
    co_return dialled{std::move(socket), address, 1};
  }
  if (limit.expired())
    failed.add(address, core::reason::connect_timeout, "no answer");
  else if (error == asio::error::operation_aborted)
    co_return std::unexpected(dial_failure{core::reason::connect_failed, "cancelled", 1});
  else
    failed.add(address, error);
  if (dead != nullptr) dead->add(address, port, dead_addresses::clock::now());
  co_return std::unexpected(std::move(failed).result(1));
}

task<dial_result> dial_many(asio::io_context& context, timer_wheel& wheel, address_list order,
                            std::uint16_t port, dial_options options, dead_addresses* dead) {
  const close_race guard{std::make_shared<race>(context, wheel, port, options)};
  auto& run = *guard.run;
  run.limit.arm(options.timeout);
  std::size_t next = 0;
  bool due = true;
  for (;;) {
    // One attempt when one is due, and one for each that failed (RFC 8305 5: at once).
    unsigned starts = std::exchange(run.news, 0U) + (due ? 1U : 0U);
    if (run.running == 0) starts = std::max(starts, 1U);
    for (; starts != 0 && next < order.size() && !run.out_of_descriptors; ++next)
      if (race::start(guard.run, order[next])) --starts;
    if (run.running == 0) break;

    if (next < order.size() && !run.out_of_descriptors)
      run.wake.expires_after(options.attempt_delay);
    else
      run.wake.expires_at(steady_timer::time_point::max());
    const auto [woken] = co_await run.wake.async_wait(no_throw);
    due = !woken;
    if (run.winner || run.timed_out) break;
    const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
    if (cancelled != asio::cancellation_type::none)
      co_return std::unexpected(dial_failure{core::reason::connect_failed, "cancelled",
                                             static_cast<unsigned>(run.attempts.size())});
  }

  const auto now = dead_addresses::clock::now();
  if (dead != nullptr)
    for (const auto& address : run.failed_addresses) dead->add(address, port, now);
  const auto attempts = static_cast<unsigned>(run.attempts.size());
  if (run.winner) {
    auto& won = run.attempts[*run.winner];
    won.open = false;  // out of the guard's reach
    if (dead != nullptr) {
      // Those that began earlier and have not answered yet cost every request the delay: last, for a while.
      for (std::size_t i = 0; i < *run.winner; ++i)
        if (run.attempts[i].open) dead->add(run.attempts[i].address, port, now);
      dead->remove(won.address, port);
    }
    co_return dialled{std::move(won.socket), won.address, attempts};
  }
  if (run.timed_out)
    for (const auto& at : run.attempts)
      if (at.open) {
        run.failed.add(at.address, core::reason::connect_timeout, "no answer");
        if (dead != nullptr) dead->add(at.address, port, now);
      }
  co_return std::unexpected(std::move(run.failed).result(attempts));
}

}  // namespace

bool connected_to_itself(const tcp_socket& socket, const core::ip_address& address, std::uint16_t port) {
  if (port < 1024) return false;  // not a port that the kernel picks
  error_code error;
  const auto local = socket.local_endpoint(error);
  return !error && local == endpoint_of(address, port);
}

task<dial_result> dial(asio::io_context& context, timer_wheel& wheel,
                       std::span<const core::ip_address> checked, std::uint16_t port, dial_options options,
                       dead_addresses* dead) {
  // Not coroutines themselves: `checked` is read before the first suspension, whoever owns it.
  if (checked.size() == 1) return dial_one(context, wheel, checked.front(), port, options, dead);
  return dial_many(context, wheel, dial_order(checked, port, dead, dead_addresses::clock::now()), port,
                   options, dead);
}

}  // namespace exeat::proxy
