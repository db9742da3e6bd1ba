// A directory that only our own uid can change, replace or read.
#pragma once
#include <expected>
#include <string>
#include <utility>

namespace exeat::jobs {

/// An open file, closed with the object.
class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int fd) noexcept : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor();
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Opens it for openat() and fsync(). It must be a directory, no symlink, of our effective uid and with mode
/// 0700; every directory on the way to it, and every symlink there, must be such that only root and our uid
/// can put another in its place (a directory of root with the sticky bit, as /tmp, is). Walks on open
/// descriptors, so that what was judged is what is used. The error says what is wrong, and names the place.
/// `make`: makes the last component if there is none.
std::expected<descriptor, std::string> open_private_directory(const std::string& path, bool make = false);

}  // namespace exeat::jobs
