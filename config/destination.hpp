// What a person writes for a destination: a URL or HOST:PORT.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "core/destination.hpp"

namespace exeat::config {

struct wanted {
  core::scheme scheme = core::scheme::https;
  core::destination to;
  /// Of an http or ws URL: what stands behind the authority, without query and fragment; "/" where nothing
  /// does.
  std::string path = "/";
};

/// How a name may be spelled.
enum class name_spelling : std::uint8_t {
  wire,    ///< as a client sends it: ASCII
  policy,  ///< as a policy may have it: U-labels are converted (IDNA 2008)
};

/// "https://HOST[:PORT]/...", "http://...", "wss://...", "ws://...", "HOST:PORT" (a CONNECT) or "HOST" (port
/// 443). Judged by the same parsers as a request. The error is a sentence.
std::expected<wanted, std::string> parse_destination(std::string_view text,
                                                     name_spelling spelling = name_spelling::wire);

}  // namespace exeat::config
