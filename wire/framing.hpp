// How long a body is, by the one reading that is allowed (RFC 9112 6).
#pragma once
#include <cstdint>
#include <expected>

#include "wire/field.hpp"

namespace exeat::wire {

enum class body_framing : std::uint8_t {
  none,         ///< no body; a request or response without content
  length,       ///< exactly content_length octets (0 where Content-Length: 0 was sent)
  chunked,      ///< chunked.hpp
  until_close,  ///< responses only: to the end of the connection
};

/// What Content-Length and Transfer-Encoding declare together.
struct declared_length {
  body_framing framing = body_framing::none;  ///< none, length or chunked
  std::uint64_t content_length = 0;
};

/// Transfer-Encoding is one field with the one coding `chunked` (any case), in HTTP/1.1; Content-Length is
/// one field of at most 18 digits without leading zeros; never both. Equal duplicates are refused like
/// others. Faults: bad_transfer_encoding, bad_content_length, length_conflict.
std::expected<declared_length, fault> read_framing(const field_list& fields, unsigned minor) noexcept;

}  // namespace exeat::wire
