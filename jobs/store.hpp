// The state directory: small files that are either whole and on disk, or known not to be.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/private_directory.hpp"

namespace exeat::jobs {

/// An open state directory, locked (flock on its marker) against a second process. It is a directory as
/// open_private_directory() wants it, with the marker file `exeat-state` that `exeat state init` makes: a
/// version and a random id. Besides that: `job` (the implicit job), `j-...` (an explicit one, by its id), and
/// `policy-...` (a text kept for jobs, by its SHA-256). All work is relative to the directory's descriptor.
/// Not thread-safe; blocking I/O.
class store {
 public:
  static constexpr std::size_t largest = 16UL << 20;  ///< octets of a file
  static constexpr std::string_view marker = "exeat-state";
  static constexpr std::string_view implicit_job = "job";

  struct lack {
    bool locked = false;  ///< another process has it: nothing else is wrong
    std::string text;     ///< what is wrong, and what to do
  };
  /// Also removes temporary files that a crash has left.
  static std::expected<store, lack> open(const std::string& path);

  /// The marker's: 32 characters.
  const std::string& id() const noexcept { return id_; }

  /// Names, sorted; whatever is in it.
  std::expected<std::vector<std::string>, std::string> names() const;

  struct absence {
    bool not_there = false;
    std::string text;
  };
  /// A regular file of at most `largest` octets.
  std::expected<std::string, absence> read(std::string_view name) const;

  /// Puts a file (mode 0600) in the place of what has this name, atomically and on disk when it returns:
  /// written under another name, fsync, rename, fsync of the directory. Refuses when the marker or the
  /// directory is no longer what its path leads to, for a restart would then not find what was written. After
  /// an error the old file is there, or, where only the last fsync failed, perhaps the new one.
  std::expected<void, std::string> write(std::string_view name, std::string_view text);

  /// Gone from disk when it returns; that it was not there is no error. Otherwise as write().
  std::expected<void, std::string> remove(std::string_view name);

 private:
  friend std::expected<void, std::string> init_state(const std::string& directory);
  store() = default;
  std::expected<void, std::string> in_place() const;

  std::string path_;
  descriptor directory_;
  descriptor marker_;
  descriptor spare_;  ///< given up for the file of a write()
  std::string id_;
};

/// `exeat state init DIR`: makes DIR (0700, ours; the directory above it must exist), or takes an empty or
/// formerly used one without a marker, and writes a first state, in which nothing is sealed, and the marker.
/// Refuses a directory that has a marker, or that open_private_directory() refuses. On disk when it returns.
std::expected<void, std::string> init_state(const std::string& directory);

}  // namespace exeat::jobs
