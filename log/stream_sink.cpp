#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>
#include <system_error>

#include "log/line_sink.hpp"

namespace exeat::log {
namespace {

/// Without blocking, and without setting O_NONBLOCK on a description that others share.
class stream_sink final : public line_sink {
 public:
  stream_sink(metrics::log_sink name, metrics::log_counters& counters, int fd)
      : line_sink(name, counters), fd_(fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) return;
    socket_ = S_ISSOCK(status.st_mode);
    const bool terminal = ::isatty(fd) == 1;
    if (!terminal && !S_ISFIFO(status.st_mode)) return;
    // A description of our own may be non-blocking. Where /proc does not give one, ask before each write that
    // is small enough not to block then (PIPE_BUF; a terminal promises less).
    own_ = owned_fd(
        ::open(fmt::format("/proc/self/fd/{}", fd).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    if (own_.get() >= 0) {
      fd_ = own_.get();
    } else {
      chunk_ = terminal ? 256 : 4096;
    }
  }

 protected:
  std::ptrdiff_t hand_over(std::string_view octets) noexcept override {
    for (;;) {
      if (chunk_ != everything) {
        pollfd ready{fd_, POLLOUT, 0};
        if (::poll(&ready, 1, 0) == 0) return 0;
      }
      const std::size_t size = std::min(octets.size(), chunk_);
      const ::ssize_t taken = socket_ ? ::send(fd_, octets.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                      : ::write(fd_, octets.data(), size);
      if (taken >= 0) return taken;
      if (errno == EAGAIN) return 0;
      if (errno != EINTR) return -1;
    }
  }

 private:
  static constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();
  int fd_;
  owned_fd own_;
  bool socket_ = false;
  std::size_t chunk_ = everything;
};

/// One datagram per line, as syslog(3) sends them, but never waiting for a daemon that hangs.
class syslog_sink final : public line_sink {
 public:
  syslog_sink(metrics::log_counters& counters, std::string path)
      : line_sink(metrics::log_sink::syslog, counters), path_(std::move(path)) {}

  std::expected<void, std::string> reopen() override {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path)
      return std::unexpected("the path of the syslog socket is too long");
    std::memcpy(address.sun_path, path_.data(), path_.size());
    owned_fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd.get() < 0 ||
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return std::unexpected(fmt::format("cannot reach the syslog socket {}: {}", path_,
                                         std::generic_category().message(errno)));
    }
    fd_ = std::move(fd);
    return {};
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    constexpr int facility = 3;  // daemon
    const int severity = line.level >= spdlog::level::err ? 3 : line.level == spdlog::level::warn ? 4 : 6;
    const std::time_t seconds = spdlog::log_clock::to_time_t(line.time);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    framed_.clear();
    fmt::format_to(std::back_inserter(framed_),
                   "<{}>{} {:2} {:02}:{:02}:{:02} exeat[{}]: ", facility * 8 + severity,
                   months.substr(static_cast<std::size_t>(local.tm_mon) * 3, 3), local.tm_mday, local.tm_hour,
                   local.tm_min, local.tm_sec, ::getpid());
    framed_.append(line.payload.data(), line.payload.size());
    line_sink::sink_it_({spdlog::string_view_t{}, line.level, framed_});
  }

  std::ptrdiff_t hand_over(std::string_view octets) noexcept override {
    const std::size_t line = octets.find('\n');
    for (bool again = true;;) {
      if (::send(fd_.get(), octets.data(), line, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        return static_cast<std::ptrdiff_t>(line + 1);
      }
      if (errno == EAGAIN || errno == ENOBUFS) return 0;
      if (errno == EINTR) continue;
      if (!again || !reopen_quietly()) return -1;  // the daemon was restarted?
      again = false;
    }
  }

 private:
  bool reopen_quietly() noexcept {
    try {
      return reopen().has_value();
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  std::string path_;
  owned_fd fd_;
  std::string framed_;
};

}  // namespace

std::shared_ptr<line_sink> open_stream_sink(metrics::log_sink name, metrics::log_counters& counters, int fd) {
  return std::make_shared<stream_sink>(name, counters, fd);
}

std::expected<std::shared_ptr<line_sink>, std::string> open_syslog_sink(metrics::log_counters& counters,
                                                                        const std::string& socket_path) {
  auto sink = std::make_shared<syslog_sink>(counters, socket_path);
  if (auto opened = sink->reopen(); !opened) return std::unexpected(std::move(opened.error()));
  return sink;
}

}  // namespace exeat::log
