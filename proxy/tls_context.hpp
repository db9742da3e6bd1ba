// What a TLS listener shakes hands with: one loading of its files.
#pragma once
#include <openssl/ssl.h>

#include <expected>
#include <memory>
#include <string>

#include "config/settings.hpp"

namespace exeat::proxy {

/// TLS 1.2 at least, forward secrecy always, HTTP/1.1 alone in ALPN, no renegotiation, and no resumption:
/// each connection is held against the certificates of its time. Immutable; any thread.
class tls_context {
 public:
  /// Reads the files. The key must be readable by its owner alone, and none of them writable by others
  /// (config/file_trust.hpp). Where `client_ca` is set, a client must prove a certificate that leads to one
  /// of its certificates (any of them is an anchor, intermediate ones as well) and is good for a TLS client;
  /// where `crl` is set, every certificate below the anchor must have a list in force. Blocking file I/O. The
  /// error is a sentence that names the file.
  static std::expected<std::shared_ptr<const tls_context>, std::string> load(
      const config::tls_settings& files);

  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;

  SSL_CTX* native() const noexcept { return context_.get(); }
  bool asks_for_certificate() const noexcept { return asks_; }

 private:
  struct deleter {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  };
  explicit tls_context(std::unique_ptr<SSL_CTX, deleter> context, bool asks) noexcept
      : context_(std::move(context)), asks_(asks) {}

  std::unique_ptr<SSL_CTX, deleter> context_;
  bool asks_;
};

/// Where SSL_set_app_data points to, if anywhere, what is wrong with a client's certificate is written.
struct certificate_fault {
  std::string text;
};

}  // namespace exeat::proxy
