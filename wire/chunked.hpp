// Chunked bodies (RFC 9112 7.1), read strictly and written anew.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace exeat::wire {

/// What one call of chunked_decoder::next found.
struct chunk_step {
  enum class kind : std::uint8_t {
    data,       ///< `data` holds body octets, a view into the input
    need_more,  ///< all input is taken; the body goes on
    end,        ///< the body is complete; what follows `consumed` is not part of it
    error,      ///< not one unambiguous body: see detail()
  };
  kind what = kind::need_more;
  std::size_t consumed = 0;  ///< octets of the input to drop, data included
  std::string_view data;
};

/// Incremental decoder. Call next() with the octets not yet consumed until it says need_more, end or error.
/// The body and the verdict do not depend on how the octets were cut.
///
/// Strict: a size is 1 to 16 hex digits and below 2^62, with no sign, prefix or white space; every line ends
/// in CRLF; chunk data is followed by CRLF. Extensions are dropped: at most 256 octets on a line and 16 KiB
/// in a body, of HTAB and printable ASCII. Trailers are parsed like fields, at most 32 of them and 8 KiB;
/// those that RFC 9110 6.5.1 forbids (framing, routing, modifiers, authentication, content and cache rules,
/// cookies), all that concern the connection, Proxy-* and what the head's Connection nominates are dropped.
/// Allocates only for trailers.
class chunked_decoder {
 public:
  /// `nominated`: nominated_names() of the head.
  explicit chunked_decoder(std::string nominated = {}) noexcept : nominated_(std::move(nominated)) {}

  static constexpr std::size_t max_extension_line = 256;
  static constexpr std::size_t max_extensions = 16 * 1024;
  static constexpr std::size_t max_trailer_bytes = 8 * 1024;
  static constexpr std::size_t max_trailers = 32;

  chunk_step next(std::string_view input);

  /// Of several chunks at once.
  struct gathered {
    chunk_step::kind then = chunk_step::kind::need_more;  ///< what follows the data; never `data`
    std::size_t consumed = 0;                             ///< octets of the input to drop, data included
    std::string_view data;                                ///< of all chunks that were there, in a row
  };
  /// As next(), again and again until all input is taken, but moves the data of the chunks together within
  /// `input`: whoever sends chunks of one octet each costs no write for each of them.
  gathered gather(std::span<char> input);

  /// Octets of the current chunk that are still to come: a relay may move that many without looking at them,
  /// and reports them with skip().
  std::uint64_t chunk_left() const noexcept { return state_ == state::data ? left_ : 0; }
  /// Not more than chunk_left().
  void skip(std::uint64_t octets) noexcept;

  /// Field lines with CRLF, as they may be forwarded; valid at the end.
  std::string_view trailers() const noexcept { return trailers_; }
  std::string_view detail() const noexcept { return detail_; }
  void reset() noexcept;

 private:
  enum class state : std::uint8_t {
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer,
    trailer_lf,
    last_lf,
    complete,
    refused,
  };
  chunk_step refuse(std::string_view detail, std::size_t consumed) noexcept;
  bool take_trailer();

  state state_ = state::size;
  std::uint8_t digits_ = 0;
  std::uint64_t left_ = 0;
  std::size_t extension_line_ = 0;
  std::size_t extensions_ = 0;
  std::size_t trailer_count_ = 0;
  std::size_t trailer_bytes_ = 0;
  std::string line_;
  std::string nominated_;
  std::string trailers_;
  std::string_view detail_;
};

/// True where a field may not be sent as a trailer (RFC 9110 6.5.1) or not across this hop.
bool is_forbidden_trailer(std::string_view name) noexcept;

/// The line in front of a chunk: hex size and CRLF. The chunk's octets and CRLF (chunk_end) follow. `size` >
/// 0.
class chunk_header {
 public:
  explicit chunk_header(std::uint64_t size) noexcept;
  std::string_view view() const noexcept { return {text_.data() + start_, text_.size() - start_}; }

 private:
  std::array<char, 18> text_;
  std::size_t start_;
};
inline constexpr std::string_view chunk_end = "\r\n";

/// Appends what ends a chunked body: the last chunk, the trailers (field lines with CRLF), the empty line.
void append_last_chunk(std::string& out, std::string_view trailers = {});

}  // namespace exeat::wire
