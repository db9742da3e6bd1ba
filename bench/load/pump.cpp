#include "load/pump.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace exeat::bench {

namespace {

constexpr std::size_t piece = std::size_t{256} << 10;

}  // namespace

pump::pump(loop& events, int descriptor, bool sends, bool receives, std::uint64_t& received)
    : descriptor_{descriptor}, received_{received} {
  events.add_level(descriptor,
                   (sends ? std::uint32_t{EPOLLOUT} : 0U) | (receives ? std::uint32_t{EPOLLIN} : 0U), *this);
}

pump::~pump() {
  close(descriptor_);
}

void pump::ready(std::uint32_t events) {
  static const std::array<char, piece> zeros{};
  bool gone = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (!gone && (events & EPOLLOUT) != 0) {
    const auto sent = send(descriptor_, zeros.data(), zeros.size(), MSG_NOSIGNAL);
    gone = sent < 0 && errno != EAGAIN;
  }
  if (!gone && (events & EPOLLIN) != 0) {
    const auto got = recv(descriptor_, nullptr, std::size_t{1} << 20, MSG_TRUNC);
    if (got > 0) {
      received_ += static_cast<std::uint64_t>(got);
    }
    gone = got == 0 || (got < 0 && errno != EAGAIN);
  }
  if (gone) {
    delete this;
  }
}

}  // namespace exeat::bench
