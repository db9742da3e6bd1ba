#include "admin/admin_server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "admin/api.hpp"
#include "admin/bind.hpp"
#include "admin/live_stream.hpp"
#include "admin/routes.hpp"
#include "identity/local_peer.hpp"
#include "proxy/asio.hpp"

namespace exeat::admin {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using proxy::error_code;
using proxy::no_throw;
using proxy::task;

/// A parser's error as an answer; absent where there is nobody left to answer.
std::optional<response> answer_to(error_code failed) {
  if (failed == http::error::header_limit || failed == http::error::buffer_overflow) {
    return plain(http::status::request_header_fields_too_large, "The head of the request is too large.\n");
  }
  if (failed == http::error::body_limit) {
    return plain(http::status::payload_too_large, "The body of the request is too large.\n");
  }
  if (failed == http::error::end_of_stream || failed == http::error::partial_message) return std::nullopt;
  static const auto& of_http = error_code(http::error::bad_method).category();
  if (failed.category() != of_http) return std::nullopt;
  return plain(http::status::bad_request, "This is not an HTTP request: " + failed.message() + ".\n");
}

class free_fd {
 public:
  explicit free_fd(int fd) noexcept : fd_(fd) {}
  free_fd(free_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~free_fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace

struct admin_server::state {
  state(admin::options wanted, admin::callbacks called)
      : options(std::move(wanted)), callbacks(std::move(called)) {}

  task<void> accept(int listening, door door);
  task<void> serve(int fd, caller from);
  task<void> sample();
  std::optional<response> too_many_watchers() const;
  void run() noexcept;
  caller caller_of(int fd, door door);
  /// How many connections there are of those that this one may crowd out: not those of another door, and no
  /// phase anybody else.
  std::size_t& crowd_of(const caller& from) noexcept;

  admin::options options;
  admin::callbacks callbacks;
  bound_socket at_address;
  bound_socket at_control;
  std::optional<config::endpoint> bound;
  std::array<std::size_t, 4> crowds{};
  identity::tcp_peer_lookup tcp_peers;
  std::optional<live_streams> streams;  ///< outlives what runs in the context
  asio::io_context context{1};
  std::thread thread;
};

namespace {

std::string address_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  asio::ip::tcp::endpoint peer;
  if (size > peer.capacity()) return {};
  std::memcpy(peer.data(), &storage, size);
  peer.resize(size);
  const auto address = peer.address().to_string();
  return fmt::format(fmt::runtime(peer.address().is_v6() ? "[{}]:{}" : "{}:{}"), address, peer.port());
}

}  // namespace

caller admin_server::state::caller_of(int fd, door door) {
  caller out{.door = door};
  const auto peer = door == door::tcp ? tcp_peers.find(fd) : identity::unix_peer(fd);
  if (peer) out.uid = peer->uid;
  out.is_phase = !peer || identity::may_stand_for_a_phase(options.phase_peers, *peer);
  if (door == door::tcp) out.address = address_of(fd);
  return out;
}

std::size_t& admin_server::state::crowd_of(const caller& from) noexcept {
  return crowds[from.is_phase ? 3 : static_cast<std::size_t>(from.door)];
}

task<void> admin_server::state::accept(int listening, door door) {
  // A copy of its own, so that the listener's is closed by its owner alone.
  proxy::descriptor ready(context, ::fcntl(listening, F_DUPFD_CLOEXEC, 0));
  proxy::steady_timer pause(context);
  // Clients of the proxy may take every descriptor that there is: the operator still has these.
  std::vector<free_fd> spare;
  const std::size_t spares = door == door::control ? 4 : 0;
  for (;;) {
    while (spare.size() < spares) {
      spare.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (spare.back().get() >= 0) continue;
      spare.pop_back();
      break;
    }
    auto [failed] = co_await ready.async_wait(proxy::descriptor::wait_read, no_throw);
    if (failed) co_return;
    int fd = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && !spare.empty()) {
      spare.pop_back();
      fd = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    if (fd >= 0) {
      auto from = caller_of(fd, door);
      if (crowd_of(from) < 2 * options.connections) {
        asio::co_spawn(context.get_executor(), serve(fd, std::move(from)), asio::detached);
      } else {
        ::close(fd);  // a 503 takes a descriptor for as long as the client likes to read it
      }
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      // Out of descriptors: they come back, and the connection waits.
      pause.expires_after(std::chrono::milliseconds{100});
      co_await pause.async_wait(no_throw);
    }
  }
}

task<void> admin_server::state::serve(int fd, caller from) {
  free_fd owned(fd);
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0) co_return;
  peer_stream peer(context.get_executor());
  error_code failed;
  const int protocol = local.ss_family == AF_UNIX ? 0 : IPPROTO_TCP;
  peer.socket().assign(asio::generic::stream_protocol(local.ss_family, protocol), owned.get(), failed);
  if (failed) co_return;
  owned.release();

  struct counted {
    explicit counted(std::size_t& all) : all_(all) { ++all_; }
    ~counted() { --all_; }
    std::size_t& all_;
  } const one_more(crowd_of(from));

