// Who holds what the proxy does against what it may do: every dial, every octet, every event.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/job.hpp"
#include "metrics/counters.hpp"
#include "proxy/event.hpp"
#include "proxy/job_table.hpp"
#include "tests/fuzz/session/kernel.hpp"
#include "tests/fuzz/session/options.hpp"
#include "tests/fuzz/session/stage.hpp"
#include "tests/fuzz/session/streams.hpp"
#include "tests/fuzz/session/ways.hpp"

namespace exeat::fuzz {

/// What origins send by the kilobyte; our own answers never hold so many in a row.
inline constexpr char filler = 'o';

/// The job of the stage: setup, then agent and watch.
inline constexpr jobs::step step_of(origin o) noexcept {
  return o == origin::set ? 0 : 1;
}

class judge final : public proxy::event_sink, public kernel_watch {
 public:
  explicit judge(const world_options& options) noexcept;

  // What the world does to the proxy.

  void policy_in_force(std::size_t i) noexcept;
  /// What the implicit job sealed before this step is over, grace and all.
  void sealed_before(jobs::step step) noexcept {
    if (step > over_) over_ = step;
  }
  /// What has used up its time has been cut.
  void cut_out_of_time();
  /// A name server was asked.
  void asked(std::string_view name);
  /// What a client got, or an origin, from the first octet on, as far as it was kept.
  void client_got(std::string_view octets) const;
  void origin_got(origin at, std::string_view octets) const;
  /// The same of an upstream proxy, in the clear; and what that one said.
  void hop_got(origin hop, std::string_view octets, std::string_view said) const;
  /// What came out of a client's tunnel, or nothing where that does not show, and what some origins (behind
  /// their upstream proxies) said: it is the beginning of one of these.
  static std::string_view out_of_tunnel(std::string_view client_got);

  // What the proxy does.

  void push(unsigned worker, const proxy::event& event) noexcept override;
  void connecting(int fd, const sockaddr& to) override;
  void sending(int fd) override;
  void sent(const char* data, std::size_t octets) override;
  void receiving(int fd) override { streams_.received_from(fd); }
  void paired(int session) override { streams_.paired(session); }
  void marking() override { mark_ = nullptr; }

  /// When all is over: lines, counters and octets tell one story.
  void conclude(const metrics::worker_counters& counters,
                const std::vector<std::shared_ptr<proxy::job_counts>>& counts);

 private:
  struct told {
    unsigned decisions = 0, closes = 0;
    proxy::outcome verdict{};  ///< of the decision
    std::uint16_t status = 0;
    bool connect = false;
    std::string host, place;         ///< `place`: job and phase
    std::uint64_t up = 0, down = 0;  ///< of the last line
  };
  bool ever_allowed(origin o) const noexcept;
  bool allowed_now(origin o) const noexcept;
  /// Octets of a client's, on their way to an origin; none: one that is not known here, by a name.
  void count_up(std::optional<origin> to, std::size_t octets);
  void sent_to_hop(hop_stream& stream, const char* data, std::size_t octets);
  void flush_mark();
  /// One of many.test's, which is looked up or sent on.
  void use_name(std::string_view name);
  void check_way(const proxy::event& e, std::optional<origin> o) const;

  void check_tunnels(const proxy::event& e);
  void check_rate(const proxy::event& e);
  void check_time(const proxy::event& e);
  void check_dials_of_hole(int fd);

  /// No listener is there by which a phase in audit, or another job, could reach the same origins; then seals
  /// and reloads are checked to the octet.
  bool only_named_;
  bool cuts_;  ///< `on_tighten: cut`
  bool via_;
  bool timed_;
  narrow narrow_;
  ways ways_;
  streams streams_;
  std::size_t policy_ = 0;
  std::array<bool, policy_count> seen_{};
  streams::found peer_;  ///< of the socket that is being written to
  /// Was sent a single zero octet: its own, or the one that TLS puts there when it ends abruptly.
  hop_stream* mark_ = nullptr;
  bool peer_is_over_ = false;  ///< it is a client's, of a phase that is over
  jobs::step over_ = 0;
  std::uint64_t cookie_ = 0;  ///< of the socket that is being written to
  /// When agent began, at the latest; and the sockets to origins that were in use when its time was over.
  std::optional<std::chrono::milliseconds> agent_began_;
  std::set<std::uint64_t> used_, cut_off_;
  std::vector<std::pair<int, std::uint64_t>> dials_of_hole_;
  std::map<std::string, std::uint32_t, std::less<>> requests_;  ///< let through, by client
  std::map<std::string, std::uint32_t, std::less<>> tunnels_;   ///< open, by job and phase
  std::map<std::string, told, std::less<>> told_;
  std::array<std::array<std::uint64_t, core::reason_count>, metrics::verdict_count> counted_{};
  std::array<std::uint64_t, origin_count> up_{};
  std::uint64_t up_elsewhere_ = 0;
  std::set<std::string, std::less<>> names_of_many_;
};

}  // namespace exeat::fuzz
