#include "load/loop.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace exeat::bench {

namespace {

void put(int epoll, int descriptor, std::uint32_t events, waiter& who) {
  epoll_event event{.events = events, .data = {.ptr = &who}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) {
    fmt::print(stderr, "load: epoll_ctl: {}\n", std::strerror(errno));
    std::exit(1);
  }
}

}  // namespace

loop::loop() : epoll_{epoll_create1(EPOLL_CLOEXEC)} {}

loop::~loop() {
  close(epoll_);
}

void loop::add(int descriptor, waiter& who) {
  put(epoll_, descriptor, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, who);
}

void loop::add_level(int descriptor, std::uint32_t events, waiter& who) {
  put(epoll_, descriptor, events, who);
}

void loop::turn(int milliseconds) {
  const int count = epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), milliseconds);
  for (int i = 0; i < count; ++i) {
    const auto& event = events_[static_cast<std::size_t>(i)];
    static_cast<waiter*>(event.data.ptr)->ready(event.events);
  }
}

}  // namespace exeat::bench
