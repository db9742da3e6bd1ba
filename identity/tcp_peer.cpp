// sock_diag(7) of one TCP socket.
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "identity/local_peer.hpp"

namespace exeat::identity {
namespace {

// An address as sock_diag writes it: IPv4 in the first word.
struct end_point {
  std::array<std::uint32_t, 4> address{};  // network order
  std::uint16_t port = 0;                  // network order
  bool is_v6 = false;

  bool is_loopback() const noexcept {
    if (!is_v6) return (ntohl(address[0]) >> 24) == 127;
    return address[0] == 0 && address[1] == 0 && address[2] == 0 && address[3] == htonl(1);
  }
  friend bool operator==(const end_point&, const end_point&) = default;
};

// IPv4 that came as IPv6 is looked up as what it is on the wire.
end_point unmapped(end_point from) noexcept {
  if (from.is_v6 && from.address[0] == 0 && from.address[1] == 0 && from.address[2] == htonl(0xffff)) {
    from.address = {from.address[3], 0, 0, 0};
    from.is_v6 = false;
  }
  return from;
}

std::optional<end_point> end_point_of(const ::sockaddr_storage& from) noexcept {
  end_point out;
  if (from.ss_family == AF_INET) {
    ::sockaddr_in v4{};
    std::memcpy(&v4, &from, sizeof v4);
    out.address[0] = v4.sin_addr.s_addr;
    out.port = v4.sin_port;
    return out;
  }
  if (from.ss_family != AF_INET6) return std::nullopt;
  ::sockaddr_in6 v6{};
  std::memcpy(&v6, &from, sizeof v6);
  std::memcpy(out.address.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
  out.port = v6.sin6_port;
  out.is_v6 = true;
  return unmapped(out);
}

end_point end_point_of(const std::uint32_t (&address)[4], std::uint16_t port, std::uint8_t family) noexcept {
  end_point out{.port = port, .is_v6 = family == AF_INET6};
  std::memcpy(out.address.data(), address, out.is_v6 ? sizeof address : sizeof address[0]);
  return unmapped(out);
}

struct request {
  ::nlmsghdr header{};
  ::inet_diag_req_v2 body{};
};

request request_for(const end_point& client, const end_point& own, std::uint32_t sequence) noexcept {
  request out;
  out.header.nlmsg_len = sizeof out;
  out.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  out.header.nlmsg_flags = NLM_F_REQUEST;
  out.header.nlmsg_seq = sequence;
  out.body.sdiag_family = client.is_v6 ? AF_INET6 : AF_INET;
  out.body.sdiag_protocol = IPPROTO_TCP;
  out.body.idiag_states = ~0U;
  // A socket that is bound to a device could share its addresses with one that is not; it is not looked for.
  out.body.id.idiag_if = 0;
  out.body.id.idiag_sport = client.port;
  out.body.id.idiag_dport = own.port;
  std::memcpy(out.body.id.idiag_src, client.address.data(), sizeof out.body.id.idiag_src);
  std::memcpy(out.body.id.idiag_dst, own.address.data(), sizeof out.body.id.idiag_dst);
  out.body.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
  out.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  return out;
}

std::string_view clause_of_state(std::uint8_t state) noexcept {
  switch (state) {
    case TCP_SYN_SENT:
      return "its socket is in state SYN_SENT";
    case TCP_SYN_RECV:
      return "its socket is in state SYN_RECV";
    case TCP_FIN_WAIT1:
      return "its socket is in state FIN_WAIT1: it has ended what it sends";
    case TCP_FIN_WAIT2:
      return "its socket is in state FIN_WAIT2: it has ended what it sends";
    case TCP_TIME_WAIT:
      return "its socket is in state TIME_WAIT";
    case TCP_CLOSE:
      return "its socket is in state CLOSE";
    case TCP_LAST_ACK:
      return "its socket is in state LAST_ACK";
    case TCP_LISTEN:
      return "no such socket in this network namespace (its address belongs to a listener)";
    case TCP_CLOSING:
      return "its socket is in state CLOSING";
    default:
      return "its socket is in a state that this version does not know";
  }
}

std::expected<local_peer, std::string_view> read_answer(const ::inet_diag_msg& body, const char* attributes,
                                                        std::size_t size, const end_point& client,
                                                        const end_point& own) noexcept {
  // Where there is no connection of that name, the kernel offers a listener.
  if (body.idiag_state == TCP_LISTEN) return std::unexpected(clause_of_state(body.idiag_state));
  if (end_point_of(body.id.idiag_src, body.id.idiag_sport, body.idiag_family) != client ||
      end_point_of(body.id.idiag_dst, body.id.idiag_dport, body.idiag_family) != own) {
    return std::unexpected("the kernel answered with another socket");
  }
  // Of a socket that nobody holds any more the kernel says uid 0.
  if (body.idiag_inode == 0) return std::unexpected("its socket is orphaned: it has closed already");
  if (body.idiag_state != TCP_ESTABLISHED && body.idiag_state != TCP_CLOSE_WAIT) {
    return std::unexpected(clause_of_state(body.idiag_state));
  }
  local_peer out{.uid = body.idiag_uid, .inode = body.idiag_inode};
  while (size >= sizeof(::nlattr)) {
    ::nlattr head{};
    std::memcpy(&head, attributes, sizeof head);
    if (head.nla_len < sizeof head || head.nla_len > size) break;
    if ((head.nla_type & NLA_TYPE_MASK) == INET_DIAG_CGROUP_ID &&
        head.nla_len == NLA_HDRLEN + sizeof out.cgroup) {
      std::memcpy(&out.cgroup, attributes + NLA_HDRLEN, sizeof out.cgroup);
    }
    const auto step = static_cast<std::size_t>(NLA_ALIGN(head.nla_len));
    if (step > size) break;
    attributes += step;
    size -= step;
  }
  return out;
}

std::string_view clause_of_error(int error) noexcept {
  switch (error) {
    case ENOENT:
      return "no such socket in this network namespace";
    case EPERM:
    case EACCES:
      return "sock_diag is not permitted";
    default:
      return "sock_diag failed";
  }
}

}  // namespace

tcp_peer_lookup::~tcp_peer_lookup() {
  close();
}

tcp_peer_lookup::tcp_peer_lookup(tcp_peer_lookup&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), sequence_(other.sequence_) {}

tcp_peer_lookup& tcp_peer_lookup::operator=(tcp_peer_lookup&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    sequence_ = other.sequence_;
  }
  return *this;
}

bool tcp_peer_lookup::open() noexcept {
  if (fd_ >= 0) return true;
  fd_ = ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd_ < 0) return false;
  // The kernel has answered by the time that a request has been sent; the limit is for kernels to come.
  const ::timeval limit{.tv_sec = 0, .tv_usec = 100'000};
  if (::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
      ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0) {
    return true;
  }
  close();
  return false;
}

void tcp_peer_lookup::close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::expected<local_peer, std::string_view> tcp_peer_lookup::find(int accepted) noexcept {
  constexpr std::string_view dead = "its connection has ended already";
  ::sockaddr_storage client{};
  ::sockaddr_storage own{};
  ::socklen_t size = sizeof client;
  if (::getpeername(accepted, reinterpret_cast<::sockaddr*>(&client), &size) != 0)
    return std::unexpected(dead);
  size = sizeof own;
  if (::getsockname(accepted, reinterpret_cast<::sockaddr*>(&own), &size) != 0) return std::unexpected(dead);
  const auto found = find(client, own);
  if (!found) return found;
  // A client could send its request, reset the connection and leave its port to somebody else, of whom the
  // answer would be. As long as our end lives, nobody else can have connected under that address.
  ::tcp_info info{};
  size = sizeof info;
  if (::getsockopt(accepted, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
      (info.tcpi_state != TCP_ESTABLISHED && info.tcpi_state != TCP_CLOSE_WAIT)) {
    return std::unexpected(dead);
  }
  return found;
}

std::expected<local_peer, std::string_view> tcp_peer_lookup::find(const ::sockaddr_storage& client,
                                                                  const ::sockaddr_storage& own) noexcept {
  const auto from = end_point_of(client);
  const auto to = end_point_of(own);
  if (!from || !to || from->is_v6 != to->is_v6) return std::unexpected("it is no TCP connection");
  if (!(from->is_loopback() && to->is_loopback()) && from->address != to->address) {
    return std::unexpected("the connection is not a local one");
  }
  if (!open()) return std::unexpected("sock_diag is not available");

  const auto asked = request_for(*from, *to, ++sequence_);
  ::sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ::ssize_t sent = 0;
  do {
    sent =
        ::sendto(fd_, &asked, sizeof asked, 0, reinterpret_cast<const ::sockaddr*>(&kernel), sizeof kernel);
  } while (sent < 0 && errno == EINTR);
  if (sent != static_cast<::ssize_t>(sizeof asked)) {
    const auto clause = clause_of_error(errno == ENOENT ? EIO : errno);
    close();
    return std::unexpected(clause);
  }

  // An answer that came too late for its request may wait before ours.
  for (int tries = 0; tries < 64; ++tries) {
    alignas(::nlmsghdr) std::array<char, 4096> buffer;
    ::sockaddr_nl sender{};
    ::socklen_t sender_size = sizeof sender;
    const auto got = ::recvfrom(fd_, buffer.data(), buffer.size(), MSG_TRUNC,
                                reinterpret_cast<::sockaddr*>(&sender), &sender_size);
    if (got < 0) {
      if (errno == EINTR) continue;
      break;
    }
    // Only the kernel has port 0.
    if (sender_size != sizeof sender || sender.nl_pid != 0) continue;
    const auto size = static_cast<std::size_t>(got);
    ::nlmsghdr head{};
    if (size < sizeof head || size > buffer.size()) continue;
    std::memcpy(&head, buffer.data(), sizeof head);
    if (head.nlmsg_seq != sequence_ || head.nlmsg_len > size) continue;
    if (head.nlmsg_type == NLMSG_ERROR && head.nlmsg_len >= NLMSG_LENGTH(sizeof(::nlmsgerr))) {
      ::nlmsgerr error{};
      std::memcpy(&error, buffer.data() + NLMSG_HDRLEN, sizeof error);
      return std::unexpected(clause_of_error(-error.error));
    }
    constexpr std::size_t before = NLMSG_ALIGN(NLMSG_LENGTH(sizeof(::inet_diag_msg)));
    if (head.nlmsg_type != SOCK_DIAG_BY_FAMILY || head.nlmsg_len < NLMSG_LENGTH(sizeof(::inet_diag_msg)))
      break;
    ::inet_diag_msg body{};
    std::memcpy(&body, buffer.data() + NLMSG_HDRLEN, sizeof body);
    const auto rest = head.nlmsg_len > before ? head.nlmsg_len - before : 0;
    return read_answer(body, buffer.data() + before, rest, *from, *to);
  }
  // Whatever state the socket is in: the next look-up begins with a fresh one.
  close();
  return std::unexpected("sock_diag gave no answer in time");
}

}  // namespace exeat::identity
