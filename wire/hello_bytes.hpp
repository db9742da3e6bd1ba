// Builds ClientHellos for tests and fuzz seeds.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace exeat::wire::hello_bytes {

using bytes = std::vector<std::uint8_t>;

inline bytes operator+(bytes a, const bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline bytes number(std::size_t value, int octets) {
  bytes out;
  for (int i = octets - 1; i >= 0; --i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return out;
}
inline bytes text(std::string_view s) {
  return {s.begin(), s.end()};
}
/// With a length prefix of `octets`.
inline bytes sized(const bytes& body, int octets) {
  return number(body.size(), octets) + body;
}
inline bytes extension(std::uint16_t type, const bytes& body) {
  return number(type, 2) + sized(body, 2);
}
inline bytes server_name(std::string_view name) {
  return extension(0, sized(number(0, 1) + sized(text(name), 2), 2));
}
inline bytes alpn(const std::vector<std::string_view>& names) {
  bytes list;
  for (const auto name : names) list = std::move(list) + sized(text(name), 1);
  return extension(16, sized(list, 2));
}
inline bytes versions(const std::vector<std::uint16_t>& list) {
  bytes body;
  for (const auto version : list) body = std::move(body) + number(version, 2);
  return extension(43, sized(body, 1));
}
/// The handshake message around these extensions.
inline bytes message(const bytes& extensions) {
  const bytes body = number(0x0303, 2) + bytes(32, 0x5a) + sized(bytes(32, 0x01), 1) +
                     sized(number(0x0a0a1301, 4), 2) + sized(bytes{0}, 1) + sized(extensions, 2);
  return number(1, 1) + sized(body, 3);
}
/// The message in records of at most `chunk` octets.
inline bytes records(const bytes& message, std::size_t chunk = 16384) {
  bytes out;
  for (std::size_t at = 0; at < message.size(); at += chunk) {
    const auto from = message.begin() + static_cast<std::ptrdiff_t>(at);
    const auto size = std::min(chunk, message.size() - at);
    out = std::move(out) + bytes{0x16, 0x03, 0x01} +
          sized(bytes(from, from + static_cast<std::ptrdiff_t>(size)), 2);
  }
  return out;
}

}  // namespace exeat::wire::hello_bytes
