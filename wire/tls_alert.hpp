// Saying no to a client that speaks TLS: one fatal alert in the clear, before any handshake (RFC 8446 6).
#pragma once
#include <array>
#include <cstdint>

namespace exeat::wire {

enum class tls_alert : std::uint8_t {
  handshake_failure = 40,
  decode_error = 50,
  access_denied = 49,
  unrecognized_name = 112,
};

/// The whole record. Clients show the description by name (curl: "tlsv1 alert access denied").
constexpr std::array<std::uint8_t, 7> fatal_alert(tls_alert description) noexcept {
  constexpr std::uint8_t alert = 21;
  constexpr std::uint8_t fatal = 2;
  return {alert, 0x03, 0x03, 0x00, 0x02, fatal, static_cast<std::uint8_t>(description)};
}

}  // namespace exeat::wire
