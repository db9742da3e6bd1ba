#include "identity/cgroup.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

namespace exeat::identity {
namespace {

// A file descriptor that closes itself.
class descriptor {
 public:
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

// /proc writes blanks and backslashes of a path as three octal digits.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) { return static_cast<unsigned>(text[at] - '0'); };
    if (text[i] == '\\' && i + 3 < text.size() && digit(i + 1) < 8 && digit(i + 2) < 8 && digit(i + 3) < 8) {
      out += static_cast<char>(digit(i + 1) * 64 + digit(i + 2) * 8 + digit(i + 3));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The first blank-separated word of `line`, which loses it.
std::string_view next_word(std::string_view& line) {
  const auto end = line.find(' ');
  const auto word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

struct mount {
  std::string point;
  std::string root;  // what of the hierarchy shows there
};

// Where cgroup2 is mounted (proc(5), mountinfo), the whole of it rather than a part; empty: nowhere.
mount find_mount() {
  mount found;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string text; std::getline(file, text);) {
    std::string_view line = text;
    for (int skipped = 0; skipped < 3; ++skipped) next_word(line);
    mount out;
    out.root = unescaped(next_word(line));
    out.point = unescaped(next_word(line));
    const auto behind = line.find(" - ");
    if (behind == std::string_view::npos || !line.substr(behind + 3).starts_with("cgroup2 ")) continue;
    if (found.point.empty() || (found.root != "/" && out.root == "/")) found = std::move(out);
  }
  return found;
}

// The id of the cgroup at `path` of the hierarchy; 0: it does not show there.
std::uint64_t id_below(const mount& where, std::string_view path) {
  if (where.point.empty()) return 0;
  if (where.root != "/") {
    if (!path.starts_with(where.root)) return 0;
    path.remove_prefix(where.root.size());
    if (!path.empty() && path.front() != '/') return 0;
  }
  const auto id = cgroup_id_of(where.point + std::string(path));
  return id ? *id : 0;
}

}  // namespace

std::expected<std::uint64_t, std::string> cgroup_id_of(const std::string& path) {
  const descriptor directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return 0;
    return std::unexpected(fmt::format("{}: {}", path, std::strerror(errno)));
  }
  struct ::statfs system{};
  struct ::stat file{};
  if (::fstatfs(directory.get(), &system) != 0 || ::fstat(directory.get(), &file) != 0) {
    // The cgroup went away between the two.
    if (errno == ENODEV || errno == ENOENT) return 0;
    return std::unexpected(fmt::format("{}: {}", path, std::strerror(errno)));
  }
  // An inode number of another file system says nothing, and might be some cgroup's id.
  if (system.f_type != CGROUP2_SUPER_MAGIC) {
    return std::unexpected(fmt::format("{} is no directory of cgroup v2", path));
  }
  return std::uint64_t{file.st_ino};
}

std::uint64_t cgroup_id_of_process(::pid_t pid) {
  // 0::/path: the hierarchy of version 2.
  std::string path;
  std::ifstream file(fmt::format("/proc/{}/cgroup", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::/")) path = line.substr(3);
  }
  // A cgroup outside our own namespace, or one that has been removed, has no directory for us.
  if (path.empty() || path.starts_with("/..") || path.ends_with(" (deleted)")) return 0;
  // Looking for the mount takes longer than all else; it hardly ever moves.
  thread_local mount where;
  if (const auto id = id_below(where, path); id != 0) return id;
  where = find_mount();
  return id_below(where, path);
}

}  // namespace exeat::identity
