// Listening on a unix socket: one way for the proxy's listeners and the admin's.
#pragma once
#include <sys/types.h>

#include <expected>
#include <string>

#include "config/settings.hpp"

namespace exeat::config {

/// A socket file that we made. Only that one is ever removed, not what another process has put in its place
/// since.
struct socket_file {
  std::string path;
  ::dev_t device = 0;
  ::ino_t inode = 0;

  /// Removes the file where it is still this one.
  void remove() const noexcept;
};

/// A listening, non-blocking descriptor, the caller's to close, and its file.
struct unix_listening {
  int fd = -1;
  socket_file file;
};

struct unix_listen_failure {
  int error = 0;     ///< errno, for what the caller adds
  std::string text;  ///< the clause behind "cannot listen on PATH: "
};

/// Binds with the mode that was asked for, whatever the umask, before anybody can connect. A socket file that
/// nobody listens on is replaced; one that answers, that cannot be asked, and anything that is no socket is
/// left alone, and an error. Of several processes that try at once, one wins.
std::expected<unix_listening, unix_listen_failure> listen_on(const unix_endpoint& at, int backlog);

}  // namespace exeat::config
