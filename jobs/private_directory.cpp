#include "jobs/private_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <optional>
#include <string_view>

namespace exeat::jobs {
namespace {

std::string failure(const std::string& shown, int code) {
  return shown + ": " + std::strerror(code);
}

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

bool is_safe(::uid_t uid) {
  return uid == 0 || uid == ::geteuid();
}

// Whether somebody else could replace what is in this directory; empty: nobody.
std::optional<std::string> judge_way(const struct stat& status, const std::string& shown) {
  if (!is_safe(status.st_uid)) return shown + " belongs to uid " + std::to_string(status.st_uid);
  if ((status.st_mode & 022) == 0) return std::nullopt;
  if ((status.st_mode & S_ISVTX) != 0 && status.st_uid == 0) return std::nullopt;
  return shown + " may be written by others";
}

std::optional<std::string> judge_end(const struct stat& status, const std::string& shown) {
  if (!S_ISDIR(status.st_mode)) return shown + " is not a directory";
  if (status.st_uid != ::geteuid()) {
    return shown + " belongs to uid " + std::to_string(status.st_uid) + ", not to this process's (" +
           std::to_string(::geteuid()) + ")";
  }
  if ((status.st_mode & 07777) != 0700) return shown + " is not of mode 0700: `chmod 700` it";
  return std::nullopt;
}

class walk {
 public:
  std::expected<descriptor, std::string> to(const std::string& path, bool make) {
    std::string full = path;
    if (!full.starts_with('/')) {
      std::array<char, PATH_MAX> here{};
      if (::getcwd(here.data(), here.size()) == nullptr)
        return std::unexpected(failure("the working directory", errno));
      full = std::string(here.data()) + "/" + path;
    }
    left_ = components(full);
    if (left_.empty() || left_.back() == "..")
      return std::unexpected("`" + path + "` names no directory of its own");
    if (auto wrong = start_at_root()) return std::unexpected(std::move(*wrong));
    while (left_.size() > 1) {
      const auto name = std::move(left_.front());
      left_.pop_front();
      if (auto wrong = enter(name)) return std::unexpected(std::move(*wrong));
    }
    return last(left_.front(), make);
  }

 private:
  std::optional<std::string> start_at_root() {
    at_ = descriptor(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    shown_.clear();
    struct stat status{};
    if (!at_ || ::fstat(at_.get(), &status) != 0) return failure("/", errno);
    return judge_way(status, "/");
  }

  std::optional<std::string> enter(const std::string& name) {
    const auto shown = shown_ + "/" + name;
    descriptor next(::openat(at_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status{};
    if (!next || ::fstat(next.get(), &status) != 0) return failure(shown, errno);
    if (S_ISLNK(status.st_mode)) return follow(next, status, shown);
    if (!S_ISDIR(status.st_mode)) return failure(shown, ENOTDIR);
    if (auto wrong = judge_way(status, shown)) return wrong;
    at_ = std::move(next);
    shown_ = shown;
    return std::nullopt;
  }

  std::optional<std::string> follow(const descriptor& link, const struct stat& status,
                                    const std::string& shown) {
    constexpr int most_links = 40;  // as the kernel
    if (++links_ > most_links) return failure(shown, ELOOP);
    // A link's mode says nothing; in a sticky directory its owner may replace it.
    if (!is_safe(status.st_uid))
      return "the symlink " + shown + " belongs to uid " + std::to_string(status.st_uid);
    std::array<char, PATH_MAX> target{};
    const auto size = ::readlinkat(link.get(), "", target.data(), target.size());
    if (size <= 0) return failure(shown, size < 0 ? errno : ENOENT);
    const std::string_view text(target.data(), static_cast<std::size_t>(size));
    auto parts = components(text);
    left_.insert(left_.begin(), parts.begin(), parts.end());
    return text.starts_with('/') ? start_at_root() : std::nullopt;
  }

  std::expected<descriptor, std::string> last(const std::string& name, bool make) {
    const auto shown = shown_ + "/" + name;
    if (make && ::mkdirat(at_.get(), name.c_str(), 0700) == 0) {
      // The umask may have taken bits away. O_PATH cannot fsync: through a descriptor of the directory above.
      const descriptor above(::openat(at_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      const bool whole = ::fchmodat(at_.get(), name.c_str(), 0700, 0) == 0;
      if (!whole || !above || ::fsync(above.get()) != 0) return std::unexpected(failure(shown, errno));
    } else if (make && errno != EEXIST) {
      return std::unexpected(failure(shown, errno));
    }
    descriptor out(::openat(at_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const int code = errno;
    struct stat status{};
    if (::fstatat(at_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0)
      return std::unexpected(failure(shown, errno));
    if (S_ISLNK(status.st_mode)) return std::unexpected(shown + " is a symlink: name the directory itself");
    if (out && ::fstat(out.get(), &status) != 0) return std::unexpected(failure(shown, errno));
    if (auto wrong = judge_end(status, shown)) return std::unexpected(std::move(*wrong));
    if (!out) return std::unexpected(failure(shown, code));
    return out;
  }

  std::deque<std::string> left_;
  descriptor at_;
  std::string shown_;  // the place of at_, without a slash behind it
  int links_ = 0;
};

}  // namespace

descriptor::~descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

std::expected<descriptor, std::string> open_private_directory(const std::string& path, bool make) {
  if (path.empty() || path.find('\0') != std::string::npos) return std::unexpected("no path to a directory");
  return walk().to(path, make);
}

}  // namespace exeat::jobs
