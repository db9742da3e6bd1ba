// relay: the least that any proxy must do, as the limit to compare with. It skips the head of a CONNECT,
// dials the port that stands in it on 127.0.0.1, answers 200 and relays; a GET goes to its port as it came.
// No policy, no log, no resolver, no timeouts. One rule makes refusals comparable: a port below 1024 is
// answered with 403.
//
//     relay ADDRESS:PORT [WORKERS]
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "load/descriptors.hpp"
#include "load/route.hpp"

namespace {

constexpr std::size_t small = std::size_t{16} << 10;  // what fills this goes on by splice
constexpr std::size_t pipe_size = std::size_t{256} << 10;
constexpr std::string_view established = "HTTP/1.1 200 OK\r\n\r\n";
constexpr std::string_view refused =
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct pipe_ends {
  int out = -1;
  int in = -1;
};

struct alignas(16) tunnel {
  std::array<int, 2> sockets{-1, -1};  // client, origin
  std::array<pipe_ends, 2> pipes{};    // what came from that side and could not go on yet
  std::array<std::uint32_t, 2> in_pipe{};
  std::array<bool, 2> hung_up{};  // this side will send no more, but what it has sent may still wait
  std::array<bool, 2> ended{};
  bool connected = false;
  bool dead = false;
  std::string* head = nullptr;  // until the origin is connected
};

class worker {
 public:
  explicit worker(const sockaddr_in& address) : epoll_{epoll_create1(EPOLL_CLOEXEC)} {
    listening_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int yes = 1;
    setsockopt(listening_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    setsockopt(listening_, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
    if (bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listening_, 8192) != 0) {
      std::perror("relay: listen");
      std::exit(1);
    }
    epoll_event event{.events = EPOLLIN | EPOLLET, .data = {.u64 = 0}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listening_, &event);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events{};
    while (true) {
      const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const auto& event = events[static_cast<std::size_t>(i)];
        if (event.data.u64 == 0) {
          accept_all();
        } else {
          auto* who = reinterpret_cast<tunnel*>(event.data.u64 & ~std::uint64_t{1});
          if (!who->dead && !turn(*who, event.data.u64 & 1, event.events)) {
            end(*who);
          }
        }
      }
      for (auto* each : dead_) {
        delete each;
      }
      dead_.clear();
    }
  }

 private:
  void watch(tunnel& who, std::size_t side) {
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                      .data = {.u64 = reinterpret_cast<std::uint64_t>(&who) | side}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, who.sockets[side], &event);
  }

