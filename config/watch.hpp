// Says when files change, whichever way they are changed: written in place, renamed over, removed and made
// anew, or reached through symlinks of which one is swapped (as Kubernetes updates a ConfigMap).
#pragma once
#include <cstdint>
#include <expected>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace exeat::config {

/// No thread of its own: poll `descriptor()` for reading, then call `changed()`. One thread at a time.
/// A writer that works in several steps makes several changes: the caller waits until it is quiet.
class file_watch {
 public:
  /// The files need not exist yet. A path that ends in a slash is a directory, of which names that come or go
  /// count. The error is a sentence (out of inotify instances).
  static std::expected<file_watch, std::string> start(std::vector<std::string> paths);
  file_watch(file_watch&& other) noexcept;
  file_watch& operator=(file_watch&& other) noexcept;
  ~file_watch();

  /// Readable when something may have changed; stays ours.
  int descriptor() const noexcept { return inotify_; }
  /// Watches these from now on. What changed in those that stay still shows in the next `changed()`.
  void watch(std::vector<std::string> paths);
  /// Takes all that is to be read, and tells whether any of the files now leads elsewhere, has other content,
  /// or has come or gone, since the last call. Never blocks.
  bool changed();

 private:
  file_watch(int inotify, std::vector<std::string> paths);
  bool drain();
  void arm();

  int inotify_ = -1;
  std::vector<std::string> paths_;
  // What the files looked like: the identity of every file and link on the way, in order.
  std::vector<std::string> seen_;
  // Names that matter, by the watch of their directory.
  std::map<int, std::set<std::string, std::less<>>> names_;
};

}  // namespace exeat::config
