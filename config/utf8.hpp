// UTF-8 (RFC 3629), only as much as judging a file's octets takes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace exeat::config {

/// Octets of the well-formed sequence that `text` starts with, 1 to 4; 0 where it is malformed (overlong,
/// surrogate, beyond U+10FFFF, cut short) or `text` is empty.
std::size_t utf8_sequence(std::string_view text) noexcept;

/// The code point of exactly one well-formed sequence.
std::uint32_t utf8_value(std::string_view sequence) noexcept;

/// C1 controls, bidirectional controls, line and paragraph separators, and byte order marks: what makes a
/// reviewer read something else than the parser does.
bool hides_text(std::uint32_t code_point) noexcept;

}  // namespace exeat::config
