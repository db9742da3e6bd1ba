// A call from the admin thread that the main thread carries out, and that cannot outlive it.
#pragma once
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "proxy/asio.hpp"

namespace exeat::cli {

/// The main thread runs `context`, and ends by end(): who waits then, and who calls later, gets nothing, so
/// that the main thread can join the callers.
template <typename Result>
class main_call {
 public:
  explicit main_call(proxy::asio::io_context& context) : context_(context) {}
  main_call(const main_call&) = delete;
  main_call& operator=(const main_call&) = delete;

  /// From any thread but the main one, one at a time: runs `work` there and waits for it. Nothing where the
  /// main thread ends first.
  std::optional<Result> operator()(std::function<Result()> work) {
    std::future<std::optional<Result>> answer;
    {
      const std::scoped_lock lock(mutex_);
      if (ended_) return std::nullopt;
      waiting_.emplace();
      answer = waiting_->get_future();
    }
    proxy::asio::post(context_, [this, work = std::move(work)] {
      std::optional<Result> result = work();
      settle(std::move(result));
    });
    return answer.get();
  }

  /// On the main thread, in no call's work.
  void end() {
    {
      const std::scoped_lock lock(mutex_);
      ended_ = true;
    }
    settle(std::nullopt);
  }

 private:
  void settle(std::optional<Result> result) {
    std::optional<std::promise<std::optional<Result>>> waiting;
    {
      const std::scoped_lock lock(mutex_);
      waiting.swap(waiting_);
    }
    if (waiting) waiting->set_value(std::move(result));
  }

  proxy::asio::io_context& context_;
  std::mutex mutex_;
  bool ended_ = false;
  std::optional<std::promise<std::optional<Result>>> waiting_;
};

}  // namespace exeat::cli
