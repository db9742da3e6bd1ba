#include "jobs/store.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "jobs/record.hpp"

namespace exeat::jobs {
namespace {

constexpr std::string_view temporary_prefix = ".tmp-";
constexpr std::string_view marker_version = "exeat-state 1 ";
constexpr std::size_t id_length = 32;

std::unexpected<std::string> failed(std::string_view what, int code) {
  return std::unexpected(std::string(what) + ": " + std::strerror(code));
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

std::expected<void, std::string> sync_directory(int directory) {
  while (::fsync(directory) != 0) {
    if (errno != EINTR) return failed("the directory cannot be synced to disk", errno);
  }
  return {};
}

std::expected<std::string, std::string> read_all(int file) {
  std::string out;
  std::array<char, 16UL << 10> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): read fills it
  for (;;) {
    const auto got = ::read(file, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed("it cannot be read", errno);
    if (got == 0) return out;
    out.append(buffer.data(), static_cast<std::size_t>(got));
    if (out.size() > store::largest) return std::unexpected("it is larger than 16 MiB");
  }
}

// A new file of this name, whole and on disk, but its name perhaps not.
std::expected<void, std::string> put(int directory, const std::string& name, std::string_view text) {
  descriptor file(
      ::openat(directory, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return failed("a file cannot be made", errno);
  // The umask may have taken bits away.
  if (::fchmod(file.get(), 0600) != 0) return failed("a file cannot be made", errno);
  while (!text.empty()) {
    const auto wrote = ::write(file.get(), text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return failed("a file cannot be written", wrote < 0 ? errno : ENOSPC);
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
  while (::fsync(file.get()) != 0) {
    if (errno != EINTR) return failed("a file cannot be synced to disk", errno);
  }
  return {};
}

std::expected<void, std::string> replace(int directory, const std::string& name, std::string_view text) {
  const auto temporary = std::string(temporary_prefix) + name;
  ::unlinkat(directory, temporary.c_str(), 0);  // of an earlier failure
  if (auto done = put(directory, temporary, text); !done) {
    ::unlinkat(directory, temporary.c_str(), 0);
    return done;
  }
  if (::renameat(directory, temporary.c_str(), directory, name.c_str()) != 0) {
    const int code = errno;
    ::unlinkat(directory, temporary.c_str(), 0);
    return failed("a file cannot be renamed", code);
  }
  return sync_directory(directory);
}

// Whoever is to be sealed may have taken all others.
descriptor spare_descriptor() {
  return descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

std::string shown(const std::string& path) {
  return "the state directory " + path;
}

std::string lacks_marker(const std::string& path) {
  return shown(path) +
         " has no marker (never initialised, or not the one that was in use): run `exeat state init " + path +
         "`, then `exeat job new`";
}

}  // namespace

std::expected<store, store::lack> store::open(const std::string& path) {
  const auto wrong = [](std::string text) {
    return std::unexpected(lack{.locked = false, .text = std::move(text)});
  };
  store out;
  out.path_ = path;
  auto directory = open_private_directory(path);
  if (!directory) {
    return wrong(shown(path) + " cannot be used: " + directory.error() +
                 "; put that right (`exeat state init " + path + "` makes one), then run `exeat job new`");
  }
  out.directory_ = std::move(*directory);
  // For writing, since flock over NFS wants that for an exclusive lock.
  out.marker_ = descriptor(::openat(out.directory_.get(), std::string(marker).c_str(),
                                    O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!out.marker_ && errno == ENOENT) return wrong(lacks_marker(path));
  const std::string remedy = "; remove that file, run `exeat state init " + path + "`, then `exeat job new`";
  struct stat status{};
  if (!out.marker_ || ::fstat(out.marker_.get(), &status) != 0)
    return wrong(path + "/exeat-state cannot be opened: " + std::strerror(errno) + remedy);
  if (!S_ISREG(status.st_mode) || status.st_uid != ::geteuid() || (status.st_mode & 077) != 0)
    return wrong(path + "/exeat-state is not a regular file of this process's user alone" + remedy);
  if (::flock(out.marker_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return wrong(path + "/exeat-state cannot be locked: " + std::strerror(errno));
    return std::unexpected(lack{.locked = true, .text = shown(path) + " is in use by another process"});
  }
  const auto text = read_all(out.marker_.get()).value_or("");
  if (text.size() != marker_version.size() + id_length + 1 || !text.starts_with(marker_version) ||
      !text.ends_with('\n'))
    return wrong(path + "/exeat-state is damaged, or of another version of Exeat" + remedy);
  out.id_ = text.substr(marker_version.size(), id_length);
  if (auto placed = out.in_place(); !placed) return wrong(placed.error());

  out.spare_ = spare_descriptor();
  const auto names = out.names();
  if (!names) return wrong(shown(path) + ": " + names.error());
  for (const auto& name : *names) {
    if (name.starts_with(temporary_prefix)) ::unlinkat(out.directory_.get(), name.c_str(), 0);
  }
  return out;
}

std::expected<void, std::string> store::in_place() const {
  struct stat mine{};
  struct stat there{};
  if (::fstat(directory_.get(), &mine) != 0 || ::lstat(path_.c_str(), &there) != 0 || !same_file(mine, there))
    return std::unexpected(shown(path_) +
                           " has been taken away or replaced since it was opened: start the proxy again");
  if (::fstat(marker_.get(), &mine) != 0 ||
      ::fstatat(directory_.get(), std::string(marker).c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0 ||
      !same_file(mine, there))
    return std::unexpected("the marker of " + shown(path_) +
                           " has been taken away or replaced since it was opened: start the proxy again");
  return {};
}

std::expected<std::vector<std::string>, std::string> store::names() const {
  const int copy = ::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const opened = copy < 0 ? nullptr : ::fdopendir(copy);
  if (opened == nullptr) {
    const int code = errno;
    if (copy >= 0) ::close(copy);
    return failed("the directory cannot be read", code);
  }
  const auto close = [](DIR* directory) { ::closedir(directory); };
  const std::unique_ptr<DIR, decltype(close)> directory(opened, close);
  std::vector<std::string> out;
  for (;;) {
    errno = 0;
    const auto* const entry = ::readdir(opened);  // NOLINT(concurrency-mt-unsafe): a stream of our own
    if (entry == nullptr && errno != 0) return failed("the directory cannot be read", errno);
    if (entry == nullptr) break;
    const std::string name(static_cast<const char*>(entry->d_name));
    if (name != "." && name != "..") out.push_back(name);
  }
  std::ranges::sort(out);
  return out;
}

std::expected<std::string, store::absence> store::read(std::string_view name) const {
  const descriptor file(
      ::openat(directory_.get(), std::string(name).c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::unexpected(absence{.not_there = true, .text = "it is not there"});
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0)
    return std::unexpected(absence{.text = std::string("it cannot be opened: ") + std::strerror(errno)});
  if (!S_ISREG(status.st_mode)) return std::unexpected(absence{.text = "it is not a regular file"});
  auto text = read_all(file.get());
  if (!text) return std::unexpected(absence{.text = std::move(text.error())});
  return std::move(*text);
}

std::expected<void, std::string> store::write(std::string_view name, std::string_view text) {
  if (text.size() > largest) return std::unexpected("it is larger than 16 MiB");
  if (auto placed = in_place(); !placed) return placed;
  // What a failure left is removed first: that may take a while, in which clients could take the descriptor.
  ::unlinkat(directory_.get(), (std::string(temporary_prefix) + std::string(name)).c_str(), 0);
  spare_ = descriptor();
  auto done = replace(directory_.get(), std::string(name), text);
  spare_ = spare_descriptor();
  if (!done) return std::unexpected(shown(path_) + ": " + done.error());
  return {};
}

std::expected<void, std::string> store::remove(std::string_view name) {
  if (auto placed = in_place(); !placed) return placed;
  if (::unlinkat(directory_.get(), std::string(name).c_str(), 0) != 0 && errno != ENOENT)
    return failed(shown(path_) + ": a file cannot be removed", errno);
  // Also where it was not there: an earlier call may have failed to sync.
  if (auto done = sync_directory(directory_.get()); !done)
    return std::unexpected(shown(path_) + ": " + done.error());
  return {};
}

std::expected<void, std::string> init_state(const std::string& directory) {
  auto opened = open_private_directory(directory, true);
  if (!opened) return std::unexpected(shown(directory) + " cannot be used: " + opened.error());
  const int at = opened->get();
  // Two at once: one after the other. Where the lock fails (NFS), the loser's files do not fit the marker and
  // everything is sealed.
  (void)::flock(at, LOCK_EX);
  const std::string marker(store::marker);
  struct stat status{};
  const auto taken = std::unexpected(shown(directory) +
                                     " has been initialised already; `exeat job new` starts the next job");
  if (::fstatat(at, marker.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return taken;
  if (errno != ENOENT) return failed(shown(directory), errno);

  const auto id = random_name(id_length);
  if (!id) return std::unexpected("the kernel gives no random numbers");
  const auto first = print_record({}, *id);
  if (!first) return std::unexpected(first.error());
  if (auto done = replace(at, std::string(store::implicit_job), *first); !done)
    return std::unexpected(shown(directory) + ": " + done.error());
  // Last, since it vouches for the rest; and by a link, which never replaces another's.
  const auto temporary = std::string(temporary_prefix) + *id;
  auto done = put(at, temporary, std::string(marker_version) + *id + "\n");
  if (done && ::linkat(at, temporary.c_str(), at, marker.c_str(), 0) != 0)
    done = errno == EEXIST ? taken : failed("the marker cannot be made", errno);
  ::unlinkat(at, temporary.c_str(), 0);
  if (done) done = sync_directory(at);
  if (!done) return std::unexpected(shown(directory) + ": " + done.error());
  return {};
}

}  // namespace exeat::jobs
