// The process confines itself, once all that needs more rights is done.
#pragma once
#include <expected>
#include <string>
#include <vector>

#include "config/settings.hpp"

namespace exeat::sandbox {

/// How far it went.
struct confinement {
  std::string summary;               ///< one line for the banner and for health; "off"
  std::vector<std::string> lacking;  ///< sentences: what the kernel refused, and what that leaves open
};

/// Gives up all capabilities and what exec() could bring, then all files but those that the settings and the
/// policy's `included` files name, then all system calls that serving does not take. As settings.sandbox
/// says: nothing for `off`; for `required` a lack of Landlock or seccomp is an error (a sentence). Before the
/// first other thread, after every socket is bound and the process has its user.
std::expected<confinement, std::string> confine(const config::settings& settings,
                                                const std::vector<std::string>& included);

}  // namespace exeat::sandbox
