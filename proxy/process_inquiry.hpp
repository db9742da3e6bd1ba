// The process behind a refused local request, for its log line: asked of the finder beside us, off the data
// path.
#pragma once
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "identity/identity.hpp"
#include "identity/process_finder.hpp"
#include "proxy/asio.hpp"

namespace exeat::proxy {

/// One per worker, on its thread. Without a finder nothing is ever found.
class process_inquiry {
 public:
  /// A refusal waits no longer for it.
  static constexpr std::chrono::milliseconds patience{250};

  process_inquiry(asio::io_context& context, identity::process_finder* finder, unsigned worker);
  process_inquiry(const process_inquiry&) = delete;
  process_inquiry& operator=(const process_inquiry&) = delete;

  bool is_on() const noexcept { return finder_ != nullptr; }
  /// False where looking has cost enough for now: process_finder::may_ask().
  bool may_ask() const noexcept { return finder_ != nullptr && finder_->may_ask(); }
  struct result {
    bool asked = false;  ///< false: too many others ask, or looking has cost enough
    std::unique_ptr<identity::process_answer> answer;  ///< null: not to be had in time
  };
  /// `connected`: process_question::connected.
  task<result> find(identity::local_peer peer, std::uint64_t connected);

 private:
  struct waiting {
    steady_timer* timer = nullptr;
    std::unique_ptr<identity::process_answer>* answer = nullptr;
  };
  void listen();
  void take_answers();

  asio::io_context& context_;
  identity::process_finder* finder_;
  unsigned worker_;
  std::optional<descriptor> readable_;
  std::uint64_t next_ = 1;
  boost::unordered_flat_map<std::uint64_t, waiting> waiting_;
};

}  // namespace exeat::proxy
