// cgroup v2 directories by their ids, which is how the kernel tells of a socket's cgroup.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <string>

namespace exeat::identity {

/// The id of the cgroup at `path`: the inode number of its directory. 0: there is no such directory, so
/// nobody can be in it. The error is a clause ("/x is not a cgroup v2 directory"). Blocks for no disk.
std::expected<std::uint64_t, std::string> cgroup_id_of(const std::string& path);

/// The id of the cgroup v2 that a process is in, from /proc/PID/cgroup and where cgroup2 is mounted for us;
/// 0: unknown. A pid may have gone to another process: whoever asks must know that it has not.
std::uint64_t cgroup_id_of_process(::pid_t pid);

}  // namespace exeat::identity
