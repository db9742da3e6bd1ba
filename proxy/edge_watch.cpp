#include "proxy/edge_watch.hpp"

#include <system_error>
#include <utility>

namespace exeat::proxy {

// As Asio watches its own descriptors (detail/impl/signal_set_service.ipp): an operation that is never done
// stays where it is, and is performed at each edge. Its reactor destroys it.
struct edge_watch::operation : asio::detail::reactor_op {
  operation(callback call, void* whose)
      : reactor_op(error_code(), &operation::perform, &operation::destroy), edge(call), owner(whose) {}

  static status perform(reactor_op* base) {
    const auto& self = *static_cast<operation*>(base);
    self.edge(self.owner);
    return not_done;
  }
  static void destroy(void*, asio::detail::operation* base, const error_code&, std::size_t) {
    delete static_cast<operation*>(base);
  }

  callback edge;
  void* owner;
};

edge_watch::edge_watch(asio::io_context& context, int fd, callback edge, void* owner)
    : reactor_(asio::use_service<asio::detail::epoll_reactor>(context)), fd_(fd) {
  reactor_.init_task();
  const int error = reactor_.register_internal_descriptor(asio::detail::epoll_reactor::read_op, fd,
                                                          registration_, new operation(edge, owner));
  if (error == 0) return;
  stop();
  throw std::system_error(error, std::generic_category(), "epoll");
}

void edge_watch::stop() noexcept {
  if (fd_ < 0) return;
  reactor_.deregister_internal_descriptor(std::exchange(fd_, -1), registration_);
  reactor_.cleanup_descriptor_data(registration_);
}

}  // namespace exeat::proxy
