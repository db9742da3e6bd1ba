#include "config/watch.hpp"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>

#include "config/paths.hpp"

namespace exeat::config {
namespace {

constexpr std::uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE |
                               IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;

// Stands for every name of a directory that is watched as a whole.
constexpr std::string_view any_name = "/";

// A name within a directory, on the way to a file.
struct step {
  std::string directory;
  std::string name;
};

struct trail {
  std::vector<step> steps;
  std::string identity;
};

std::string identity_of(const struct stat& s) {
  return fmt::format("{}:{}:{}:{}.{}:{}.{};", s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec,
                     s.st_mtim.tv_nsec, s.st_ctim.tv_sec, s.st_ctim.tv_nsec);
}

void prepend(std::deque<std::string>& left, std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) parts.emplace_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  }
  left.insert(left.begin(), parts.begin(), parts.end());
}

// Follows a path by hand. Directories on the way count by name only, links and the file by identity.
trail follow(const std::string& path) {
  trail out;
  std::deque<std::string> left;
  std::string at = "/";
  if (!path.starts_with('/')) {
    std::array<char, PATH_MAX> here{};
    if (::getcwd(here.data(), here.size()) != nullptr) at = here.data();
  }
  prepend(left, path);
  for (int links = 0; !left.empty();) {
    const auto name = std::move(left.front());
    left.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      at = directory_of(at);
      continue;
    }
    out.steps.push_back({at, name});
    const auto next = resolve_path(name, at);
    struct stat status{};
    if (::lstat(next.c_str(), &status) != 0) {
      out.identity += "absent;";
      return out;
    }
    if (S_ISLNK(status.st_mode)) {
      std::array<char, PATH_MAX> target{};
      const auto size = ::readlink(next.c_str(), target.data(), target.size());
      if (size <= 0 || ++links > 40) {
        out.identity += "broken;";
        return out;
      }
      const std::string_view text(target.data(), static_cast<std::size_t>(size));
      out.identity += fmt::format("{}>{};", status.st_ino, text);
      if (text.starts_with('/')) at = "/";
      prepend(left, text);
      continue;
    }
    if (left.empty() || !S_ISDIR(status.st_mode)) out.identity += identity_of(status);
    at = next;
  }
  return out;
}

}  // namespace

std::expected<file_watch, std::string> file_watch::start(std::vector<std::string> paths) {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return std::unexpected(fmt::format("files cannot be watched: {}", std::strerror(errno)));
  return file_watch(fd, std::move(paths));
}

file_watch::file_watch(int inotify, std::vector<std::string> paths)
    : inotify_(inotify), paths_(std::move(paths)) {
  arm();
  for (const auto& path : paths_) seen_.push_back(follow(path).identity);
}

file_watch::file_watch(file_watch&& other) noexcept
    : inotify_(std::exchange(other.inotify_, -1)),
      paths_(std::move(other.paths_)),
      seen_(std::move(other.seen_)),
      names_(std::move(other.names_)) {}

file_watch& file_watch::operator=(file_watch&& other) noexcept {
  std::swap(inotify_, other.inotify_);
  std::swap(paths_, other.paths_);
  std::swap(seen_, other.seen_);
  std::swap(names_, other.names_);
  return *this;
}

file_watch::~file_watch() {
  if (inotify_ >= 0) ::close(inotify_);
}

void file_watch::watch(std::vector<std::string> paths) {
  std::vector<std::string> seen;
  for (const auto& path : paths) {
    const auto known = std::ranges::find(paths_, path);
    seen.push_back(known == paths_.end() ? follow(path).identity
                                         : seen_[static_cast<std::size_t>(known - paths_.begin())]);
  }
  paths_ = std::move(paths);
  seen_ = std::move(seen);
  arm();
}

// Watches every directory that holds a step of a way, and gives up the others.
void file_watch::arm() {
  std::map<int, std::set<std::string, std::less<>>> now;
  const auto add = [&](const std::string& directory, std::string name) {
    const int watch = ::inotify_add_watch(inotify_, directory.c_str(), mask | IN_ONLYDIR);
    if (watch >= 0) now[watch].insert(std::move(name));
  };
  for (const auto& path : paths_) {
    for (auto& [directory, name] : follow(path).steps) add(directory, std::move(name));
    if (path.ends_with('/')) add(path, std::string(any_name));
  }
  for (const auto& [watch, names] : names_) {
    if (!now.contains(watch)) ::inotify_rm_watch(inotify_, watch);
  }
  names_ = std::move(now);
}

// True where an event concerns a name on one of the ways.
bool file_watch::drain() {
  bool relevant = false;
  alignas(inotify_event) std::array<char, 4096> buffer;
  for (;;) {
    const auto got = ::read(inotify_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return relevant;
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const std::string_view name = event.len > 0 ? std::string_view(buffer.data() + at + sizeof event) : "";
      at += sizeof event + event.len;
      const auto watched = names_.find(event.wd);
      if ((event.mask & IN_Q_OVERFLOW) != 0) relevant = true;
      if (watched != names_.end() &&
          (name.empty() || watched->second.contains(name) || watched->second.contains(any_name)))
        relevant = true;
    }
  }
}

bool file_watch::changed() {
  if (!drain()) return false;
  // Watches first: what changes after this raises an event again, what changed before shows in the look.
  // A way that leads elsewhere meanwhile needs another round, for its new directories are not watched yet.
  std::vector<std::string> now;
  for (int round = 0; round < 8; ++round) {
    arm();
    std::vector<std::string> look;
    look.reserve(paths_.size());
    for (const auto& path : paths_) look.push_back(follow(path).identity);
    const bool stable = look == now;
    now = std::move(look);
    if (stable) break;
  }
  if (now == seen_) return false;
  seen_ = std::move(now);
  return true;
}

}  // namespace exeat::config
