#include "identity/process_lookup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

namespace exeat::identity {
namespace {

using clock = std::chrono::steady_clock;

class descriptor {
 public:
  explicit descriptor(int value = -1) noexcept : value_(value) {}
  descriptor(descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  explicit operator bool() const noexcept { return value_ >= 0; }
  int get() const noexcept { return value_; }
  int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_;
};

struct close_directory {
  void operator()(DIR* open) const noexcept { ::closedir(open); }
};
using directory = std::unique_ptr<DIR, close_directory>;

directory list(int parent, const char* name) noexcept {
  descriptor opened(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return nullptr;
  directory listed(::fdopendir(opened.get()));
  if (listed) opened.release();
  return listed;
}

descriptor process_directory(int proc, const char* pid) noexcept {
  return descriptor(::openat(proc, pid, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

template <std::size_t Size>
std::string_view link_at(int parent, const char* name, std::array<char, Size>& buffer) noexcept {
  const auto size = ::readlinkat(parent, name, buffer.data(), buffer.size());
  return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

template <std::size_t Size>
std::string_view read_at(int parent, const char* name, std::array<char, Size>& buffer) noexcept {
  const descriptor opened(::openat(parent, name, O_RDONLY | O_CLOEXEC));
  std::size_t size = 0;
  while (opened && size < buffer.size()) {
    const auto more = ::read(opened.get(), buffer.data() + size, buffer.size() - size);
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) break;
    size += static_cast<std::size_t>(more);
  }
  return {buffer.data(), size};
}

template <typename Number>
std::optional<Number> number(std::string_view text) noexcept {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// When the process began, in nanoseconds of CLOCK_BOOTTIME, rounded down to a clock tick (proc(5): field 22
/// of stat, of which the second may hold anything).
std::optional<std::uint64_t> start_of(int process) noexcept {
  std::array<char, 1024> buffer;
  auto text = read_at(process, "stat", buffer);
  const auto name_end = text.rfind(')');
  const auto ticks_a_second = ::sysconf(_SC_CLK_TCK);
  if (name_end == std::string_view::npos || ticks_a_second <= 0) return std::nullopt;
  text.remove_prefix(name_end + 1);
  for (int field = 3; field <= 22; ++field) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const auto end = std::min(text.find(' '), text.size());
    if (field == 22) {
      const auto ticks = number<std::uint64_t>(text.substr(0, end));
      if (!ticks) return std::nullopt;
      return *ticks * (1'000'000'000U / static_cast<std::uint64_t>(ticks_a_second));
    }
    text.remove_prefix(end);
  }
  return std::nullopt;
}

void read_details(int process, process_answer& answer) noexcept {
  std::array<char, 256> link;
  answer.exe.set(link_at(process, "exe", link));

  std::array<char, 512> arguments;
  auto text = read_at(process, "cmdline", arguments);
  while (text.ends_with('\0')) text.remove_suffix(1);
  answer.cmdline.set(text);
  std::ranges::replace(answer.cmdline.octets, '\0', ' ');

  // One line for each hierarchy, that of v2 as "0::/path" (cgroups(7)); no name in it can hold a line feed.
  std::array<char, 16'384> groups;
  auto lines = read_at(process, "cgroup", groups);
  while (!lines.empty()) {
    const auto end = std::min(lines.find('\n'), lines.size());
    if (lines.starts_with("0::")) answer.cgroup.set(lines.substr(3, end - 3));
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
}

class search {
 public:
  search(int proc, std::uint64_t inode, const lookup_bounds& bounds) noexcept
      : proc_(proc), deadline_(clock::now() + bounds.time), left_(bounds.descriptors) {
    const int size = std::snprintf(wanted_.data(), wanted_.size(), "socket:[%llu]",
                                   static_cast<unsigned long long>(inode));
    wanted_size_ = static_cast<std::size_t>(size);
  }

  /// True where one of them holds it: then nobody else is looked at.
  bool run_among(std::span<const ::pid_t> recent, std::span<const ::pid_t> skipped) noexcept {
    // Whoever holds a great many is no shorter way, and uses up no time that the others need.
    constexpr std::uint32_t descriptors_of_each = 256;
    const bool all_seen_before = all_seen_;
    const auto left_before = left_;
    for (const auto pid : recent) {
      if (std::ranges::find(skipped, pid) != skipped.end()) continue;
      std::array<char, 16> name{};
      std::to_chars(name.data(), name.data() + name.size() - 1, pid);
      left_ = std::min(left_before, descriptors_of_each);
      look_into(pid, name.data());
      if (holders_ != 0) return true;
    }
    left_ = left_before;
    all_seen_ = all_seen_before;
    return false;
  }

  void run(std::span<const ::pid_t> skipped) noexcept {
    const auto processes = list(proc_, ".");
    if (!processes) {
      all_seen_ = false;
      return;
    }
    while (const auto* entry = ::readdir(processes.get())) {
      const auto pid = number<::pid_t>(entry->d_name);
      if (!pid || std::ranges::find(skipped, *pid) != skipped.end()) continue;
      if (!spend()) return;
      look_into(*pid, entry->d_name);
    }
    // With `hidepid` on /proc the processes of others are not even listed.
    struct stat first{};
    if (::fstatat(proc_, "1", &first, 0) != 0) all_seen_ = false;
  }

  void report(process_answer& answer) noexcept {
    answer.outcome = all_seen_ ? lookup_outcome::none : lookup_outcome::unavailable;
    if (holders_ == 0) return;
    read_details(process_.get(), answer);
    // What was read is of the socket's holder only if it still is one.
    if (!is_wanted(fd_.get() == nullptr ? -1 : ::dirfd(fd_.get()), name_.data())) {
      answer = {.id = answer.id, .outcome = lookup_outcome::none};
      return;
    }
    answer.outcome = lookup_outcome::found;
    answer.pid = lowest_;
    answer.holders = holders_;
  }

 private:
  bool spend() noexcept {
    if (left_ != 0 && clock::now() < deadline_) {
      --left_;
      return true;
    }
    left_ = 0;
    all_seen_ = false;
    return false;
  }

  bool is_wanted(int fds, const char* name) const noexcept {
    std::array<char, 64> link;
    return link_at(fds, name, link) == std::string_view(wanted_.data(), wanted_size_);
  }

  void look_into(::pid_t pid, const char* name) noexcept {
    auto process = process_directory(proc_, name);
    auto fds = process ? list(process.get(), "fd") : nullptr;
    if (!fds) {
      if (errno != ENOENT && errno != ESRCH) all_seen_ = false;
      return;
    }
    while (const auto* entry = ::readdir(fds.get())) {
      if (entry->d_name[0] == '.') continue;
      if (!spend()) return;
      errno = 0;
      if (!is_wanted(::dirfd(fds.get()), entry->d_name)) {
        if (errno != EACCES && errno != EPERM) continue;
        all_seen_ = false;  // what is true of one of its descriptors is true of all
        return;
      }
      if (holders_++ == 0 || pid < lowest_) {
        lowest_ = pid;
        process_ = std::move(process);
        std::snprintf(name_.data(), name_.size(), "%s", entry->d_name);
        fd_ = std::move(fds);
      }
      return;
    }
  }

  int proc_;
  clock::time_point deadline_;
  std::uint32_t left_;
  std::array<char, 32> wanted_{};
  std::size_t wanted_size_ = 0;
  bool all_seen_ = true;
  std::uint32_t holders_ = 0;
  ::pid_t lowest_ = 0;
  descriptor process_;           // the lowest holder's directory in /proc,
  directory fd_;                 // that of its descriptors,
  std::array<char, 16> name_{};  // and the one that is the socket
};

void by_pid(int proc, const process_question& question, process_answer& answer) noexcept {
  std::array<char, 24> name{};
  std::to_chars(name.data(), name.data() + name.size() - 1, question.value);
  const auto process = process_directory(proc, name.data());
  const auto start = process ? start_of(process.get()) : std::nullopt;
  if (question.value == 0 || !start || (question.connected != 0 && *start > question.connected)) {
    answer.outcome = lookup_outcome::none;
    return;
  }
  read_details(process.get(), answer);
  answer.outcome = lookup_outcome::found;
  answer.pid = static_cast<::pid_t>(question.value);
  answer.holders = 1;
}

}  // namespace

process_answer look_up(int proc, const process_question& question, const lookup_bounds& bounds,
                       std::span<const ::pid_t> skipped, recent_holders& recent) noexcept {
  process_answer answer{.id = question.id};
  if (question.kind == process_question::by::pid) {
    by_pid(proc, question, answer);
    return answer;
  }
  search socket(proc, question.value, bounds);
  if (!socket.run_among(recent.all(), skipped)) socket.run(skipped);
  socket.report(answer);
  if (answer.outcome == lookup_outcome::found) recent.note(answer.pid);
  return answer;
}

}  // namespace exeat::identity