  beast::flat_buffer buffer(options.head_octets + options.body_octets);
  for (bool keep_alive = true; keep_alive;) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(options.head_octets));
    parser.body_limit(options.body_octets);
    response out;
    std::optional<live_filter> watch;
    std::string session;
    if (crowd_of(from) > options.connections) {
      out = plain(http::status::service_unavailable, "Too many connections to the admin endpoint.\n");
      keep_alive = false;
    } else {
      peer.expires_after(options.request_timeout);
      auto [read_failed, octets] = co_await http::async_read(peer, buffer, parser, no_throw);
      if (read_failed) {
        auto refused = answer_to(read_failed);
        if (!refused) break;
        out = std::move(*refused);
        keep_alive = false;
      } else {
        keep_alive = parser.get().keep_alive();
        auto answered = answer(parser.get(), from, options, callbacks);
        if (answered.denied) {
          proxy::steady_timer wait(context);
          wait.expires_after(options.denied_delay);
          co_await wait.async_wait(no_throw);
        }
        out = std::move(answered.response);
        out.version(parser.get().version());
        watch = std::move(answered.watch);
        session = std::move(answered.session);
      }
    }
    if (watch) {
      if (auto refused = too_many_watchers()) {
        out = std::move(*refused);
        watch.reset();
      } else {
        out.erase(http::field::content_length);  // the end of the connection is the end of it
        keep_alive = false;
      }
    }
    out.keep_alive(keep_alive);
    peer.expires_after(options.write_timeout);
    const bool head = parser.is_header_done() && parser.get().method() == http::verb::head;
    http::response_serializer<http::string_body> serializer(out);
    if (head) {
      auto [write_failed, sent] = co_await http::async_write_header(peer, serializer, no_throw);
      if (write_failed) break;
    } else if (watch) {
      auto [write_failed, sent] = co_await http::async_write_header(peer, serializer, no_throw);
      if (!write_failed) {
        co_await streams->run(peer, std::move(*watch), std::move(session), options.write_timeout);
      }
    } else {
      auto [write_failed, sent] = co_await http::async_write(peer, serializer, no_throw);
      if (write_failed) break;
    }
  }
  // What the peer may still be sending must not turn our answer into a reset.
  peer.socket().shutdown(asio::socket_base::shutdown_send, failed);
  peer.expires_after(std::chrono::seconds{1});
  std::array<char, 1024> rest;
  for (std::size_t budget = 64; budget > 0; --budget) {
    auto [read_failed, octets] = co_await peer.async_read_some(asio::buffer(rest), no_throw);
    if (read_failed) break;
  }
}

std::optional<response> admin_server::state::too_many_watchers() const {
  if (options.api->feed->watchers() < options.watchers) return std::nullopt;
  auto body = api_error(http::status::service_unavailable, "Too many watch already.").body;
  response out{http::status::service_unavailable, 11};
  out.set(http::field::content_type, json_type);
  harden(out);
  out.content_length(body.size());
  out.body() = std::move(body);
  return out;
}

/// For the charts, until the end.
task<void> admin_server::state::sample() {
  proxy::steady_timer timer(context);
  for (;;) {
    options.api->history->take(*options.api->registry);
    timer.expires_after(history::interval);
    auto [failed] = co_await timer.async_wait(no_throw);
    if (failed) co_return;
  }
}

void admin_server::state::run() noexcept {
  for (;;) {
    try {
      context.run();
      return;
    } catch (const std::exception&) {  // a connection ran out of memory: its own end, not ours
    }
  }
}

std::expected<std::unique_ptr<admin_server>, std::string> admin_server::open(admin::options options,
                                                                             admin::callbacks callbacks) {
  auto inside = std::make_unique<state>(std::move(options), std::move(callbacks));
  const auto listen = [&](bound_socket& socket, const config::endpoint& at, const char* key,
                          door door) -> std::expected<void, std::string> {
    auto bound = open_socket(at, key);
    if (!bound) return std::unexpected(std::move(bound.error()));
    socket = std::move(*bound);
    asio::co_spawn(inside->context, inside->accept(socket.fd(), door), asio::detached);
    return {};
  };
  if (inside->options.address) {
    const bool tcp = std::holds_alternative<config::tcp_endpoint>(*inside->options.address);
    auto opened =
        listen(inside->at_address, *inside->options.address, "admin", tcp ? door::tcp : door::socket);
    if (!opened) return std::unexpected(std::move(opened.error()));
    inside->bound = inside->at_address.endpoint();
    inside->options.address = inside->bound;
  }
  if (inside->options.control) {
    auto opened = listen(inside->at_control, *inside->options.control, "control", door::control);
    if (!opened) return std::unexpected(std::move(opened.error()));
  }
  if (const auto* api = inside->options.api) {
    inside->streams.emplace(*api->feed, *api->people, inside->context);
    asio::co_spawn(inside->context, inside->sample(), asio::detached);
  }
  return std::unique_ptr<admin_server>(new admin_server(std::move(inside)));
}

std::expected<void, std::string> admin_server::begin() {
  // Signals are for the main thread; a SIGPIPE here must not end the process.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    state_->thread = std::thread([raw = state_.get()] {
      ::pthread_setname_np(::pthread_self(), "admin");
      const auto working = asio::make_work_guard(raw->context);
      raw->run();
    });
  } catch (const std::system_error& failed) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return std::unexpected(std::string("cannot start the admin thread: ") + failed.what());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return {};
}

std::expected<std::unique_ptr<admin_server>, std::string> admin_server::start(admin::options options,
                                                                              admin::callbacks callbacks) {
  auto opened = open(std::move(options), std::move(callbacks));
  if (!opened) return opened;
  if (auto begun = (*opened)->begin(); !begun) return std::unexpected(std::move(begun.error()));
  return opened;
}

admin_server::admin_server(std::unique_ptr<state> state) noexcept : state_(std::move(state)) {}

admin_server::~admin_server() {
  stop();
}

void admin_server::stop() noexcept {
  state_->context.stop();
  if (state_->thread.joinable()) state_->thread.join();
  if (state_->options.api != nullptr) state_->options.api->feed->set_bell({});
  state_->at_address = {};
  state_->at_control = {};
}

const std::optional<config::endpoint>& admin_server::bound() const noexcept {
  return state_->bound;
}

}  // namespace exeat::admin
