// What one side shakes hands with: a TLS listener with its clients, or we with an upstream proxy.
#pragma once
#include <openssl/ssl.h>

#include <expected>
#include <memory>
#include <optional>
#include <string>

#include "config/settings.hpp"
#include "core/destination.hpp"

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

  /// For our side of the TLS with the server `name`, which must prove that name (or address): by a chain to
  /// `ca` (a PEM file; any certificate in it is an anchor), or to the system's CAs where `ca` is empty. The
  /// same terms otherwise. Everything is read now. Blocking file I/O. The error is a sentence.
  static std::expected<std::shared_ptr<const tls_context>, std::string> load_toward(const core::host& name,
                                                                                    const std::string& ca);

  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;

  SSL_CTX* native() const noexcept { return context_.get(); }
  bool asks_for_certificate() const noexcept { return asks_; }
  /// Whom our side of it is with; null: we are the server.
  const core::host* server() const noexcept { return server_ ? &*server_ : nullptr; }
  /// Sets the side of a new connection, and whom it must be with. False: out of memory.
  bool prepare(SSL* ssl) const noexcept;

 private:
  struct deleter {
    void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  };
  explicit tls_context(std::unique_ptr<SSL_CTX, deleter> context, bool asks,
                       const std::optional<core::host>& server = std::nullopt) noexcept
      : context_(std::move(context)), asks_(asks), server_(server) {}

  std::unique_ptr<SSL_CTX, deleter> context_;
  bool asks_;
  std::optional<core::host> server_;
};

/// Where SSL_set_app_data points to, if anywhere, what is wrong with the peer's certificate is written.
struct certificate_fault {
  std::string text;
};

}  // namespace exeat::proxy
