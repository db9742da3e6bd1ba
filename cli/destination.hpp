// What a person writes for a destination: a URL or HOST:PORT.
#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "core/destination.hpp"

namespace exeat::cli {

struct wanted {
  core::scheme scheme = core::scheme::https;
  core::destination to;
};

/// "https://HOST[:PORT]/...", "http://...", "wss://...", "ws://...", "HOST:PORT" (a CONNECT) or "HOST" (port
/// 443). Judged by the same parsers as a request. The error is a sentence.
std::expected<wanted, std::string> parse_destination(std::string_view text);

}  // namespace exeat::cli
