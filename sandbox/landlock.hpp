// Landlock (landlock(7)): which files this process may use from now on, and that it opens no TCP port.
#pragma once
#include <expected>
#include <span>
#include <string>

#include "sandbox/grants.hpp"

namespace exeat::sandbox {

/// What the kernel offers: its version of the interface, from 1. The error is a clause: why there is none.
std::expected<int, std::string> landlock_version();

struct landlock_options {
  bool abstract_sockets = false;  ///< may connect to abstract unix sockets of others
};

/// Confines the calling thread, and those it makes, to `grants`; what is not there is left out. It may not
/// bind() TCP sockets (from version 4), signal other processes nor connect to their abstract unix sockets
/// (6). Needs no_new_privs. The error is a clause, and nothing has changed then.
std::expected<void, std::string> restrict_files(int version, std::span<const grant> grants,
                                                const landlock_options& options);

/// What a kernel of that version leaves open, as a clause; empty: nothing that we know of.
std::string landlock_lacks(int version);

}  // namespace exeat::sandbox
