#pragma once
#include <openssl/ssl.h>

#include <cstddef>
#include <string_view>

namespace exeat::bench {

enum class io { done, again, closed, failed };

/// A non-blocking socket, with TLS on it or not. Owns both. With TLS the handshake runs inside the first
/// calls.
class channel {
 public:
  channel() = default;
  explicit channel(int descriptor) : descriptor_{descriptor} {}
  ~channel() { shut(); }
  channel(channel&& other) noexcept;
  channel& operator=(channel&& other) noexcept;
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;

  [[nodiscard]] bool open() const { return descriptor_ >= 0; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  void shut();

  /// From here on everything is TLS: as a client that asks for `host`, or (empty) as a server.
  void secure(SSL_CTX* context, const char* host);
  /// Sends what goes and takes it off the front of `rest`; `done` when nothing is left.
  io send(std::string_view& rest);
  /// `done` with `got` > 0.
  io receive(char* into, std::size_t room, std::size_t& got);

 private:
  io said(int result);

  int descriptor_ = -1;
  SSL* tls_ = nullptr;
};

/// TLS 1.3 with a P-256 certificate made on the spot: full handshakes each time, for no session is ever kept.
struct tls_contexts {
  SSL_CTX* client = nullptr;
  SSL_CTX* server = nullptr;
  tls_contexts();
  ~tls_contexts();
  tls_contexts(const tls_contexts&) = delete;
  tls_contexts& operator=(const tls_contexts&) = delete;
};

}  // namespace exeat::bench
