#include "load/origin.hpp"

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>

#include "load/channel.hpp"
#include "load/pump.hpp"

namespace exeat::bench {

namespace {

constexpr std::size_t piece = std::size_t{16} << 10;

/// One accepted connection. Deletes itself when it is over.
class visited : public waiter {
 public:
  visited(channel connection, served& seen) : connection_{std::move(connection)}, seen_{seen} {
    ++seen_.live;
  }
  ~visited() override { --seen_.live; }
  visited(const visited&) = delete;
  visited& operator=(const visited&) = delete;

  void ready(std::uint32_t) final {
    if (!go_on()) {
      delete this;
    }
  }

 protected:
  channel connection_;
  served& seen_;

 private:
  /// Does what can be done now; false: it is over.
  virtual bool go_on() = 0;
};

/// Sends back what comes.
class echo final : public visited {
 public:
  using visited::visited;

 private:
  bool go_on() override {
    static std::array<char, piece> scratch;
    while (true) {
      if (!waiting_.empty()) {
        std::string_view rest = waiting_;
        const io state = connection_.send(rest);
        waiting_.erase(0, waiting_.size() - rest.size());
        if (state != io::done) {
          return state == io::again;
        }
      }
      std::size_t got = 0;
      const io state = connection_.receive(scratch.data(), scratch.size(), got);
      if (state != io::done) {
        return state == io::again;
      }
      seen_.octets += got;
      std::string_view rest{scratch.data(), got};
      const io sent = connection_.send(rest);
      if (sent != io::done && sent != io::again) {
        return false;
      }
      waiting_ = rest;
    }
  }

  std::string waiting_;
};

/// Answers GET, for as long as the client keeps the connection. Reads heads only as far as a bench's requests
/// need.
class pages final : public visited {
 public:
  using visited::visited;

 private:
  bool go_on() override {
    static std::array<char, piece> scratch;
    while (true) {
      std::string_view rest = std::string_view{answer_}.substr(sent_);
      const io state = connection_.send(rest);
      sent_ = answer_.size() - rest.size();
      if (state != io::done) {
        return state == io::again;
      }
      if (last_) {
        return false;
      }
      if (take_request()) {
        continue;
      }
      std::size_t got = 0;
      const io read = connection_.receive(scratch.data(), scratch.size(), got);
      if (read != io::done) {
        return read == io::again;
      }
      seen_.octets += got;
      asked_.append(scratch.data(), got);
      if (asked_.size() > (std::size_t{64} << 10)) {
        return false;
      }
    }
  }

  /// Turns the next whole head of `asked_` into `answer_`.
  bool take_request() {
    const auto end = asked_.find("\r\n\r\n");
    if (end == std::string::npos) {
      return false;
    }
    const std::string_view head{asked_.data(), end + 2};
    const auto line = head.substr(0, head.find("\r\n"));
    const auto target = line.substr(0, line.rfind(' '));
    std::size_t size = 0;
    const auto slash = target.rfind('/');
    const bool understood =
        line.starts_with("GET ") && slash != std::string_view::npos &&
        std::from_chars(target.data() + slash + 1, target.data() + target.size(), size).ec == std::errc{} &&
        size <= (std::size_t{16} << 20);
    last_ = !understood || line.ends_with("HTTP/1.0") || says_close(head);
    ++seen_.requests;
    if (!understood) {
      size = 0;
    }
    if (size != size_ || closing_ != last_ || answer_.empty()) {
      answer_ = fmt::format(
          "HTTP/1.1 {}\r\nContent-Type: application/octet-stream\r\nCache-Control: "
          "no-store\r\nContent-Length: "
          "{}\r\n{}\r\n",
          understood ? "200 OK" : "400 Bad Request", size, last_ ? "Connection: close\r\n" : "");
      answer_.append(size, 'x');
      size_ = size;
      closing_ = last_;
    }
    sent_ = 0;
    asked_.erase(0, end + 4);
    return true;
  }

  static bool says_close(std::string_view head) {
    for (auto at = head.find("\r\n"); at != std::string_view::npos && at + 2 < head.size();
         at = head.find("\r\n", at + 2)) {
      const auto field = head.substr(at + 2);
      if (field.size() > 17 && strncasecmp(field.data(), "connection: close", 17) == 0) {
        return true;
      }
    }
    return false;
  }

  std::string asked_;
  std::string answer_;
  std::size_t sent_ = 0;
  std::size_t size_ = 0;
  bool closing_ = false;
  bool last_ = false;
};

class listener final : public waiter {
 public:
  listener(loop& events, const offer& what, served& seen, int descriptor)
      : events_{events}, what_{what}, seen_{seen}, descriptor_{descriptor} {
    events_.add(descriptor_, *this);
  }
  ~listener() override { close(descriptor_); }
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  void ready(std::uint32_t) override {
    int descriptor = -1;
    while ((descriptor = accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      const int yes = 1;
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
      ++seen_.connections;
      welcome(descriptor);
    }
  }

 private:
  // Whoever is made here deletes itself; those that live at the end of the process end with it.
  void welcome(int descriptor) {
    if (what_.what == service::stream) {
      new pump{events_, descriptor, what_.sends, what_.receives, seen_.octets};
      return;
    }
    channel connection{descriptor};
    if (what_.what == service::http) {
      events_.add(descriptor, *new pages{std::move(connection), seen_});
      return;
    }
    if (what_.tls != nullptr) {
      connection.secure(what_.tls, "");
    }
    events_.add(descriptor, *new echo{std::move(connection), seen_});
  }

  loop& events_;
  offer what_;
  served& seen_;
  int descriptor_;
};

int listen_on(std::uint16_t port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int yes = 1;
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(descriptor, 8192) != 0) {
    throw std::system_error{errno, std::system_category(), fmt::format("origin: port {}", port)};
  }
  return descriptor;
}

}  // namespace

origin::origin(loop& events, const offer& what, std::uint16_t first, std::uint16_t last) {
  const unsigned count = first == 0 ? 8 : last - first + 1U;
  ports_.reserve(count);
  listeners_.reserve(count);
  for (unsigned i = 0; i < count; ++i) {
    const int descriptor = listen_on(first == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(first + i));
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    getsockname(descriptor, reinterpret_cast<sockaddr*>(&bound), &size);
    ports_.push_back(ntohs(bound.sin_port));
    listeners_.push_back(std::make_unique<listener>(events, what, *seen_, descriptor));
  }
}

origin::~origin() = default;

}  // namespace exeat::bench
