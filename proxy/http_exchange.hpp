// One plain HTTP request and its answer, both streamed in bounded memory.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/asio.hpp"
#include "proxy/buffer_pool.hpp"
#include "proxy/request_record.hpp"
#include "proxy/session.hpp"
#include "proxy/timer_wheel.hpp"
#include "proxy/upstream_pool.hpp"
#include "wire/chunked.hpp"
#include "wire/response_head.hpp"

namespace exeat::proxy {

class worker;

/// From the head in the session's buffer to the end of the answer. The body goes up on a coroutine of its
/// own, because an origin may answer before it has read everything.
class http_exchange {
 public:
  explicit http_exchange(session& session);
  http_exchange(const http_exchange&) = delete;
  http_exchange& operator=(const http_exchange&) = delete;
  ~http_exchange();

  /// Blocks are kept by each thread.
  static void* operator new(std::size_t size);
  static void operator delete(void* block) noexcept;

  /// Decides, and serves. True where the client's connection may carry another request.
  static task<bool> serve(std::unique_ptr<http_exchange> exchange);
  /// Where its phase is sealed by now and has no grace, ends it as far as it has got.
  void seal() noexcept;
  /// The same before anything of it has been sent: grace is for what is under way.
  void seal_unsent() noexcept;
  /// Where the worker's policy denies the request by now, ends it as far as it has got.
  void tighten() noexcept;

 private:
  /// What of the request outlives its head in the session's buffer.
  struct request_facts {
    bool head_request = false;
    bool websocket = false;
    bool keep_alive = false;
    bool repeatable = false;  ///< may be sent a second time: idempotent and without a body (RFC 9110 9.2.2)
    bool auth = false;        ///< Authorization binds the connection
    bool wants_json = false;
    int minor = 1;
    wire::body_framing framing = wire::body_framing::none;
    std::uint64_t length = 0;
    std::string nominated;  ///< of a chunked body: trailers that stay here
  };
  enum class answer : std::uint8_t { complete, retry, failed, tunnel };
  using parts = std::array<std::string_view, 4>;  ///< written as one
  task<bool> refuse_undecided(std::string_view trouble);
  /// The request has been let through: takes what is needed of its head, and that off the session's buffer.
  void begin();
  task<bool> run();
  /// Takes an idle connection, where there is one that this request may use.
  bool reuse();
  /// Empty = origin_ is connected; else what run() returns.
  task<std::optional<bool>> dial();
  void connected();
  /// Whether the rule of this request would let it dial where the idle connection leads.
  bool may_use(const upstream_connection& connection) const noexcept;
  task<answer> exchange();
  /// Of the request, as it is read at the other end of origin_.
  std::string_view head_text();
  task<bool> fail();
  /// What every refusal of this request has in common.
  session::refusal_detail refusal_of(bool close) const;

  // The request body, on a coroutine of its own.
  void start_pump();
  task<void> stop_pump();
  task<void> pump();
  task<bool> pump_length();
  task<bool> pump_chunked();
  /// At least one octet in the session's buffer; false = upload trouble is set.
  task<bool> more_of_body();

  // The answer.
  task<answer> relay_answer(const wire::response_head& head, std::size_t head_size);
  task<bool> relay_body(wire::body_framing from, wire::body_framing to, std::uint64_t length,
                        std::string nominated);
  /// Moves of the `length` octets that are left what has come already, without a copy. False = trouble is
  /// set.
  task<bool> splice_body(std::uint64_t& length);
  task<bool> relay_chunks(wire::body_framing to, std::string nominated);
  /// Octets added to the answer's buffer; 0 = the origin closed, failed or was cut by a deadline.
  task<std::size_t> read_origin(std::size_t most = SIZE_MAX);

  /// Writes what the socket takes at once, and takes it off `what`. True: that was all. Most writes need no
  /// turn of the loop, nor a coroutine.
  bool send_at_once(way way, parts& what) noexcept;
  /// Lets the loop go round. The other side answers no sooner than that, so a read before it is in vain,
  /// nearly always, and costs more.
  task<void> others_first();
  /// A few times in a row, so that nobody else waits for long.
  bool may_go_on() noexcept;
  void count_moved(way way, std::uint64_t count) noexcept;
  /// `final` = of the answer proper, not an interim one.
  task<bool> to_client(parts what, bool final = true);
  task<bool> to_origin(parts what);
  void client_failed() noexcept;
  /// A claim that failed at first: waits for what others hold. False = trouble is set.
  task<bool> await_claim(octet_claim& claim, way way, std::uint64_t size);
  /// Ends both sides' waits; what moves no octet more is told apart by `cut_`.
  void cut(core::reason reason, std::string_view error) noexcept;
  void limit_trouble(way way, std::uint64_t size);
  /// In `audit`: what of these octets a limit would have kept back.
  void note_excess(way way) noexcept;
  /// What of a tunnel was read already.
  task<bool> charge_early();
  void moving() noexcept;
  /// Takes the memory that it needs besides the session's; false: there is none.
  bool take_buffers();
  bool charge_answer(const wire::response_head& head, std::size_t size) noexcept;
  void download_trouble(core::reason reason, std::string_view error) noexcept;
  void upload_trouble(core::reason reason, std::string_view error) noexcept;
  answer read_failed() noexcept;

  void hand_over_tunnel();
  void log_end(core::reason reason, std::string_view error) noexcept;
  static void log_soon_passed(void* self) noexcept;
  /// Closes so that the other side cannot take what it has for the whole.
  static void reset(stream_socket& socket) noexcept;

  session& session_;
  worker& worker_;
  request_record record_;
  request_facts request_;
  core::destination to_{core::ip_address{}, 0};
  upstream_key key_;
  std::string request_text_;
  /// The same in absolute form, for an upstream proxy that forwards; empty where none may.
  std::string forwarded_text_;
  std::size_t authority_at_ = 0, authority_size_ = 0;  ///< in it
  std::string answer_text_;
  std::optional<upstream_connection> origin_;
  std::uint64_t pool_generation_ = 0;  ///< of the policy that decided
  bool from_pool_ = false;
  bool may_retry_ = false;
  std::optional<pooled_buffer> answer_;
  memory_charge texts_;            ///< of the two heads, written anew
  std::uint64_t upload_mark_ = 0;  ///< up_ when the body's deadline was set
  bool uploading_ = false;         ///< that deadline runs
  error_code origin_error_;
  std::uint64_t up_ = 0;
  std::uint64_t down_ = 0;
  std::uint16_t status_ = 0;
  bool answer_started_ = false;  ///< octets of a final head have gone to the client
  bool answer_closes_ = false;   ///< and it said `Connection: close`
  bool body_done_ = true;        ///< the whole request body has gone to the origin
  bool origin_deaf_ = false;     ///< the origin takes no more of it; it may answer all the same
  bool pumping_ = false;
  bool waiting_ = false;      ///< the deadline of the answer's head runs
  bool more_ = false;         ///< the last read filled its room: the next one need not wait
  std::uint8_t at_once_ = 0;  ///< operations since the loop last had its turn
  core::reason trouble_ = core::reason::allowed;
  std::string_view trouble_text_;
  std::string limit_text_;   ///< what it points into, of a limit
  bool exchanging_ = false;  ///< octets may be on their way
  bool cut_ = false;         ///< by tighten()
  bool logged_ = false;
  deadline log_soon_;
  std::optional<steady_timer> pump_ended_;  ///< where there is a body
};

}  // namespace exeat::proxy
