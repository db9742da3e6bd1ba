// The first bytes of a tunnel: what a TLS client says before anything is encrypted (RFC 8446 4.1.2, 5.1).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/host_name.hpp"
#include "wire/fault.hpp"

namespace exeat::wire {

/// A text of bounded size that owns its octets; anything outside printable ASCII has become '?'.
template <std::size_t N>
class bounded_text {
 public:
  std::string_view view() const noexcept { return {text_.data(), size_}; }
  bool empty() const noexcept { return size_ == 0; }
  void clear() noexcept { size_ = 0; }
  void append(std::string_view text) noexcept {
    for (const char c : text) {
      if (size_ == N) return;
      text_[size_++] = c > 0x20 && c < 0x7F ? c : '?';
    }
  }

 private:
  std::array<char, N> text_;
  std::uint16_t size_ = 0;
};

/// What a ClientHello tells in the clear. Owns everything; no view into the input.
struct client_hello {
  bool has_sni = false;                ///< a server_name extension is there
  std::optional<core::host_name> sni;  ///< its name where it is a valid host name without a trailing dot
  bool sni_is_address = false;         ///< it is an IP address in some spelling (RFC 6066 3 forbids that)
  bounded_text<255> sni_text;          ///< as sent, for the log
  bounded_text<64> alpn;               ///< the offered protocols, comma-separated, cut at 64 octets
  std::uint16_t highest_version = 0;  ///< 0x0304 for TLS 1.3; of supported_versions without GREASE, or legacy
  bool has_ech = false;  ///< encrypted_client_hello (0xfe0d), one of its drafts, or ESNI: GREASE or not
};

/// No hello, with its record headers, may be larger.
inline constexpr std::size_t max_client_hello = 16 * 1024;

enum class hello_status : std::uint8_t {
  need_more,
  done,
  not_tls,  ///< the first bytes are not a TLS handshake record
  error,    ///< TLS, but no sound ClientHello within 16 KiB
};

/// Strict incremental parser. Each call gets everything the client has sent so far, from the first byte on
/// (the caller keeps it anyway, to forward it unchanged); the buffer may have moved. The outcome does not
/// depend on how the bytes were cut. A hello within one record is parsed where it lies; one that spans
/// records is put together in a buffer of at most 16 KiB, freed by reset(). Not thread-safe.
///
/// Refused, beyond lengths that do not add up to the last byte: a handshake message other than ClientHello;
/// an empty record; a record of another type within the hello; a byte behind the hello within its last record
/// (it would hide a second message from us); a duplicate extension; more than 128 extensions; a server_name
/// list that is not exactly one host_name; a compression list without null; pre_shared_key that is not last.
class client_hello_parser {
 public:
  hello_status feed(std::span<const std::uint8_t> everything_so_far);

  /// Valid on done.
  const client_hello& hello() const noexcept { return hello_; }
  /// Why not, on error and not_tls.
  const fault& error() const noexcept { return error_; }
  /// Bytes up to the end of the record in which the hello ends; valid on done. More may follow (early data).
  std::size_t size() const noexcept { return record_start_; }
  void reset() noexcept { *this = client_hello_parser(); }

 private:
  hello_status refuse(std::string_view detail) noexcept;
  hello_status finish(std::span<const std::uint8_t> message) noexcept;

  std::size_t record_start_ = 0;         // of the next record not yet taken in
  std::vector<std::uint8_t> assembled_;  // payload of all records before it, only once a second one is needed
  std::optional<hello_status> verdict_;
  client_hello hello_;
  fault error_;
};

}  // namespace exeat::wire
