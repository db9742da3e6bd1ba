#include "sandbox/landlock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace exeat::sandbox {
namespace {

// From linux/landlock.h of newer kernels than the headers may be of.
constexpr long sys_create_ruleset = 444;
constexpr long sys_add_rule = 445;
constexpr long sys_restrict_self = 446;
constexpr std::uint32_t ask_version = 1;
constexpr int rule_path_beneath = 1;

constexpr std::uint64_t fs_write_file = 1U << 1;
constexpr std::uint64_t fs_read_file = 1U << 2;
constexpr std::uint64_t fs_read_dir = 1U << 3;
constexpr std::uint64_t fs_remove_file = 1U << 5;
constexpr std::uint64_t fs_make_reg = 1U << 8;
constexpr std::uint64_t fs_truncate = 1U << 14;  // from version 3
constexpr std::uint64_t of_files = fs_write_file | fs_read_file | fs_truncate;
constexpr std::uint64_t net_bind_tcp = 1U << 0;            // from version 4
constexpr std::uint64_t scope_abstract_sockets = 1U << 0;  // from version 6
constexpr std::uint64_t scope_signals = 1U << 1;

struct ruleset_attributes {
  std::uint64_t fs = 0;
  std::uint64_t net = 0;
  std::uint64_t scoped = 0;
};
struct __attribute__((packed)) path_rule {
  std::uint64_t allowed = 0;
  std::int32_t parent = -1;
};

// All that a version can govern: the bits came one after the other.
std::uint64_t governed_files(int version) noexcept {
  const unsigned bits = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
  return (1ULL << bits) - 1;
}

std::uint64_t rights_of(file_right rights) noexcept {
  std::uint64_t out = 0;
  if (has(rights, file_right::read)) out |= fs_read_file | fs_read_dir;
  if (has(rights, file_right::write)) out |= fs_write_file | fs_truncate;
  if (has(rights, file_right::make)) out |= fs_make_reg;
  if (has(rights, file_right::remove)) out |= fs_remove_file;
  return out;
}

class descriptor {
 public:
  explicit descriptor(long fd) noexcept : fd_(static_cast<int>(fd)) {}
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

std::expected<void, std::string> add(int ruleset, const grant& one, std::uint64_t governed) {
  const descriptor path(::open(one.path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status{};
  if (path.get() < 0 || ::fstat(path.get(), &status) != 0) return {};  // what is not there needs no right
  auto rights = rights_of(one.rights) & governed;
  if (!S_ISDIR(status.st_mode)) rights &= of_files;
  if (rights == 0) return {};
  const path_rule rule{.allowed = rights, .parent = path.get()};
  if (::syscall(sys_add_rule, ruleset, rule_path_beneath, &rule, 0) == 0) return {};
  if (errno == EBADFD) return {};  // a pipe or a socket, behind /dev/stdout: those are never governed
  return std::unexpected(fmt::format("landlock_add_rule {}: {}", one.path, std::strerror(errno)));
}

}  // namespace

std::expected<int, std::string> landlock_version() {
  const auto version = ::syscall(sys_create_ruleset, nullptr, 0, ask_version);
  if (version > 0) return static_cast<int>(version);
  switch (version == 0 ? ENOSYS : errno) {
    case ENOSYS:
      return std::unexpected("this kernel has no Landlock");
    case EOPNOTSUPP:
      return std::unexpected("Landlock is switched off in this kernel (`lsm=` at boot)");
    case EPERM:
      return std::unexpected("Landlock is forbidden here, by a container's system call filter perhaps");
    default:
      return std::unexpected(fmt::format("Landlock does not answer: {}", std::strerror(errno)));
  }
}

std::expected<void, std::string> restrict_files(int version, std::span<const grant> grants,
                                                const landlock_options& options) {
  ruleset_attributes attributes{.fs = governed_files(version)};
  if (version >= 4) attributes.net = net_bind_tcp;
  if (version >= 6)
    attributes.scoped = scope_signals | (options.abstract_sockets ? 0 : scope_abstract_sockets);
  // An older kernel takes a longer one as long as it is zero where it knows nothing.
  const descriptor ruleset(::syscall(sys_create_ruleset, &attributes, sizeof attributes, 0));
  if (ruleset.get() < 0)
    return std::unexpected(fmt::format("landlock_create_ruleset: {}", std::strerror(errno)));
  for (const auto& one : grants) {
    if (auto done = add(ruleset.get(), one, attributes.fs); !done) return done;
  }
  if (::syscall(sys_restrict_self, ruleset.get(), 0) != 0)
    return std::unexpected(fmt::format("landlock_restrict_self: {}", std::strerror(errno)));
  return {};
}

std::string landlock_lacks(int version) {
  std::string out;
  const auto lacks = [&](int from, const char* what) {
    if (version < from) out += (out.empty() ? "" : ", ") + std::string(what);
  };
  lacks(3, "files can be emptied by their path");
  lacks(5, "ioctl on devices");
  lacks(6, "abstract unix sockets of others, signals");
  return out;
}

}  // namespace exeat::sandbox
