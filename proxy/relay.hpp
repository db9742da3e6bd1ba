// The relay: moves octets between the two sockets of live tunnels, off Asio (DESIGN section 6, "Relay").
//
// One edge-triggered epoll instance per worker, registered with Asio once. Small reads go through one scratch
// buffer; a direction that fills it moves to splice through a borrowed pipe, and back when it drains. An idle
// tunnel owns no buffer.
#pragma once
#include <sys/types.h>

#include <array>
#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/reason.hpp"
#include "proxy/asio.hpp"
#include "proxy/edge_watch.hpp"
#include "proxy/memory_budget.hpp"
#include "proxy/meter.hpp"
#include "proxy/pipe_pool.hpp"
#include "proxy/stall_watch.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy {

class relay;

/// How a tunnel ended.
struct tunnel_end {
  core::reason reason = core::reason::allowed;  ///< allowed = both sides closed, or one of them failed
  std::string_view error;                       ///< static text; empty after an orderly close
  std::uint64_t bytes_up = 0;                   ///< client to origin
  std::uint64_t bytes_down = 0;
};

/// What the rest of the worker wants to know of a tunnel; the relay owns it and never looks inside.
class tunnel_owner {
 public:
  virtual ~tunnel_owner() = default;
  /// Octets moved since the last call.
  virtual void moved(std::uint64_t up, std::uint64_t down) noexcept = 0;
  /// Called once, after the sockets are closed; the owner is destroyed next.
  virtual void ended(const tunnel_end& end) noexcept = 0;
};

enum class side : std::uint8_t { client, origin };

/// One live tunnel. Made and destroyed by the relay.
class tunnel
    : public boost::intrusive::list_base_hook<boost::intrusive::tag<struct all_tunnels>>,
      public boost::intrusive::list_base_hook<boost::intrusive::tag<struct ready_tunnels>,
                                              boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  tunnel_owner& owner() noexcept { return *owner_; }
  /// From now on these limits hold; null: none. It must outlive the tunnel or the next call.
  void set_meter(const meter* meter) noexcept { meter_ = meter; }

 private:
  friend class relay;
  using all_hook = boost::intrusive::list_base_hook<boost::intrusive::tag<struct all_tunnels>>;
  using ready_hook =
      boost::intrusive::list_base_hook<boost::intrusive::tag<struct ready_tunnels>,
                                       boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

  /// One socket, as edges reported it.
  struct endpoint {
    tunnel* of = nullptr;
    int fd = -1;
    side which = side::client;
    bool readable = false;  ///< an edge tells, the first one when epoll takes the socket
    bool writable = true;
    bool hung_up = false;     ///< FIN or error seen: a short read does not mean drained
    bool tells_room = false;  ///< epoll reports when it takes octets again
    bool is_pair = false;     ///< one end of a socketpair (see abrupt_end.hpp)
    stall_watch watch;        ///< over what it is to take
  };
  /// The way from one socket to the other.
  struct direction {
    std::unique_ptr<char[]> held;  ///< what the target would not take
    std::uint32_t held_size = 0;
    std::uint32_t held_begin = 0;
    std::uint32_t held_end = 0;
    pipe_pair pipe;
    std::uint64_t bytes = 0;
    bool source_ended = false;
    bool finished = false;
  };

  tunnel(relay& relay, std::unique_ptr<tunnel_owner> owner, int client, int origin);

  relay* relay_;
  std::unique_ptr<tunnel_owner> owner_;
  const meter* meter_ = nullptr;
  std::array<endpoint, 2> ends_;
  std::array<direction, 2> ways_;           ///< indexed by the side that is read
  std::unique_ptr<deadline> idle_, total_;  ///< where there is such a limit: most have none
  deadline stall_;
  std::chrono::steady_clock::time_point last_moved_;
  bool origin_kept_ = false;
};

/// Not thread-safe: lives on its worker's thread.
class relay {
 public:
  struct options {
    std::chrono::milliseconds idle{0};   ///< 0 = none
    std::chrono::milliseconds total{0};  ///< of a tunnel's life; 0 = none
    /// How long one side may take nothing of what waits for it; 0 = for ever.
    std::chrono::milliseconds stall{0};
    std::size_t pipes = 64;
    std::shared_ptr<memory_lease> memory = nullptr;  ///< what it keeps is charged here; null: nowhere
  };

