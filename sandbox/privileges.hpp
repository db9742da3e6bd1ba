// User, group and capabilities: what the process was started with, and how it gives that up.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>

namespace exeat::sandbox {

/// An entry of the password database.
struct account {
  std::string name;
  ::uid_t uid = 0;
  ::gid_t gid = 0;
};
/// By its name, or by the decimal number of one that is there. The error is a sentence.
std::expected<account, std::string> find_account(const std::string& name);

/// Makes this process that user's: uid, gid (the user's own group), and no other groups. Of root's
/// capabilities CAP_NET_BIND_SERVICE alone stays, until drop_capabilities(). Does nothing where the process
/// has that uid already and is not root's. Before the first other thread. The error is a sentence; the
/// process must end then.
std::expected<void, std::string> become(const account& who);

/// Capabilities that this thread holds in its permitted set, a bit each; all where that cannot be asked.
std::uint64_t permitted_capabilities() noexcept;

/// Gives up all capabilities for good, for this thread and those it makes, and what exec() could bring
/// (no_new_privs). False: some are left.
[[nodiscard]] bool drop_capabilities() noexcept;

}  // namespace exeat::sandbox
