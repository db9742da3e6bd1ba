// The first look at a head: raw octets only, before any tokenizer gets a chance to repair something.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "wire/fault.hpp"

namespace exeat::wire {

/// The most fields that any head may have; `head_limits::fields` above it counts as this.
inline constexpr std::size_t max_head_fields = 128;

struct head_limits {
  std::size_t bytes = 32 * 1024;  ///< of the whole head, the empty line included
  std::size_t fields = max_head_fields;
};

enum class head_kind : std::uint8_t { request, response };

/// Finds the end of a head, octet by octet, and remembers where it stopped, so that a head that arrives in a
/// thousand pieces is looked at once. Each call gets the buffer from the head's first octet on, longer than
/// before or equal; the buffer may have moved. The outcome does not depend on how the head was cut.
///
/// Lines end in CRLF (bad_line_ending); no NUL or control character other than HTAB (bad_character); no fold
/// (obs_fold), which includes white space before the first field; nothing above 0x7F and no HTAB in a request
/// line (bad_character). Before a request line one empty line is skipped, no more (RFC 9112 2.2 wants at
/// least one skipped; old clients send one behind a POST body). A request that starts with 0x16 is
/// tls_on_plain at once, and a request line is judged for HTTP/2 and HTTP/0.9 when it is complete, for those
/// clients wait.
class head_scan {
 public:
  explicit head_scan(head_kind kind) noexcept : kind_(kind) {}

  parse_status feed(std::string_view buffer, const head_limits& limits) noexcept;
  void reset() noexcept { *this = head_scan(kind_); }

  const fault& error() const noexcept { return error_; }
  /// Of the start line, within the buffer: past a skipped empty line.
  std::size_t start() const noexcept { return start_; }
  /// One past the head's last octet; valid when done.
  std::size_t end() const noexcept { return position_; }

 private:
  parse_status refuse(core::reason why, std::string_view detail) noexcept {
    error_ = {why, detail};
    state_ = state::refused;
    return parse_status::error;
  }
  enum class state : std::uint8_t { line_start, in_line, after_cr, complete, refused };

  head_kind kind_;
  state state_ = state::line_start;
  std::size_t position_ = 0;
  std::size_t start_ = 0;
  std::size_t line_start_ = 0;
  std::size_t lines_ = 0;  // complete ones, the start line included
  fault error_;
};

}  // namespace exeat::wire
