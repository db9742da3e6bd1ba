#include "proxy/dns_channel.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace exeat::proxy {
namespace {

/// ares_library_init once in the process, before the first channel; thread-safe as a local static is.
int library_status() {
  static const int status = ares_library_init(ARES_LIB_INIT_ALL);
  return status;
}

constexpr int udp_size = 1232;  // fits any path that IPv6 allows (DNS flag day 2020)

std::chrono::milliseconds try_timeout(const dns_channel::options& options) {
  // c-ares doubles it with every round over the servers: 1 + 2 + 4 + ...
  const auto rounds = (std::size_t{1} << std::clamp(options.tries, 1U, 8U)) - 1;
  const auto shares = static_cast<std::int64_t>(std::max<std::size_t>(options.servers.size(), 1) * rounds);
  return std::max(std::min(options.timeout * 9 / 10 / shares, options.try_timeout),
                  std::chrono::milliseconds(20));
}

/// From the kernel. c-ares 1.18 draws its own from rand() where it cannot read /dev/urandom (CVE-2023-31147).
std::optional<std::uint16_t> random_id() noexcept {
  std::uint16_t id = 0;
  if (::getrandom(&id, sizeof id, 0) != sizeof id) return std::nullopt;
  return id;
}

/// What a whole reply says, in the library's words (RFC 1035 4.1.1).
int status_of(std::span<const unsigned char> reply) noexcept {
  constexpr std::size_t head = 12;
  if (reply.size() < head) return ARES_EBADRESP;
  const bool any_answer = (reply[6] | reply[7]) != 0;
  switch (reply[3] & 0x0F) {
    case 0:
      return any_answer ? ARES_SUCCESS : ARES_ENODATA;
    case 1:
      return ARES_EFORMERR;
    case 2:
      return ARES_ESERVFAIL;
    case 3:
      return ARES_ENOTFOUND;
    case 4:
      return ARES_ENOTIMP;
    default:
      return ARES_EREFUSED;
  }
}

}  // namespace

/// A socket of c-ares under Asio's eyes. Never owns it: c-ares closes it, after we have let go of it.
struct dns_channel::watched {
  watched(asio::io_context& context, ares_socket_t socket) : fd(socket), stream(context.get_executor()) {}
  ares_socket_t fd;
  descriptor stream;
  bool closed = false;
  bool wanted[2] = {false, false};  // read, write
  bool armed[2] = {false, false};
};

struct dns_channel::question {
  dns_channel* channel;
  std::unique_ptr<dns_reply_slot> slot;
};

dns_channel::dns_channel(asio::io_context& context) : context_(context), timer_(context.get_executor()) {}

std::expected<std::unique_ptr<dns_channel>, std::string> dns_channel::open(asio::io_context& context,
                                                                           const options& options) {
  if (const int status = library_status(); status != ARES_SUCCESS)
    return std::unexpected(fmt::format("c-ares does not start: {}", ares_strerror(status)));
  std::unique_ptr<dns_channel> made(new dns_channel(context));
  if (const int status = made->initialise(options); status != ARES_SUCCESS)
    return std::unexpected(fmt::format("c-ares does not start: {}", ares_strerror(status)));
  return made;
}

int dns_channel::initialise(const options& options) {
  ares_options with{};
  with.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS;
  with.timeout = static_cast<int>(try_timeout(options).count());
  with.tries = static_cast<int>(std::clamp(options.tries, 1U, 8U));
  with.ndots = 0;
  with.ednspsz = udp_size;
  char lookups[] = "b";
  with.lookups = lookups;
  char no_file[] = "";  // the servers come from us, and so does every limit
  with.resolvconf_path = no_file;
  with.sock_state_cb_data = this;
  with.sock_state_cb = [](void* self, ares_socket_t fd, int read, int write) {
    static_cast<dns_channel*>(self)->socket_state(fd, read != 0, write != 0);
  };
  const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_EDNSPSZ |
                   ARES_OPT_LOOKUPS | ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB;
  if (const int status = ares_init_options(&channel_, &with, mask); status != ARES_SUCCESS) {
    channel_ = nullptr;
    return status;
  }
  std::string servers;
  for (const auto& server : options.servers) servers += (servers.empty() ? "" : ",") + server.to_string();
  return ares_set_servers_ports_csv(channel_, servers.c_str());
}

