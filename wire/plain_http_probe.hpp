// Does a tunnel that should carry TLS start with a plain HTTP request?
#pragma once
#include <cstddef>
#include <string_view>

#include "wire/octets.hpp"

namespace exeat::wire {

/// True where the bytes start like a request line: an upper-case method of 3 to 16 letters, a space, and,
/// where one more byte is there, a target that starts with "/", "*" or a letter. For the text of a refusal
/// only: what a CONNECT to port 80 with plain HTTP inside looks like.
constexpr bool looks_like_plain_http(std::string_view first_bytes) noexcept {
  std::size_t letters = 0;
  while (letters < first_bytes.size() && first_bytes[letters] >= 'A' && first_bytes[letters] <= 'Z')
    ++letters;
  if (letters < 3 || letters > 16 || letters == first_bytes.size() || first_bytes[letters] != ' ')
    return false;
  if (letters + 1 == first_bytes.size()) return true;
  const char target = first_bytes[letters + 1];
  return target == '/' || target == '*' || is(target, octet_alpha);
}

}  // namespace exeat::wire
