// One client connection, from accept to its end or to the moment it becomes a tunnel.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "proxy/admission.hpp"
#include "proxy/asio.hpp"
#include "proxy/buffer_pool.hpp"
#include "proxy/listener.hpp"
#include "proxy/live_session.hpp"
#include "proxy/live_tunnel.hpp"
#include "proxy/path_out.hpp"
#include "proxy/request_record.hpp"
#include "proxy/timer_wheel.hpp"
#include "wire/request_head.hpp"

namespace exeat::proxy {

class http_exchange;
class worker;

/// Driven by run() on its worker's thread. See docs/architecture.md, "The life of a request".
class session final : public live_session {
 public:
  session(worker& worker, const listener& listener, stream_socket client, client_peer peer,
          admission admission);
  ~session();

  /// Serves requests until the connection ends; never throws.
  task<void> run();
  /// Starts run() on the worker; the session lives as long as it runs.
  static void start(std::unique_ptr<session> session);

  void drain() noexcept override;
  void tighten() noexcept override;
  void seal() noexcept override;
  void abort() noexcept override;

 private:
  enum class read_outcome : std::uint8_t { head, closed, refused };
  /// What goes into a refusal besides its record.
  struct refusal_detail {
    core::reason reason = core::reason::internal_error;
    std::string_view error;  ///< for the operator
    const allowlist::guard_refusal* by_guard = nullptr;
    std::optional<core::destination> to;
    bool close = true;
    bool head_only = false;  ///< answering HEAD
    int minor = 1;
    bool wants_json = false;
    bool logged = false;                         ///< the decision's line is written: this is its end
    std::uint64_t bytes_up = 0, bytes_down = 0;  ///< moved before it failed
  };

  task<void> serve();
  task<read_outcome> read_head(bool first);
  /// A record for the request in head_ (or for none, where the head was refused).
  request_record new_record() const;
  /// Finds out who is asking, then runs decide() on head_.to; fills the record's phase, job, rule, reason and
  /// audit flag. True = goes on; else `error` may say more.
  bool decide(request_record& record, std::string& error);

  // session_identity.cpp

  /// Who stands behind a refused local request, in words for the log.
  struct process_words {
    std::string exe, command, cgroup;
    std::int32_t pid = 0;
    std::optional<std::uint32_t> uid;  ///< where it is known only now
  };
  /// Nothing for who is not local, for what is no refusal by policy, or where nobody asked for it.
  task<std::optional<process_words>> process_behind(core::reason reason);
  /// Seals the whole job, where the phase's canaries say so.
  void lock_down(const request_record& record) const;

  /// Which phase of which job the request in head_ belongs to. False = refused, with the record's reason.
  bool identify(request_record& record, std::string& error);
  /// Counts the request with its phase and job. False = refused.
  bool within_rate_of(request_record& record, const served_job& served) noexcept;
  /// Counts the connection with its phase and job, once. False = refused.
  bool take_seat(request_record& record, const served_job& served, std::string& error);
  /// Asks the listener's sources of identity. False = refused.
  bool judge(request_record& record, std::string& error);
  /// Fills in the phase, as far as it is known.
  void place(request_record& record) const;
  /// Of a request that decide() let through and that is about to be served: charges its name, and looks
  /// whether its limits leave room for `octets_up`. False = refused, with the record's reason; `error` says
  /// more.
  bool within_terms(request_record& record, const core::destination& to, std::uint64_t octets_up,
                    std::string& error);
  /// Until other workers may have settled what they claimed.
  task<void> await_budget();

  /// For what open_path could not give.
  task<void> refuse_path(request_record& record, const path_failure& failure, refusal_detail detail);
  /// What would let the request pass that is asked for, or what is in its tunnel; empty where nothing would.
  std::string hint_of(const request_record& record, core::reason reason) const;
  /// Sends the refusal, counts and logs it. The connection is closed afterwards where the detail says so.
  task<void> refuse(request_record& record, refusal_detail detail);
  /// The line of a request that ended without an answer of ours, or of a tunnel that never was one.
  void record_failure(const request_record& record, enum event::kind kind, core::reason reason,
                      std::string_view error);
  task<void> refuse_bad_head();
  /// Every head counts, whatever becomes of it. False: the client has sent its requests of this second.
  bool within_rate() noexcept;
  task<void> refuse_flood();
  task<void> answer_probe();

  // connect.cpp
  task<void> serve_connect();
  struct peeked;
  task<void> peek(const request_record& record, peeked& seen);
  /// What was read of the tunnel so far counts against its limits, too.
  task<void> charge_peeked(const request_record& record, peeked& seen);
  /// Ends a tunnel that the peek refused, in the client's own language where it has one.
  task<void> end_refused_tunnel(const request_record& record, const peeked& seen);
  /// The session ends, the relay goes on; `up` and `down` octets have been moved and counted already;
  /// `early_down` and what the buffer holds are charged.
  void hand_over(request_record record, upstream_connection origin, hello_facts hello,
                 std::span<const char> early_down, std::uint64_t up, std::uint64_t down);

  // http_exchange.cpp
  friend class http_exchange;
  /// A seal or the end of the job has come since `record` was decided: gives its reason, and says why.
  bool sealed_since(request_record& record, std::string_view& error) const;
  /// True where the connection may carry another request.
  task<bool> serve_http();
  /// Of an OPTIONS that may go no further. True where the connection may carry another request.
  task<bool> answer_as_last(const request_record& record, bool close);

  task<error_code> write_all(std::span<const char> octets);
  /// Reads into buffer_; 0 with no error = the client has closed its side.
  task<std::pair<error_code, std::size_t>> read_some();
  void reset_client() noexcept;
  /// Lets the client read our last answer although it is still sending (RFC 9112 9.6).
  task<void> close_slowly();
  void arm(std::chrono::milliseconds after) noexcept;
  bool timed_out() const noexcept { return timed_out_; }
  static void deadline_passed(void* self) noexcept;

  worker& worker_;
  const listener& listener_;
  stream_socket client_;
  client_peer peer_;
  std::optional<admission> admission_;
  /// Who asks here, once that is known; it stays so as long as the connection lives.
  struct asker {
    std::string phase;
    std::string job;                                        ///< its id; empty: the one of exeat.yaml
    std::optional<std::shared_ptr<const jobs::job>> bound;  ///< since the first request
  };
  std::optional<asker> asker_;
  std::shared_ptr<asio::cancellation_signal> cancel_ = std::make_shared<asio::cancellation_signal>();
  pooled_buffer buffer_;
  wire::request_parser parser_;
  wire::request_head head_;
  deadline deadline_;
  /// An origin connection that NTLM or Negotiate has tied to this client, what it leads to, and the pool's
  /// generation when it was dialled.
  std::optional<upstream_connection> bound_origin_;
  upstream_key bound_key_;
  std::uint64_t bound_generation_ = 0;
  http_exchange* exchange_ = nullptr;       ///< the one under way
  stream_socket* origin_in_use_ = nullptr;  ///< cancelled with client_ when a deadline passes
  bool timed_out_ = false;
  bool client_gone_ = false;  ///< an answer of ours could not be written
  bool between_requests_ = false;
  const request_record* peeking_ = nullptr;  ///< of a tunnel that waits for its ClientHello
  bool draining_ = false;
  bool aborted_ = false;
};

}  // namespace exeat::proxy
