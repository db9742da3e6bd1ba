// Reading a file that decides what gets out: only where nobody else may have written it.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <expected>
#include <string>

#include "config/error.hpp"

namespace exeat::config {

struct read_options {
  std::size_t max_size = 0;  ///< octets; a larger file is refused
  /// Whether writers other than root and our own effective uid are refused: of the file itself, of every
  /// directory on the way to it, and of every symlink, each step of a chain of them. A group that may write
  /// counts as others. A directory that root owns and that has the sticky bit (as /tmp has) is safe: others
  /// may add to it, but not replace what is there.
  bool refuse_writers = true;
  /// Whether others who may read are refused as well: for secrets.
  bool refuse_readers = false;
};

/// The file's octets. Walks the path one component at a time on open descriptors and judges each one, so
/// that what was judged is what is read. Blocking I/O; any thread.
/// Errors: unreadable (not there, no permission, no regular file, too large), untrusted_file.
std::expected<std::string, error> read_trusted_file(const std::string& path, read_options options);

}  // namespace exeat::config
