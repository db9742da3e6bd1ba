#include "config/unix_listen.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

namespace exeat::config {
namespace {

constexpr int lock_tries = 200;
constexpr long lock_pause_ns = 10'000'000;

unix_listen_failure failure(int error) {
  auto text = std::generic_category().message(error);
  if (error == EADDRINUSE) text += "; another process, perhaps another exeat, listens there";
  if (error == ENOENT) text += "; the directory does not exist";
  return {error, std::move(text)};
}

// Between the look at a stale file and the new socket nobody of ours may come in between. The lock is on the
// directory, so that it leaves no file behind. Where somebody else holds it for long, or the directory cannot
// be opened, we go on without: then two starts at the same instant are not told apart, and nothing else.
class directory_lock {
 public:
  explicit directory_lock(const std::string& path) {
    const auto slash = path.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    fd_ = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd_ < 0) return;
    for (int i = 0; i < lock_tries && ::flock(fd_, LOCK_EX | LOCK_NB) != 0; ++i) {
      const timespec pause{0, lock_pause_ns};
      ::nanosleep(&pause, nullptr);
    }
  }
  ~directory_lock() {
    if (fd_ >= 0) ::close(fd_);
  }
  directory_lock(const directory_lock&) = delete;
  directory_lock& operator=(const directory_lock&) = delete;

 private:
  int fd_ = -1;
};

// Makes the path free where a process that died left its socket there.
std::expected<void, unix_listen_failure> clear(const sockaddr_un& address) {
  struct stat status{};
  if (::lstat(address.sun_path, &status) != 0) {
    if (errno == ENOENT) return {};
    return std::unexpected(failure(errno));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return std::unexpected(
        unix_listen_failure{EEXIST, "a file that is no socket stands there, and is left alone"});
  }
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (probe < 0) return std::unexpected(failure(errno));
  const int answer =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  ::close(probe);
  if (answer == ENOENT) return {};
  // Only a refusal says that nobody listens; a full queue, another type or a lack of rights does not.
  if (answer == 0 || answer == EAGAIN || answer == EPROTOTYPE) return std::unexpected(failure(EADDRINUSE));
  if (answer != ECONNREFUSED) return std::unexpected(failure(answer));
  if (::unlink(address.sun_path) != 0 && errno != ENOENT) return std::unexpected(failure(errno));
  return {};
}

}  // namespace

void socket_file::remove() const noexcept {
  struct stat status{};
  if (path.empty() || ::lstat(path.c_str(), &status) != 0) return;
  if (status.st_dev == device && status.st_ino == inode) ::unlink(path.c_str());
}

std::expected<unix_listening, unix_listen_failure> listen_on(const unix_endpoint& at, int backlog) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (at.path.empty() || at.path.size() >= sizeof address.sun_path) {
    return std::unexpected(unix_listen_failure{
        ENAMETOOLONG,
        fmt::format("the path of a unix socket has 1 to {} octets", sizeof address.sun_path - 1)});
  }
  std::memcpy(address.sun_path, at.path.data(), at.path.size());

  const directory_lock lock(at.path);
  if (auto cleared = clear(address); !cleared) return std::unexpected(std::move(cleared.error()));
  unix_listening out;
  out.fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (out.fd < 0) return std::unexpected(failure(errno));
  const auto fail = [&](int error) {
    ::close(out.fd);
    out.file.remove();
    return std::unexpected(failure(error));
  };
  // The file is made with the mode of the socket's inode less the umask: never wider than asked for, not even
  // for a moment. Nobody can connect before listen() anyway.
  if (::fchmod(out.fd, at.mode) != 0 ||
      ::bind(out.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(errno);
  }
  struct stat status{};
  if (::lstat(at.path.c_str(), &status) != 0) return fail(errno);
  out.file = {at.path, status.st_dev, status.st_ino};
  if (::chmod(at.path.c_str(), at.mode) != 0 || ::listen(out.fd, backlog) != 0) return fail(errno);
  return out;
}

}  // namespace exeat::config