dns_channel::~dns_channel() {
  if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
  // c-ares has told us of every socket that it closed; should it ever keep one to itself, leave it alone.
  for (const auto& socket : sockets_) {
    socket->closed = true;
    socket->stream.release();
  }
}

void dns_channel::ask(const char* name, int type, std::unique_ptr<dns_reply_slot> slot) {
  ++open_;
  slot->type = type;
  auto asked = std::make_unique<question>(this, std::move(slot));
  constexpr int class_in = 1;
  unsigned char* packet = nullptr;
  int size = 0;
  const auto id = random_id();
  const int status =
      id ? ares_create_query(name, class_in, type, *id, 1, &packet, &size, udp_size) : ARES_ENOTINITIALIZED;
  if (status != ARES_SUCCESS) return answered(std::move(asked), status, {});
  ares_send(
      channel_, packet, size,
      [](void* argument, int outcome, int, unsigned char* message, int octets) {
        std::span<const unsigned char> reply;
        if (message != nullptr && octets > 0) reply = {message, static_cast<std::size_t>(octets)};
        if (outcome == ARES_SUCCESS) outcome = status_of(reply);
        answered(std::unique_ptr<question>(static_cast<question*>(argument)), outcome, reply);
      },
      asked.release());
  ares_free_string(packet);
  arm_timer();
}

void dns_channel::answered(std::unique_ptr<question> done, int status,
                           std::span<const unsigned char> message) {
  done->channel->ended();
  if (done->slot->reply != nullptr) done->slot->reply(done->slot->owner, *done->slot, status, message);
}

void dns_channel::ended() noexcept {
  if (--open_ != 0 || !timer_armed_) return;
  timer_.cancel();  // or the io_context would find work for as long as a try may take
}

void dns_channel::socket_state(ares_socket_t fd, bool read, bool write) {
  auto at = std::ranges::find(sockets_, fd, [](const auto& socket) { return socket->fd; });
  if (!read && !write) {
    if (at == sockets_.end()) return;
    (*at)->closed = true;
    (*at)->stream.release();  // out of epoll before c-ares closes it
    sockets_.erase(at);
    return;
  }
  if (at == sockets_.end()) {
    auto added = std::make_shared<watched>(context_, fd);
    error_code error;
    added->stream.assign(fd, error);
    if (error) return;  // its questions time out
    sockets_.push_back(std::move(added));
    at = sockets_.end() - 1;
  }
  const auto socket = *at;
  socket->wanted[0] = read;
  socket->wanted[1] = write;
  watch(socket, false);
  watch(socket, true);
}

void dns_channel::watch(const std::shared_ptr<watched>& socket, bool write) {
  if (socket->closed || !socket->wanted[write] || socket->armed[write]) return;
  socket->armed[write] = true;
  socket->stream.async_wait(
      write ? descriptor::wait_write : descriptor::wait_read, [this, socket, write](error_code error) {
        socket->armed[write] = false;
        if (socket->closed || error) return;  // closed: `this` may be gone
        if (!socket->wanted[write]) return;
        ares_process_fd(channel_, write ? ARES_SOCKET_BAD : socket->fd, write ? socket->fd : ARES_SOCKET_BAD);
        watch(socket, write);
      });
}

void dns_channel::arm_timer() {
  if (timer_armed_ || open_ == 0) return;
  timeval longest{60, 0};
  timeval wait{};
  if (ares_timeout(channel_, &longest, &wait) == nullptr) return;
  timer_armed_ = true;
  timer_.expires_after(std::chrono::seconds(wait.tv_sec) + std::chrono::microseconds(wait.tv_usec) +
                       std::chrono::milliseconds(1));
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](error_code error) {
    if (alive.expired()) return;
    timer_armed_ = false;
    if (!error) ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    arm_timer();  // also where the last answer cancelled it and the next question came before this ran
  });
}

}  // namespace exeat::proxy
