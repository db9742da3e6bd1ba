// One client's TLS connection, from its handshake (tls_front.cpp) to the last octet (tls_pump.cpp).
#pragma once
#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "proxy/memory_budget.hpp"
#include "proxy/stall_watch.hpp"
#include "proxy/tls_bio.hpp"
#include "proxy/tls_front.hpp"

namespace exeat::proxy {

/// Octets that the target would not take.
class backlog {
 public:
  explicit backlog(std::shared_ptr<memory_lease> memory) noexcept : charge_(std::move(memory)) {}
  bool empty() const noexcept { return at_ == octets_.size(); }
  std::span<const char> rest() const noexcept { return std::span(octets_).subspan(at_); }
  /// `behind`: what may pile up in the kernel behind them. Throws std::bad_alloc where the memory is used up.
  void keep(std::span<const char> octets, std::size_t behind) {
    clear();
    if (!charge_.grow(octets.size() + behind)) throw std::bad_alloc();
    octets_.assign(octets.begin(), octets.end());
    at_ = 0;
  }
  void taken(std::size_t count) noexcept {
    at_ += count;
    if (at_ == octets_.size()) clear();
  }
  /// Gives the memory back: most connections are idle most of the time.
  void clear() noexcept {
    octets_ = {};
    at_ = 0;
    charge_.clear();
  }

 private:
  memory_charge charge_;
  std::vector<char> octets_;
  std::size_t at_ = 0;
};

/// Lives as long as one of its waits does. Not thread-safe.
class tls_connection final : public live_front, public std::enable_shared_from_this<tls_connection> {
 public:
  tls_connection(asio::io_context& context, timer_wheel& wheel, std::shared_ptr<const tls_context> tls,
                 live_fronts& fronts, tls_done done)
      : tls_(std::move(tls)),
        fronts_(fronts.state()),
        tcp_(context.get_executor()),
        plain_(context.get_executor()),
        deadline_(wheel, &tls_connection::deadline_passed, this),
        done_(std::move(done)),
        memory_(fronts_->memory),
        handshake_memory_(fronts_->memory),
        up_(fronts_->memory),
        down_(fronts_->memory) {}

  void start(int fd, std::chrono::milliseconds timeout);
  void abort() noexcept override;
  void drain() noexcept override {
    if (state_ == state::shaking_hands && socket_.received == 0) abort();
  }

 private:
  enum class state : std::uint8_t {
    shaking_hands,
    open,
    leaving,    ///< the session has closed its side; the client gets the rest
    lingering,  ///< it has got all, and close_notify
    ended,
  };
  enum class flow : std::uint8_t { blocked, more, failed };
  enum class outcome : std::uint8_t { again, ended, failed };
  /// Whether a wait of each kind is under way.
  struct waits {
    bool tcp_read = false, tcp_write = false, tcp_error = false;
    bool plain_read = false, plain_write = false, plain_error = false;
  };

  void begin() noexcept;
  void step() noexcept;
  void wait(descriptor& on, descriptor::wait_type what, bool& flag,
            void (tls_connection::*then)() noexcept = nullptr);
  void shake_hands();
  void open();
  void fail(front_failure failure);
  front_failure handshake_failure();
  void move_octets();
  flow client_to_session();
  flow session_to_client();
  flow say_goodbye();
  bool give_session(std::span<const char> octets);
  outcome give_client(std::span<const char>& octets);
  outcome outcome_of(int result);
  void session_hung_up() noexcept;
  void client_hung_up() noexcept;
  void leave();
  void linger();
  void discard();
  void end() noexcept;
  void reset_session() noexcept;
  static void deadline_passed(void* self) noexcept;

  std::span<char> scratch() const noexcept { return {fronts_->scratch.get(), live_fronts::scratch_size}; }

  struct deleter {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
  };

  std::shared_ptr<const tls_context> tls_;
  std::shared_ptr<live_fronts::shared> fronts_;
  tls_socket socket_;
  certificate_fault certificate_fault_;
  std::unique_ptr<SSL, deleter> ssl_;
  descriptor tcp_;
  descriptor plain_;
  deadline deadline_;
  tls_done done_;
  state state_ = state::shaking_hands;
  waits waits_;
  memory_charge memory_;            ///< of OpenSSL's state
  memory_charge handshake_memory_;  ///< of what it holds until the handshake is over
  std::size_t pair_size_ = 0;       ///< what the kernel keeps of one way between us and the session
  stall_watch watch_;               ///< over the client
  backlog up_;                      ///< to the session
  backlog down_;                    ///< to the client
  bool client_ended_ = false;       ///< by close_notify
  bool session_told_ = false;       ///< of that
  bool session_ended_ = false;      ///< by SHUT_WR or close
  bool client_told_ = false;        ///< of that
  bool leaving_ = false;            ///< counted among the leaving
  std::size_t discarded_ = 0;
  /// The session's end while it has it, by number and, since numbers are used again, by cookie.
  int session_fd_ = -1;
  std::uint64_t session_cookie_ = 0;
};

}  // namespace exeat::proxy
