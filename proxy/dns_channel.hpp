// One c-ares channel on a worker's io_context.
#pragma once
#include <ares.h>

#include <chrono>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "proxy/asio.hpp"
#include "proxy/dns_server.hpp"

namespace exeat::proxy {

/// Who gets the reply to one question. c-ares owns it from the question to the reply; the owner leaves early
/// by setting `reply` to null.
struct dns_reply_slot {
  using callback = void (*)(void* owner, const dns_reply_slot& slot, int status,
                            std::span<const unsigned char> message) noexcept;
  callback reply = nullptr;
  void* owner = nullptr;
  int type = 0;
};

/// Sends single questions and hands back whole replies. UDP first, TCP behind a truncated answer, EDNS with
/// 1232 octets; the next server behind a failure; ids from the kernel's random numbers. No search domains, no
/// aliases, no files read. Questions that are open at one time leave by one socket a server.
class dns_channel {
 public:
  struct options {
    std::vector<name_server> servers;             ///< in order of preference; not empty
    std::chrono::milliseconds timeout{5000};      ///< all tries on all servers fit into nine tenths of it
    std::chrono::milliseconds try_timeout{2000};  ///< of the first try at a server, at most
    unsigned tries = 2;
  };

  /// The error is a sentence.
  static std::expected<std::unique_ptr<dns_channel>, std::string> open(asio::io_context& context,
                                                                       const options& options);
  /// Questions that are open are dropped: their slots are called with ARES_EDESTRUCTION.
  ~dns_channel();
  dns_channel(const dns_channel&) = delete;
  dns_channel& operator=(const dns_channel&) = delete;

  /// `type`: 1 (A) or 28 (AAAA). The slot may be called before this returns.
  void ask(const char* name, int type, std::unique_ptr<dns_reply_slot> slot);
  /// No question is open.
  bool idle() const noexcept { return open_ == 0; }

 private:
  struct watched;
  struct question;

  explicit dns_channel(asio::io_context& context);
  int initialise(const options& options);
  void socket_state(ares_socket_t fd, bool read, bool write);
  void watch(const std::shared_ptr<watched>& socket, bool write);
  void arm_timer();
  static void answered(std::unique_ptr<question> done, int status, std::span<const unsigned char> message);
  void ended() noexcept;

  asio::io_context& context_;
  ares_channel channel_ = nullptr;
  std::vector<std::shared_ptr<watched>> sockets_;
  steady_timer timer_;
  bool timer_armed_ = false;
  std::size_t open_ = 0;
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);  // for the timer's handler
};

}  // namespace exeat::proxy
