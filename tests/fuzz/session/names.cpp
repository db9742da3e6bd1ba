#include "tests/fuzz/session/names.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "proxy/dns_test_server.hpp"
#include "tests/fuzz/expect.hpp"
#include "tests/fuzz/session/stage.hpp"

namespace exeat::fuzz {
namespace {

using proxy::testing::message;
constexpr int a = proxy::testing::type_a;

struct question {
  std::uint16_t id = 0;
  std::string name;
  int type = 0;
};

unsigned u16(std::string_view octets, std::size_t at) {
  return static_cast<unsigned>(static_cast<unsigned char>(octets[at]) << 8 |
                               static_cast<unsigned char>(octets[at + 1]));
}

std::optional<question> read(std::string_view octets) {
  if (octets.size() < 17) return std::nullopt;
  question out{.id = static_cast<std::uint16_t>(u16(octets, 0)), .name = {}, .type = 0};
  std::size_t at = 12;
  while (at < octets.size() && octets[at] != '\0') {
    const auto size = static_cast<unsigned char>(octets[at]);
    if (!out.name.empty()) out.name += '.';
    out.name += octets.substr(at + 1, size);
    at += 1U + size;
  }
  if (at + 5 > octets.size()) return std::nullopt;
  out.type = static_cast<int>(u16(octets, at + 1));
  return out;
}

// The truth knows IPv4 alone.
std::string truth(const question& q, std::string_view owner) {
  message out(q.id, owner, q.type);
  const auto o = origin_of(q.name);
  if (o && q.type == a) out.address(owner, stage::get().address(*o).to_string());
  return out.octets();
}

std::string with_address(const question& q, std::string_view address) {
  message out(q.id, q.name, q.type);
  if (q.type == a) out.address(q.name, address);
  return out.octets();
}

}  // namespace

name_server& name_server::get() {
  static name_server only;
  return only;
}

name_server::name_server() {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int tries = 0; tries < 20 && udp_ < 0; ++tries) {
    tcp_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    at.sin_port = 0;
    socklen_t size = sizeof at;
    EXPECT(::bind(tcp_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && ::listen(tcp_, 16) == 0);
    EXPECT(::getsockname(tcp_, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    udp_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (::bind(udp_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) break;
    ::close(std::exchange(udp_, -1));
    ::close(tcp_);
  }
  EXPECT(udp_ >= 0);
  port_ = ntohs(at.sin_port);
}

void name_server::reset() {
  later_.clear();
  accept();
  const linger now{1, 0};
  for (const int fd : clients_) {
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd);
  }
  clients_.clear();
  std::array<char, 64> sink;
  while (::recv(udp_, sink.data(), sink.size(), 0) >= 0) {
  }
}

void name_server::accept() {
  for (;;) {
    const int fd = ::accept4(tcp_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    clients_.push_back(fd);
  }
}

std::string name_server::reply_to(std::string_view octets, answering how, bool tcp,
                                  const std::function<void(std::string_view)>& asked) {
  const auto q = read(octets);
  EXPECT(q);  // c-ares writes them
  asked(q->name);
  // Whoever answers for an upstream proxy's name says where everything goes; that is the operator's word.
  const auto who = origin_of(q->name);
  const bool of_hop = who == origin::hop || who == origin::hop_2;
  if (of_hop && (how == answering::lie || how == answering::metadata || how == answering::mixed ||
                 how == answering::other_name))
    how = answering::truth;
  switch (how) {
    case answering::silence:
      return {};
    case answering::nothing:
      return message(q->id, q->name, q->type).octets();
    case answering::no_name:
      return message(q->id, q->name, q->type, 3).octets();
    case answering::failure:
      return message(q->id, q->name, q->type, 2).octets();
    case answering::lie:
      return with_address(*q, stage::get().address(origin::no).to_string());
    case answering::metadata:
      return with_address(*q, "169.254.169.254");
    case answering::mixed: {
      message out(q->id, q->name, q->type);
      const auto o = origin_of(q->name);
      if (o && q->type == a) {
        out.address(q->name, stage::get().address(*o).to_string());
        out.address(q->name, "10.0.0.1");
      }
      return out.octets();
    }
    case answering::alias: {
      message out(q->id, q->name, q->type);
      out.cname(q->name, "no.test");
      const auto o = origin_of(q->name);
      if (o && q->type == a) out.address("no.test", stage::get().address(*o).to_string());
      return out.octets();
    }
    case answering::truncated:
      if (!tcp) return message(q->id, q->name, q->type, 0, true).octets();
      return truth(*q, q->name);
    case answering::garbage: {
      auto out = truth(*q, q->name);
      for (std::size_t i = 12; i < out.size(); i += 3) out[i] = static_cast<char>(out[i] ^ 0x5a);
      return out;
    }
    case answering::other_name:
      return truth(*q, "web.test.");
    case answering::many: {
      message out(q->id, q->name, q->type);
      if (const auto o = origin_of(q->name); o && q->type == a) {
        for (int i = 0; i < 40; ++i) out.address(q->name, stage::get().address(*o).to_string());
      }
      return out.octets();
    }
    case answering::truth:
    case answering::later:
      break;
  }
  return truth(*q, q->name);
}

bool name_server::step(answering how, const std::function<void(std::string_view)>& asked) {
  bool any = false;
  std::array<char, 2048> buffer;
  for (;;) {
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const auto n =
        ::recvfrom(udp_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 0) break;
    any = true;
    auto reply = reply_to({buffer.data(), static_cast<std::size_t>(n)}, how, false, asked);
    if (reply.empty()) continue;
    if (how == answering::later) {
      later_.push_back({from, std::move(reply)});
    } else {
      (void)::sendto(udp_, reply.data(), reply.size(), 0, reinterpret_cast<const sockaddr*>(&from),
                     sizeof from);
    }
  }
  accept();
  for (const int fd : clients_) {
    const auto n = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 2) continue;
    any = true;
    const auto reply = reply_to({buffer.data() + 2, static_cast<std::size_t>(n) - 2}, how, true, asked);
    if (reply.empty()) continue;
    std::string framed{static_cast<char>(reply.size() >> 8), static_cast<char>(reply.size())};
    framed += reply;
    (void)::send(fd, framed.data(), framed.size(), MSG_NOSIGNAL);
  }
  return any;
}

bool name_server::release() {
  const bool any = !later_.empty();
  for (const auto& one : later_)
    (void)::sendto(udp_, one.reply.data(), one.reply.size(), 0, reinterpret_cast<const sockaddr*>(&one.to),
                   sizeof one.to);
  later_.clear();
  return any;
}

}  // namespace exeat::fuzz
