#include "sandbox/privileges.hpp"

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <vector>

namespace exeat::sandbox {
namespace {

bool keep_only(std::uint64_t capabilities) noexcept {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (unsigned half = 0; half < 2; ++half)
    data[half].effective = data[half].permitted = static_cast<std::uint32_t>(capabilities >> (32 * half));
  return ::syscall(SYS_capset, &header, data.data()) == 0;
}

// What exec() could give; as far as the rights to do so are there.
void drop_bounding_set() noexcept {
  for (unsigned long one = 0; one < 64; ++one) ::prctl(PR_CAPBSET_DROP, one, 0, 0, 0);
}

std::optional<::uid_t> number_of(const std::string& text) {
  ::uid_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Nothing of the former identity is left to return to.
bool is_only(const account& who) noexcept {
  std::array<::uid_t, 3> uids{};
  std::array<::gid_t, 3> gids{};
  if (::getresuid(&uids[0], &uids[1], &uids[2]) != 0 || ::getresgid(&gids[0], &gids[1], &gids[2]) != 0)
    return false;
  for (const auto uid : uids) {
    if (uid != who.uid) return false;
  }
  for (const auto gid : gids) {
    if (gid != who.gid) return false;
  }
  return ::getgroups(0, nullptr) == 0;
}

}  // namespace

std::expected<account, std::string> find_account(const std::string& name) {
  std::vector<char> buffer(16UL << 10);
  passwd entry{};
  passwd* found = nullptr;
  int error = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    if (const auto uid = number_of(name))
      error = ::getpwuid_r(*uid, &entry, buffer.data(), buffer.size(), &found);
  }
  if (found == nullptr) {
    return std::unexpected(
        fmt::format("`user: {}`: there is no such user{}", name,
                    error == 0 ? std::string() : fmt::format(" to be found: {}", std::strerror(error))));
  }
  return account{.name = entry.pw_name, .uid = entry.pw_uid, .gid = entry.pw_gid};
}

std::expected<void, std::string> become(const account& who) {
  if (::geteuid() == who.uid && ::getuid() == who.uid && who.uid != 0) return {};
  const auto failed = [&](const char* call) {
    const int error = errno;
    return std::unexpected(fmt::format("`user: {}`: this process cannot become that user: {}: {}{}", who.name,
                                       call, std::strerror(error),
                                       error == EPERM ? "; start it as root, or as that user" : ""));
  };
  if (who.uid == 0) {
    if (::geteuid() == 0) return {};
    errno = EPERM;
    return failed("setresuid");
  }
  if (::setgroups(0, nullptr) != 0) return failed("setgroups");
  if (::setresgid(who.gid, who.gid, who.gid) != 0) return failed("setresgid");
  drop_bounding_set();
  ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
  if (::setresuid(who.uid, who.uid, who.uid) != 0) return failed("setresuid");
  const auto kept = permitted_capabilities() & (1ULL << CAP_NET_BIND_SERVICE);
  const bool reduced = keep_only(kept);
  ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  if (reduced && is_only(who) && permitted_capabilities() == kept) return {};
  return std::unexpected(fmt::format("`user: {}`: something of the former user's rights is left", who.name));
}

std::uint64_t permitted_capabilities() noexcept {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return ~0ULL;
  return data[0].permitted | (static_cast<std::uint64_t>(data[1].permitted) << 32);
}

bool drop_capabilities() noexcept {
  const bool no_exec_gain = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  drop_bounding_set();
  return keep_only(0) && permitted_capabilities() == 0 && no_exec_gain;
}

}  // namespace exeat::sandbox
