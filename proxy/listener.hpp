// A worker's end of one listener: accepts, admits, starts sessions.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "allowlist/policy.hpp"
#include "identity/identity.hpp"
#include "identity/local_peer.hpp"
#include "proxy/admission.hpp"
#include "proxy/asio.hpp"
#include "proxy/edge_watch.hpp"
#include "proxy/listen_socket.hpp"
#include "proxy/live_fronts.hpp"
#include "proxy/loaded_policy.hpp"
#include "proxy/request_record.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

class worker;

/// Not thread-safe: lives on its worker's thread. Takes the descriptor.
class listener {
 public:
  listener(worker& worker, const bound_listener& bound, int descriptor);
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;
  ~listener();

  void start();
  /// No more connections; those in the kernel's queue are refused by its reset.
  void stop() noexcept;

  const config::listener& configured() const noexcept { return configured_; }
  /// What must be gathered of each connection.
  const identity::demands& demands() const noexcept { return demands_; }
  /// The phase is the listener's, whoever asks.
  bool is_enough() const noexcept { return is_enough_; }
  /// host:port, or the path of a unix socket; for people.
  const std::string& address() const noexcept { return address_; }

 private:
  void accept_ready();
  /// A connection on its way to its session.
  struct arriving {
    int fd = -1;
    int family = 0;
    client_peer peer;
    admission counted;
  };
  void admit(int fd, const void* address);
  /// Nothing where a limit is reached: then it has been told so, and is closed.
  std::optional<admission> count_in(int fd, const client_peer& peer);
  void read_header(arriving client);
  void shake_hands(arriving client);
  void begin(arriving client);
  void failed(const arriving& client, const front_failure& why) noexcept;
  /// Whoever made the socket at the other end, of a unix socket or as far as the listener asks.
  void find_peer(int fd, client_peer& peer) noexcept;
  /// Out of descriptors: answers those who wait, one after the other, by the spare descriptor; then rests for
  /// a moment.
  void shed() noexcept;
  static void arrived(void* self) noexcept;

  worker& worker_;
  config::listener configured_;
  identity::demands demands_;
  bool is_enough_ = true;
  std::uint32_t phase_key_ = 0;      ///< of client_key
  std::shared_ptr<tls_source> tls_;  ///< null: plain
  std::string address_;
  bool unix_ = false;
  int socket_;
  std::optional<edge_watch> arrivals_;  ///< while it listens
  int spare_ = -1;
  deadline rest_;
  std::shared_ptr<listener*> self_;
};

}  // namespace exeat::proxy