  relay(asio::io_context& context, timer_wheel& wheel, options options);
  relay(const relay&) = delete;
  relay& operator=(const relay&) = delete;
  /// Drops what still lives, without a call to its owner.
  ~relay();

  /// Octets that a session moved, or read and did not move, before the relay took over.
  struct head_start {
    std::span<const char> early_up, early_down;  ///< read already; must reach the other side first
    std::uint64_t already_up = 0,
                  already_down = 0;        ///< moved already; counted in the tunnel's end, not in moved()
    const proxy::meter* limits = nullptr;  ///< null: none; all of the above is charged already
    /// The descriptor is one end of a socketpair, the plain side of TLS, whose other end may end abruptly.
    bool client_is_pair = false, origin_is_pair = false;
  };
  /// Takes both descriptors (non-blocking, registered nowhere). False, with the descriptors closed and the
  /// owner told, where the kernel refuses.
  bool add(std::unique_ptr<tunnel_owner> owner, int client, int origin, const head_start& start);

  /// Ends a tunnel now, with a reset on both sides.
  void cut(tunnel& tunnel, core::reason reason, std::string_view error) noexcept;

  /// Calls f(tunnel&) for each; f may cut that tunnel.
  template <typename F>
  void for_each(F&& f) {
    for (auto it = all_.begin(); it != all_.end();) f(*it++);
  }

  std::size_t size() const noexcept { return size_; }

  /// For others of this worker who splice; what is borrowed may outlive the relay.
  const std::shared_ptr<pipe_pool>& pipes() const noexcept { return pipes_; }

 private:
  friend class tunnel;
  enum class pumped : std::uint8_t {
    blocked,
    more,
    failed,
    starved,    ///< a limit has nothing left that is not claimed by others: try again
    exhausted,  ///< a limit is used up, and there is more to read
  };
  using ready_list = boost::intrusive::list<tunnel, boost::intrusive::base_hook<tunnel::ready_hook>,
                                            boost::intrusive::constant_time_size<false>>;
  using all_list = boost::intrusive::list<tunnel, boost::intrusive::base_hook<tunnel::all_hook>,
                                          boost::intrusive::constant_time_size<false>>;

  static void edge(void* self) noexcept;
  void collect() noexcept;
  void run_ready() noexcept;
  /// It took less than it was given: until an edge says otherwise. False: epoll refused.
  bool is_full(tunnel::endpoint& target) noexcept;
  void serve(tunnel& t) noexcept;
  pumped pump(tunnel& t, side from, std::string_view& error) noexcept;
  /// Empties held octets and pipe into the target; blocked = it would not take all.
  pumped flush(tunnel::direction& way, tunnel::endpoint& target) noexcept;
  /// Moves what the target takes at once, and leaves the rest where it is.
  pumped pump_lean(tunnel& t, side from, std::size_t most, std::string_view& error) noexcept;
  bool hold(tunnel::direction& way, const char* data, std::size_t size) noexcept;
  void let_go(tunnel::direction& way) noexcept;
  /// Where a claim got nothing; more = what that meant has been noted.
  pumped out_of_budget(tunnel& t, side from, std::string_view& error) noexcept;
  static void settle(tunnel& t, side from, std::size_t claimed, ::ssize_t moved) noexcept;
  void make_ready(tunnel& t) noexcept;
  void starve(tunnel& t) noexcept;
  static void feed_starved(void* self) noexcept;
  void finish(tunnel& t, core::reason reason, std::string_view error, bool reset) noexcept;
  static void idle_expired(void* t) noexcept;
  static void total_expired(void* t) noexcept;
  static void look_for_stall(void* t) noexcept;
  /// Once; that of the client is its listener's. Most tunnels end before the first call.
  static void keep_origin_alive(tunnel& t) noexcept;

  asio::io_context& context_;
  timer_wheel& wheel_;
  options options_;
  std::shared_ptr<pipe_pool> pipes_;
  int epoll_;
  edge_watch edges_;
  std::unique_ptr<char[]> scratch_;
  all_list all_;
  ready_list ready_;
  ready_list starved_;  ///< wait for the next tick, when other workers have settled their claims
  deadline feed_;
  std::size_t size_ = 0;
  bool run_posted_ = false;
  std::shared_ptr<relay*> self_;  ///< null-able handle for what is posted to the io_context
};

}  // namespace exeat::proxy
