// OpenSSL's way to a non-blocking socket of ours: never SIGPIPE, and what went wrong can be asked for.
#pragma once
#include <openssl/bio.h>

#include <cstddef>
#include <cstdint>

namespace exeat::proxy {

struct tls_socket {
  int fd = -1;
  bool ended = false;          ///< the other side's FIN has been read
  std::uint64_t received = 0;  ///< octets
  std::uint64_t sent = 0;      ///< octets
  /// What may be read until it is set again: OpenSSL goes on by itself over records that carry no octets for
  /// us (key updates), for as long as there are any.
  std::size_t allowance = 0;
};

/// Reads and writes `socket`, which stays the caller's and must outlive it. Null: out of memory.
BIO* new_tls_bio(tls_socket& socket) noexcept;

}  // namespace exeat::proxy
