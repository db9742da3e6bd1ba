// OpenSSL's way to a non-blocking socket of ours: never SIGPIPE, and what went wrong can be asked for.
#pragma once
#include <openssl/bio.h>

#include <cstdint>

namespace exeat::proxy {

struct tls_socket {
  int fd = -1;
  bool ended = false;          ///< the other side's FIN has been read
  std::uint64_t received = 0;  ///< octets
};

/// Reads and writes `socket`, which stays the caller's and must outlive it. Null: out of memory.
BIO* new_tls_bio(tls_socket& socket) noexcept;

}  // namespace exeat::proxy
