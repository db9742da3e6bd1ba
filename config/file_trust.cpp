#include "config/file_trust.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <optional>
#include <string_view>
#include <utility>

#include "core/units.hpp"

namespace exeat::config {
namespace {

class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// The components of a path, without empty ones and single dots.
std::deque<std::string> components(std::string_view path) {
  std::deque<std::string> out;
  while (!path.empty()) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (!part.empty() && part != ".") out.emplace_back(part);
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  }
  return out;
}

class walk {
 public:
  walk(const std::string& path, read_options options) : path_(path), options_(options) {}

  std::expected<descriptor, error> open() {
    std::string full = path_;
    if (!full.starts_with('/')) {
      std::array<char, PATH_MAX> here{};
      if (::getcwd(here.data(), here.size()) == nullptr)
        return failed("the working directory is gone", errno);
      full = std::string(here.data()) + "/" + path_;
    }
    left_ = components(full);
    if (auto failure = start_at_root()) return std::unexpected(std::move(*failure));
    if (left_.empty()) return complaint(error_kind::unreadable, "this is a directory");
    for (;;) {
      const auto name = std::move(left_.front());
      left_.pop_front();
      auto step = enter(name);
      if (!step) return std::unexpected(std::move(step.error()));
      if (*step) return std::move(**step);
    }
  }

 private:
  std::unexpected<error> complaint(error_kind kind, std::string message) const {
    return std::unexpected(error{.kind = kind, .where = {.file = path_}, .message = std::move(message)});
  }
  std::unexpected<error> failed(std::string_view what, int code) const {
    return complaint(error_kind::unreadable, fmt::format("{}: {}", what, std::strerror(code)));
  }

  std::optional<error> start_at_root() {
    at_ = descriptor(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    shown_.clear();
    struct stat root{};
    if (!at_ || ::fstat(at_.get(), &root) != 0) return failed("/ cannot be opened", errno).error();
    return judge(root, "/");
  }

  // One component further. The file's descriptor where this was the last; empty where there is more to go.
  std::expected<std::optional<descriptor>, error> enter(const std::string& name) {
    const auto shown = shown_ + "/" + name;
    descriptor next(::openat(at_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status{};
    if (!next || ::fstat(next.get(), &status) != 0)
      return failed(fmt::format("{} cannot be opened", shown), errno);
    if (S_ISLNK(status.st_mode)) return follow(next, status, shown);
    if (auto failure = judge(status, shown)) return std::unexpected(std::move(*failure));
    if (S_ISDIR(status.st_mode)) {
      if (left_.empty()) return complaint(error_kind::unreadable, "this is a directory");
      at_ = std::move(next);
      shown_ = shown;
      return std::nullopt;
    }
    if (!left_.empty()) return failed(fmt::format("{} cannot be entered", shown), ENOTDIR);
    if (!S_ISREG(status.st_mode)) return complaint(error_kind::unreadable, "this is not a regular file");
    // Opened again for reading, by name: O_NONBLOCK lest it has become a FIFO. The caller judges this one
    // again.
    descriptor file(::openat(at_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file || ::fstat(file.get(), &status) != 0) return failed("the file cannot be read", errno);
    if (!S_ISREG(status.st_mode)) return complaint(error_kind::unreadable, "this is not a regular file");
    if (auto failure = judge(status, shown)) return std::unexpected(std::move(*failure));
    return std::optional(std::move(file));
  }

  std::expected<std::optional<descriptor>, error> follow(const descriptor& link, const struct stat& status,
                                                         const std::string& shown) {
    constexpr int most_links = 40;  // as the kernel
    if (++links_ > most_links) return failed(fmt::format("{} cannot be followed", shown), ELOOP);
    // A link's mode says nothing; in a sticky directory its owner may replace it.
    if (options_.refuse_writers && !is_safe(status.st_uid)) {
      return complaint(error_kind::untrusted_file,
                       fmt::format("the symlink {} belongs to uid {}{}", shown, status.st_uid, remedy));
    }
    std::array<char, PATH_MAX> target{};
    const auto size = ::readlinkat(link.get(), "", target.data(), target.size());
    if (size <= 0) return failed(fmt::format("{} cannot be followed", shown), size < 0 ? errno : ENOENT);
    const std::string_view text(target.data(), static_cast<std::size_t>(size));
    auto parts = components(text);
    left_.insert(left_.begin(), parts.begin(), parts.end());
    if (text.starts_with('/')) {
      if (auto failure = start_at_root()) return std::unexpected(std::move(*failure));
    }
    if (left_.empty()) return complaint(error_kind::unreadable, "this is a directory");
    return std::nullopt;
  }

  static bool is_safe(::uid_t uid) { return uid == 0 || uid == ::geteuid(); }

  std::optional<error> judge(const struct stat& status, const std::string& shown) const {
    const bool directory = S_ISDIR(status.st_mode);
    if (options_.refuse_readers && !directory && (status.st_mode & 077) != 0) {
      return error{.kind = error_kind::untrusted_file,
                   .where = {.file = path_},
                   .message = fmt::format("others than its owner may use {} (mode {:04o}); `chmod 600` it",
                                          shown, status.st_mode & 07777)};
    }
    if (!options_.refuse_writers) return std::nullopt;
    std::string why;
    if (!is_safe(status.st_uid)) {
      why = fmt::format("{} belongs to uid {}", shown, status.st_uid);
    } else if ((status.st_mode & 022) != 0) {
      const bool sticky = directory && (status.st_mode & S_ISVTX) != 0 && status.st_uid == 0;
      if (sticky) return std::nullopt;
      why = (status.st_mode & 02) != 0 ? fmt::format("everybody may write to {}", shown)
                                       : fmt::format("the group {} may write to {}", status.st_gid, shown);
      why += fmt::format(" (mode {:04o})", status.st_mode & 07777);
    } else {
      return std::nullopt;
    }
    return error{.kind = error_kind::untrusted_file,
                 .where = {.file = path_},
                 .message = std::move(why.append(remedy))};
  }

  static constexpr std::string_view remedy =
      ", so somebody else than root and this process's user may decide what gets out; put the file where "
      "only "
      "they may write";

  const std::string& path_;
  read_options options_;
  std::deque<std::string> left_;
  descriptor at_;
  std::string shown_;  // the place of at_, without a slash behind it
  int links_ = 0;
};

}  // namespace

std::expected<std::string, error> read_trusted_file(const std::string& path, read_options options) {
  const auto fail = [&](std::string message) {
    return std::unexpected(
        error{.kind = error_kind::unreadable, .where = {.file = path}, .message = std::move(message)});
  };
  if (path.empty() || path.find('\0') != std::string::npos) return fail("no path to a file");
  const auto file = walk(path, options).open();
  if (!file) return std::unexpected(file.error());

  std::string text;
  std::array<char, 64UL << 10> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): read fills it
  for (;;) {
    const auto got = ::read(file->get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(fmt::format("the file cannot be read: {}", std::strerror(errno)));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > options.max_size) {
      return fail(fmt::format("the file is larger than {}", core::size_to_string(options.max_size)));
    }
  }
}

}  // namespace exeat::config
