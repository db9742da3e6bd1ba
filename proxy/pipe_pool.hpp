// Kernel pipes for splice, borrowed while a direction has much to move.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace exeat::proxy {

/// An empty pipe, or one with `filled` octets on their way. -1 = none.
struct pipe_pair {
  int read_end = -1;
  int write_end = -1;
  std::uint32_t capacity = 0;
  std::uint32_t filled = 0;
  bool valid() const noexcept { return read_end >= 0; }
};

/// A worker's pipes; capped, because an unprivileged process gets only 256 pipes of this size
/// (`/proc/sys/fs/pipe-user-pages-soft`) and each costs two descriptors. Not thread-safe.
class pipe_pool {
 public:
  static constexpr std::uint32_t pipe_size = 256 * 1024;

  explicit pipe_pool(std::size_t most) noexcept : most_(most) {}
  pipe_pool(const pipe_pool&) = delete;
  pipe_pool& operator=(const pipe_pool&) = delete;
  ~pipe_pool();

  /// An invalid pair when the cap or the kernel's limits are reached: the caller copies instead.
  pipe_pair borrow() noexcept;
  /// A pipe that still holds octets is closed, never handed to another tunnel.
  void give_back(pipe_pair pipe) noexcept;

 private:
  static constexpr std::size_t kept = 16;
  std::size_t most_;
  std::size_t open_ = 0;
  std::vector<pipe_pair> free_;
};

}  // namespace exeat::proxy
