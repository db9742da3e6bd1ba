#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "log/line_sink.hpp"

namespace exeat::log {
namespace {

std::string sentence(std::string_view what, const std::string& path, int error) {
  return fmt::format("{} {}: {}", what, path, std::generic_category().message(error));
}

/// A line that the last run could not finish (killed, disk full) must not swallow our first one.
void end_torn_line(const std::string& path, int fd, off_t size) noexcept {
  const owned_fd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char last = '\n';
  if (reader.get() < 0 || ::pread(reader.get(), &last, 1, size - 1) != 1 || last == '\n') return;
  static_cast<void>(!::write(fd, "\n", 1));
}

class file_sink final : public line_sink {
 public:
  file_sink(metrics::log_sink name, metrics::log_counters& counters, std::string path,
            std::uint64_t rotate_size, std::uint32_t keep)
      : line_sink(name, counters), path_(std::move(path)), rotate_size_(rotate_size), keep_(keep) {}

  std::expected<void, std::string> open() {
    // Non-blocking has a meaning for a FIFO only: without it, one without a reader would stop us here.
    owned_fd fd(
        ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640));
    if (fd.get() < 0) return std::unexpected(sentence("cannot open the log file", path_, errno));
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) return std::unexpected(sentence("cannot examine", path_, errno));
    if (S_ISDIR(status.st_mode)) return std::unexpected(sentence("cannot open the log file", path_, EISDIR));
    regular_ = S_ISREG(status.st_mode);
    size_ = regular_ ? static_cast<std::uint64_t>(status.st_size) : 0;
    if (size_ > 0) end_torn_line(path_, fd.get(), status.st_size);
    rotate_at_ = rotate_size_;
    fd_ = std::move(fd);
    return {};
  }

  std::expected<void, std::string> reopen() override {
    flush_();
    if (auto opened = open(); !opened) {
      count_error();
      return opened;
    }
    forget_torn_line();
    return {};
  }

 protected:
  std::ptrdiff_t hand_over(std::string_view octets) noexcept override {
    for (;;) {
      const ::ssize_t taken = ::write(fd_.get(), octets.data(), octets.size());
      if (taken >= 0) {
        size_ += static_cast<std::uint64_t>(taken);
        return taken;
      }
      if (errno == EAGAIN) return 0;
      if (errno != EINTR) return -1;
    }
  }

  void before_line(std::size_t octets) override {
    if (rotate_size_ == 0 || !regular_ || stuck()) return;
    if (size_ + pending() == 0 || size_ + pending() + octets <= rotate_at_) return;
    flush_();
    if (pending() == 0) rotate();
  }

 private:
  std::string sibling(std::uint32_t number) const { return fmt::format("{}.{}", path_, number); }

  void rotate() {
    if (keep_ == 0) {
      if (::ftruncate(fd_.get(), 0) == 0) {
        size_ = 0;
        return;
      }
    } else {
      for (std::uint32_t i = keep_ - 1; i > 0; --i) std::rename(sibling(i).c_str(), sibling(i + 1).c_str());
      // Not there: somebody else has moved it away; what is left to do is the same.
      const bool moved = std::rename(path_.c_str(), sibling(1).c_str()) == 0 || errno == ENOENT;
      if (moved && open()) return;
    }
    // Rather a file that is too long than lines that are lost; tried again some way on.
    count_error();
    rotate_at_ = size_ + std::min<std::uint64_t>(rotate_size_, 1U << 20);
  }

  std::string path_;
  std::uint64_t rotate_size_;
  std::uint32_t keep_;
  owned_fd fd_;
  bool regular_ = false;
  std::uint64_t size_ = 0;
  std::uint64_t rotate_at_ = 0;
};

}  // namespace

std::expected<std::shared_ptr<line_sink>, std::string> open_file_sink(metrics::log_sink name,
                                                                      metrics::log_counters& counters,
                                                                      const std::string& path,
                                                                      std::uint64_t rotate_size,
                                                                      std::uint32_t keep) {
  auto sink = std::make_shared<file_sink>(name, counters, path, rotate_size, keep);
  if (auto opened = sink->open(); !opened) return std::unexpected(std::move(opened.error()));
  return sink;
}

}  // namespace exeat::log
