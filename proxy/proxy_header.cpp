#include "proxy/proxy_header.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <memory>
#include <utility>

#include "proxy/abrupt_end.hpp"

namespace exeat::proxy {
namespace {

class header_reader final : public live_front, public std::enable_shared_from_this<header_reader> {
 public:
  header_reader(asio::io_context& context, timer_wheel& wheel, live_fronts& fronts, proxied_done done)
      : fronts_(fronts.state()),
        socket_(context.get_executor()),
        deadline_(wheel, &header_reader::deadline_passed, this),
        done_(std::move(done)) {}

  void start(int fd, std::chrono::milliseconds timeout) {
    error_code error;
    socket_.assign(fd, error);
    if (error) ::close(fd);
    if (!error) fronts_->all.push_back(*this);
    deadline_.arm(timeout);
    asio::post(socket_.get_executor(), [self = shared_from_this(), error] {
      if (error) return self->fail({.reason = core::reason::internal_error, .text = error.message()});
      self->read();
    });
  }

  void abort() noexcept override {
    if (!socket_.is_open()) return;
    const auto self = shared_from_this();
    done_ = nullptr;
    end_abruptly_on_close(socket_.native_handle());
    close();
  }

  void drain() noexcept override {
    if (!any_) abort();
  }

 private:
  void read() noexcept {
    try {
      while (socket_.is_open()) {
        if (!take()) return;
      }
    } catch (const std::exception&) {
      abort();  // out of memory
    }
  }

  // True: there may be more to read at once.
  bool take() {
    std::array<std::uint8_t, wire::proxy_header_parser::max_size> seen;
    const int fd = socket_.native_handle();
    const auto n = ::recv(fd, seen.data(), seen.size(), MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      socket_.async_wait(descriptor::wait_read, [self = shared_from_this()](error_code error) {
        if (!error) self->read();
      });
      return false;
    }
    if (n <= 0) {
      fail({.reason = core::reason::bad_proxy_protocol,
            .text = any_ ? "the connection ended within the PROXY header"
                         : "the connection ended without an octet",
            .silent = !any_});
      return false;
    }
    any_ = true;
    // What belongs to the header is taken off the socket as it comes, so that nothing is looked at twice.
    const auto step = parser_.feed(std::span(seen).first(static_cast<std::size_t>(n)));
    if (::recv(fd, seen.data(), step.taken, MSG_DONTWAIT) != static_cast<::ssize_t>(step.taken)) {
      fail({.reason = core::reason::bad_proxy_protocol,
            .text = "the connection failed within the PROXY header"});
      return false;
    }
    if (step.status == wire::parse_status::error) {
      fail({.reason = core::reason::bad_proxy_protocol, .text = std::string(parser_.error().detail)});
      return false;
    }
    if (step.status == wire::parse_status::need_more) return true;
    deadline_.disarm();
    unlink();
    const proxied out{socket_.release(), parser_.header()};
    if (auto done = std::exchange(done_, nullptr)) done(out);
    return false;
  }

  void close() noexcept {
    deadline_.disarm();
    unlink();
    error_code ignored;
    socket_.close(ignored);
  }

  void fail(front_failure failure) {
    close();
    if (auto done = std::exchange(done_, nullptr)) done(std::unexpected(std::move(failure)));
  }

  static void deadline_passed(void* which) noexcept {
    const auto self = static_cast<header_reader*>(which)->shared_from_this();
    self->fail({.reason = core::reason::bad_proxy_protocol,
                .text = "the PROXY header was not complete within timeouts.head",
                .silent = !self->any_});
  }

  std::shared_ptr<live_fronts::shared> fronts_;
  descriptor socket_;
  deadline deadline_;
  proxied_done done_;
  wire::proxy_header_parser parser_;
  bool any_ = false;
};

}  // namespace

void read_proxy_header(asio::io_context& context, timer_wheel& wheel, int fd,
                       std::chrono::milliseconds timeout, live_fronts& fronts, proxied_done done) {
  std::make_shared<header_reader>(context, wheel, fronts, std::move(done))->start(fd, timeout);
}

}  // namespace exeat::proxy
