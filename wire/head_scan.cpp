#include "wire/head_scan.hpp"

#include <algorithm>
#include <cstring>

#include "wire/octets.hpp"
#include "wire/request_line.hpp"

namespace exeat::wire {

using core::reason;

namespace {

// A lower bound on how many octets of 0x20 to 0x7E stand in front, eight at a time: a byte of `x` is below n
// where x - n borrows into its top bit, and x has none there.
std::size_t printable_size(std::string_view text) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101;
  constexpr std::uint64_t tops = 0x8080808080808080;
  std::size_t size = 0;
  for (; size + 8 <= text.size(); size += 8) {
    std::uint64_t x = 0;
    std::memcpy(&x, text.data() + size, 8);
    const auto del = x ^ (0x7f * ones);
    if (((x | (x - 0x20 * ones) | (del - ones)) & tops) != 0) break;
  }
  return size;
}

}  // namespace

parse_status head_scan::feed(std::string_view buffer, const head_limits& limits) noexcept {
  if (state_ == state::complete) return parse_status::done;
  if (state_ == state::refused) return parse_status::error;
  const std::size_t end = std::min(buffer.size(), limits.bytes);
  const std::size_t most_lines = std::min(limits.fields, max_head_fields) + 1;

  while (position_ < end) {
    const char c = buffer[position_];
    switch (state_) {
      case state::line_start:
        line_start_ = position_;
        if (lines_ == 0 && kind_ == head_kind::request && c == 0x16) {
          return refuse(
              reason::tls_on_plain,
              "TLS bytes on a plain port: write the proxy's URL as http://, https targets included");
        }
        if (lines_ == 0 && kind_ == head_kind::request && (c == 0x04 || c == 0x05)) {
          return refuse(reason::bad_character,
                        "SOCKS, by its first octet: this is an HTTP proxy, its URL begins with http://");
        }
        if (lines_ > 0 && (c == ' ' || c == '\t')) {
          return refuse(reason::obs_fold, "a field line starts with white space");
        }
        state_ = state::in_line;
        break;
      case state::in_line: {
        const auto octets = lines_ == 0 && kind_ == head_kind::request ? octet_printable : octet_text;
        auto at = position_ + printable_size(buffer.substr(position_, end - position_));
        while (at < end && is(buffer[at], octets)) ++at;
        position_ = at;
        if (position_ == end) break;
        const char stop = buffer[position_];
        if (stop == '\r') {
          state_ = state::after_cr;
          ++position_;
          break;
        }
        if (stop == '\n') return refuse(reason::bad_line_ending, "a line ends in LF without CR");
        return refuse(reason::bad_character, octets == octet_printable && is(stop, octet_text)
                                                 ? "a byte outside printable ASCII stands in the request line"
                                                 : "a control character stands in the head");
      }
      case state::after_cr: {
        if (c != '\n') return refuse(reason::bad_line_ending, "a CR is not followed by LF");
        const auto line = buffer.substr(line_start_, position_ - 1 - line_start_);
        ++position_;
        state_ = state::line_start;
        if (line.empty()) {
          if (lines_ > 0) {
            state_ = state::complete;
            return parse_status::done;
          }
          if (kind_ == head_kind::response || start_ != 0) {
            return refuse(reason::bad_request_line, "empty lines stand where the start line should");
          }
          start_ = position_;
          break;
        }
        ++lines_;
        if (lines_ == 1 && kind_ == head_kind::request) {
          if (const auto parsed = parse_request_line(line); !parsed) {
            return refuse(parsed.error().reason, parsed.error().detail);
          }
        }
        if (lines_ > most_lines) return refuse(reason::too_many_fields, "the head has too many fields");
        break;
      }
      case state::complete:
      case state::refused:
        break;
    }
  }
  if (position_ >= limits.bytes) return refuse(reason::head_too_large, "the head is too large");
  return parse_status::need_more;
}

}  // namespace exeat::wire
