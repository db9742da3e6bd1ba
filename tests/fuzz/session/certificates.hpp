// Certificates of the session target, made when it starts, and the other end of a TLS connection of the
// proxy's.
#pragma once
#include <openssl/ssl.h>
#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/tls_source.hpp"

namespace exeat::fuzz {

/// A folder for files that the product reads once; gone with the object.
class secret_folder {
 public:
  secret_folder();
  ~secret_folder();
  secret_folder(const secret_folder&) = delete;
  secret_folder& operator=(const secret_folder&) = delete;
  /// Gives the path.
  std::string write(std::string_view name, std::string_view text) const;

 private:
  std::string path_;
};

/// Ed25519 and X25519 throughout: every message of a handshake has one length, whatever is random in it.
class certificates {
 public:
  static certificates& get();
  /// Both of hop's certificates, the true one and the impostor's: the second is trusted, and says another
  /// name.
  const std::string& pem() const noexcept { return pem_; }
  /// For listeners, with the true certificate; its files are never looked at again. `asks`: for a client's
  /// certificate.
  const std::shared_ptr<proxy::tls_source>& source(bool asks) const noexcept {
    return sources_[asks ? 1 : 0];
  }
  SSL_CTX* of_hop(bool impostor) const noexcept { return of_hop_[impostor ? 1 : 0]; }
  /// `proves`: with a certificate of "spiffe://fuzz/agent".
  SSL_CTX* of_client(bool proves) const noexcept { return of_client_[proves ? 1 : 0]; }

 private:
  certificates();
  std::string pem_;
  SSL_CTX* of_hop_[2];
  SSL_CTX* of_client_[2];
  std::shared_ptr<proxy::tls_source> sources_[2];
};

/// TLS over a non-blocking socket that somebody else closes.
class tls_end {
 public:
  /// We are the server of `impostor` or the true one's certificate, or the client.
  static tls_end server(int fd, bool impostor);
  static tls_end client(int fd, bool proves);

  bool is_open() const noexcept { return open_; }
  /// Goes on with the handshake; false where nothing moved.
  bool shake();
  /// As send() and recv(); -1 also before the handshake is done.
  ssize_t send(const char* data, std::size_t size) noexcept;
  ssize_t recv(char* into, std::size_t size) noexcept;
  /// close_notify.
  void end() noexcept;

 private:
  tls_end(SSL_CTX* context, int fd);
  struct deleter {
    void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
  };
  std::unique_ptr<SSL, deleter> ssl_;
  bool open_ = false, failed_ = false;
};

}  // namespace exeat::fuzz
