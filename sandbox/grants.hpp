// Which files the process may still use once it serves: computed from its settings alone.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace exeat::sandbox {

/// What may be done below a directory, or with one file; bits that add up.
enum class file_right : std::uint8_t {
  read = 1,    ///< open files for reading, list directories
  write = 2,   ///< write to and truncate files that are there
  make = 4,    ///< new regular files
  remove = 8,  ///< remove and rename files (sockets as well)
};
constexpr file_right operator|(file_right a, file_right b) noexcept {
  return static_cast<file_right>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
constexpr bool has(file_right all, file_right one) noexcept {
  return (static_cast<std::uint8_t>(all) & static_cast<std::uint8_t>(one)) != 0;
}

/// A directory with all that is below it, or a single file. Nothing where the path is not there.
struct grant {
  std::string path;  ///< absolute
  file_right rights = file_right::read;
  friend bool operator==(const grant&, const grant&) = default;
};

/// What the computation asks of the file system.
struct file_view {
  /// The target of a symlink, as it stands there; nothing where the path is none.
  std::function<std::optional<std::string>(const std::string& path)> link;
  std::function<bool(const std::string& path)> exists;
  std::string working_directory;
};
/// The real one.
file_view real_files();

/// The directories that matter for a file that may be replaced, by a rename or by a swap of any symlink on
/// the way to it. All real (no symlink in them) but for parts that are not there.
struct way {
  std::string holding;               ///< what holds the path's last name
  std::vector<std::string> targets;  ///< what holds the target of each symlink on the way
  std::string end;                   ///< the file itself, in the end
};
way way_to(const std::string& path, const file_view& files);

/// All that this process opens after it has confined itself. `included` are the policy's other files, as it
/// names them; one with a slash at its end is a directory. Sorted by path, one entry for each.
/// Where a directory is too much to give away ("/", /dev, /proc, /sys), the file alone is granted.
std::vector<grant> grants_for(const config::settings& settings, const std::vector<std::string>& included,
                              const file_view& files);

/// A file of the policy that lies in, or is reached by way of, a directory where the process may make files.
struct exposed_file {
  std::string file;       ///< as it is named
  std::string holding;    ///< the directory of it, or of a symlink on the way to it; real
  std::string directory;  ///< the granted one: the same, or one above
  friend bool operator==(const exposed_file&, const exposed_file&) = default;
};

/// Those of the policy's files that a process which is confined to grants_for() could replace, one entry for
/// each directory. Files of the policy that is built in lie nowhere.
std::vector<exposed_file> exposed_policy_files(const config::settings& settings,
                                               const std::vector<std::string>& included,
                                               const file_view& files);

}  // namespace exeat::sandbox