  void accept_all() {
    int descriptor = -1;
    while ((descriptor = accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      auto* who = new tunnel;
      who->sockets[0] = descriptor;
      no_delay(descriptor);
      watch(*who, 0);
    }
  }

  static void no_delay(int descriptor) {
    const int yes = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }

  bool turn(tunnel& who, std::size_t side, std::uint32_t events) {
    who.hung_up[side] = who.hung_up[side] || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (who.sockets[1] < 0) {
      return read_head(who);
    }
    if (!who.connected) {
      if (side == 0) {
        return true;  // read when the origin is there
      }
      return (events & EPOLLERR) == 0 && ((events & EPOLLOUT) == 0 || connected(who));
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && !pass(who, side)) {
      return false;
    }
    // What came from the other side and had to wait may go on now.
    return (events & EPOLLOUT) == 0 || who.pipes[1 - side].in < 0 || pass(who, 1 - side);
  }

  bool read_head(tunnel& who) {
    const auto got = recv(who.sockets[0], scratch_.data(), scratch_.size(), 0);
    if (got <= 0) {
      return got < 0 && errno == EAGAIN;
    }
    if (who.head == nullptr) {
      who.head = new std::string;
    }
    who.head->append(scratch_.data(), static_cast<std::size_t>(got));
    if (who.head->find("\r\n\r\n") == std::string::npos) {
      return who.head->size() < small;
    }
    const auto slashes = who.head->find("://");
    const auto colon = who.head->find(':', slashes == std::string::npos ? 0 : slashes + 3);
    std::uint16_t port = 0;
    if (colon != std::string::npos) {
      std::from_chars(who.head->data() + colon + 1, who.head->data() + who.head->size(), port);
    }
    if (port < 1024) {
      send(who.sockets[0], refused.data(), refused.size(), MSG_NOSIGNAL);
      return false;
    }
    return dial(who, port);
  }

  bool dial(tunnel& who, std::uint16_t port) {
    who.sockets[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    if (who.sockets[1] < 0 ||
        (connect(who.sockets[1], reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
         errno != EINPROGRESS)) {
      return false;
    }
    no_delay(who.sockets[1]);
    watch(who, 1);
    return true;
  }

  bool connected(tunnel& who) {
    who.connected = true;
    std::string head = std::move(*who.head);
    delete who.head;
    who.head = nullptr;
    if (head.starts_with("CONNECT ")) {
      head.erase(0, head.find("\r\n\r\n") + 4);
      if (send(who.sockets[0], established.data(), established.size(), MSG_NOSIGNAL) < 0) {
        return false;
      }
    }
    if (!head.empty() &&
        send(who.sockets[1], head.data(), head.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(head.size())) {
      return false;
    }
    return pass(who, 0);  // its edge may have passed meanwhile
  }

  /// Moves what `from` has sent to the other side, until there is no more or it takes no more.
  bool pass(tunnel& who, std::size_t from) {
    if (who.ended[from]) {
      return true;
    }
    while (true) {
      auto& held = who.pipes[from];
      if (who.in_pipe[from] > 0) {
        const auto moved = splice(held.out, nullptr, who.sockets[1 - from], nullptr, who.in_pipe[from],
                                  SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (moved < 0) {
          return errno == EAGAIN;
        }
        who.in_pipe[from] -= static_cast<std::uint32_t>(moved);
        continue;
      }
      const auto got = held.in >= 0 ? splice(who.sockets[from], nullptr, held.in, nullptr, pipe_size,
                                             SPLICE_F_NONBLOCK | SPLICE_F_MOVE)
                                    : recv(who.sockets[from], scratch_.data(), scratch_.size(), 0);
      if (got <= 0) {
        give_back(held);
        return got == 0 ? over(who, from) : errno == EAGAIN;
      }
      if (held.in >= 0) {
        who.in_pipe[from] = static_cast<std::uint32_t>(got);
        continue;
      }
      if (!pass_on(who, from, static_cast<std::size_t>(got))) {
        return false;
      }
      if (static_cast<std::size_t>(got) < scratch_.size() && !who.hung_up[from] && who.in_pipe[from] == 0) {
        return true;  // a short read: the next octet is a new edge
      }
    }
  }

  /// `size` octets of the scratch buffer go on; what does not waits in a pipe.
  bool pass_on(tunnel& who, std::size_t from, std::size_t size) {
    const auto sent = send(who.sockets[1 - from], scratch_.data(), size, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
      return false;
    }
    const auto went = sent < 0 ? 0 : static_cast<std::size_t>(sent);
    if (went == size && size < scratch_.size()) {
      return true;
    }
    if (!take(who.pipes[from])) {
      return false;
    }
    if (went < size) {
      const auto kept = write(who.pipes[from].in, scratch_.data() + went, size - went);
      if (kept != static_cast<ssize_t>(size - went)) {
        return false;
      }
      who.in_pipe[from] = static_cast<std::uint32_t>(kept);
    }
    return true;
  }

  bool over(tunnel& who, std::size_t from) {
    who.ended[from] = true;
    shutdown(who.sockets[1 - from], SHUT_WR);
    return !who.ended[1 - from];
  }

  bool take(pipe_ends& into) {
    if (!spare_.empty()) {
      into = spare_.back();
      spare_.pop_back();
      return true;
    }
    std::array<int, 2> made{};
    if (pipe2(made.data(), O_NONBLOCK | O_CLOEXEC) != 0) {
      return false;
    }
    fcntl(made[1], F_SETPIPE_SZ, static_cast<int>(pipe_size));
    into = {.out = made[0], .in = made[1]};
    return true;
  }

  void give_back(pipe_ends& held) {
    if (held.in >= 0) {
      spare_.push_back(held);
      held = {};
    }
  }

  void end(tunnel& who) {
    for (std::size_t side = 0; side < 2; ++side) {
      if (who.sockets[side] >= 0) {
        close(who.sockets[side]);
      }
      if (who.pipes[side].in >= 0) {
        close(who.pipes[side].in);
        close(who.pipes[side].out);
      }
    }
    delete who.head;
    who.dead = true;
    dead_.push_back(&who);
  }

  int epoll_;
  int listening_ = -1;
  std::array<char, small> scratch_{};
  std::vector<pipe_ends> spare_;
  std::vector<tunnel*> dead_;
};

}  // namespace

int main(int argc, char** argv) {
  const auto address = argc > 1 ? exeat::bench::address_of(argv[1]) : std::nullopt;
  const int count = argc > 2 ? std::atoi(argv[2]) : 1;
  if (!address || count < 1 || count > 256) {
    std::fprintf(stderr, "usage: relay ADDRESS:PORT [WORKERS]\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  exeat::bench::take_all_descriptors();
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] { worker{*address}.run(); });
  }
  for (auto& each : threads) {
    each.join();
  }
}
