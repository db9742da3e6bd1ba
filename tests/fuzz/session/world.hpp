// A whole worker with its clients, origins and name server, on one thread, step by step.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/job.hpp"
#include "metrics/counters.hpp"
#include "proxy/budget.hpp"
#include "proxy/limits.hpp"
#include "proxy/worker.hpp"
#include "tests/fuzz/session/certificates.hpp"
#include "tests/fuzz/session/judge.hpp"
#include "tests/fuzz/session/names.hpp"
#include "tests/fuzz/session/options.hpp"

namespace exeat::fuzz {

class world {
 public:
  explicit world(const world_options& options);
  world(const world&) = delete;
  world& operator=(const world&) = delete;
  /// Closes what is open, waits for what goes on, and has all accounts settled.
  ~world();

  // Everything that takes a number takes any.

  void connect(unsigned listener);
  /// The client begins TLS, maybe with a certificate.
  void begin_tls(unsigned who, bool proves);
  enum class side : std::uint8_t { client, origin };
  void say(side whose, unsigned who, std::string_view octets);
  void say_much(side whose, unsigned who, unsigned kibibytes);
  void half_close(side whose, unsigned who);
  void reset(side whose, unsigned who);
  void close(side whose, unsigned who);
  /// Whether that one takes what is sent to it.
  void set_reading(side whose, unsigned who, bool reads);

  void set_answering(answering how) noexcept { answering_ = how; }
  void release_answers();
  void load(std::size_t policy);
  void seal();
  void enforce(std::chrono::milliseconds grace);
  void end_job();
  void toggle_opened_job();
  void pass(std::chrono::milliseconds duration);
  void drain();
  void stop();
  void cut_out_of_time();
  void forget_names();

  /// Some turns of the proxy's loop, and nothing else.
  void turn(unsigned turns);
  /// Turns, and what the others do of themselves, until nobody moves any more.
  void settle();

 private:
  /// One end of a connection in our hands.
  struct end {
    int fd = -1;
    origin of{};          ///< of an origin
    bool to_tls = false;  ///< a client of a listener that speaks TLS
    std::optional<tls_end> tls = {};
    bool reads = true;
    std::size_t owed = 0;  ///< octets of filler that it still wants to send
    std::string got;
    std::string said = {};  ///< of an origin: the beginning
  };
  end* pick(side whose, unsigned who) noexcept;
  void add_listener(const config::listener& configured, int fd, config::endpoint bound,
                    std::shared_ptr<proxy::tls_source> tls = {});
  void on_path(const config::listener& configured, std::string_view end);
  void on_port(config::listener configured, std::shared_ptr<proxy::tls_source> tls = {});
  void add_listeners();
  void add_other_listeners();
  std::shared_ptr<const proxy::job_table> table();
  void publish(bool cut);
  unsigned run(unsigned most);
  ssize_t send(end& from, std::string_view octets) noexcept;
  bool accept();
  bool move(side whose);
  void check_tunnel(const end& client) const;
  void let_go(side whose, end& which, bool abruptly);
  void check_seals();

  world_options options_;
  std::size_t descriptors_;
  judge judge_;
  metrics::phase_slots slots_;
  proxy::budget_book book_, book_of_opened_;
  std::unique_ptr<metrics::worker_counters> counters_ = std::make_unique<metrics::worker_counters>();
  std::shared_ptr<jobs::job> job_, opened_;
  std::vector<std::shared_ptr<proxy::job_counts>> counts_;
  std::array<std::shared_ptr<proxy::job_seats>, 2> seats_;
  std::array<std::shared_ptr<proxy::job_rate>, 2> rates_;
  std::size_t policy_ = 0;
  bool serves_opened_ = true;
  std::unique_ptr<proxy::connection_budget> budget_;
  std::unique_ptr<proxy::memory_budget> memory_;
  std::unique_ptr<proxy::request_rate> requests_;
  proxy::process_state process_;
  std::vector<proxy::bound_listener> listeners_;
  std::unique_ptr<proxy::worker> worker_;
  answering answering_ = answering::truth;
  std::vector<end> clients_, origins_;
  jobs::step enforced_ = 0;
  /// Seals whose grace runs out then.
  std::vector<std::pair<std::chrono::milliseconds, jobs::step>> graces_;
  bool keeps_all_ = true;  ///< of the origins' ends none has been turned away
  bool stopping_ = false;
  bool closing_ = false;  ///< origins take no more connections
};

}  // namespace exeat::fuzz
