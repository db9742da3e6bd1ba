// A descriptor whose every edge calls back, registered with Asio's reactor once: an async_wait in its place
// costs an epoll_ctl for each, and an allocation.
#pragma once
#include "proxy/asio.hpp"

namespace exeat::proxy {

/// For a listening socket, or an epoll set within that of Asio. Edge-triggered: the callback goes on until
/// there is nothing left to take (EAGAIN), or sees to it that it runs again. Not thread-safe: lives on its
/// worker's thread, which must not destroy it within the callback.
class edge_watch {
 public:
  using callback = void (*)(void* owner) noexcept;

  /// Does not own `fd`. Throws std::system_error where the kernel does not take it.
  edge_watch(asio::io_context& context, int fd, callback edge, void* owner);
  edge_watch(const edge_watch&) = delete;
  edge_watch& operator=(const edge_watch&) = delete;
  ~edge_watch() { stop(); }

  /// No edge calls back from now on; to be called before `fd` is closed. Not within the callback.
  void stop() noexcept;

 private:
  struct operation;

  asio::detail::epoll_reactor& reactor_;
  int fd_;
  asio::detail::epoll_reactor::per_descriptor_data registration_{};
};

}  // namespace exeat::proxy
