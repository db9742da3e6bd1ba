#include "proxy/process_inquiry.hpp"

#include <fcntl.h>

#include <utility>

namespace exeat::proxy {

process_inquiry::process_inquiry(asio::io_context& context, identity::process_finder* finder, unsigned worker)
    : context_(context), finder_(finder), worker_(worker) {
  if (finder_ == nullptr) return;
  // A copy of our own: the finder closes its own.
  const int fd = ::fcntl(finder_->descriptor(worker_), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    finder_ = nullptr;
    return;
  }
  readable_.emplace(context_, fd);
  listen();
}

void process_inquiry::listen() {
  readable_->async_wait(descriptor::wait_read, [this](error_code error) {
    if (error) return;
    take_answers();
    // Where the finder is gone, its descriptor stays readable for ever.
    if (!finder_->is_gone(worker_)) listen();
  });
}

void process_inquiry::take_answers() {
  while (auto answer = finder_->receive(worker_)) {
    const auto asked = waiting_.find(answer->id);
    if (asked == waiting_.end()) continue;  // nobody waits for it any more
    *asked->second.answer = std::make_unique<identity::process_answer>(*answer);
    asked->second.timer->cancel();
  }
}

task<process_inquiry::result> process_inquiry::find(identity::local_peer peer, std::uint64_t connected) {
  result out;
  if (finder_ == nullptr || (peer.inode == 0 && peer.pid == 0)) co_return out;
  using by = identity::process_question::by;
  const auto id = next_++;
  const bool is_tcp = peer.inode != 0;
  out.asked = finder_->ask(worker_, {.id = id,
                                     .kind = is_tcp ? by::socket_inode : by::pid,
                                     .value = is_tcp ? peer.inode : static_cast<std::uint64_t>(peer.pid),
                                     .connected = is_tcp ? 0 : connected});
  if (!out.asked) co_return out;
  steady_timer timer(context_.get_executor(), patience);
  waiting_.emplace(id, waiting{&timer, &out.answer});
  co_await timer.async_wait(no_throw);
  waiting_.erase(id);
  co_return out;
}

}  // namespace exeat::proxy
