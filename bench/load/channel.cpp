#include "load/channel.hpp"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace exeat::bench {

channel::channel(channel&& other) noexcept
    : descriptor_{std::exchange(other.descriptor_, -1)}, tls_{std::exchange(other.tls_, nullptr)} {}

channel& channel::operator=(channel&& other) noexcept {
  if (this != &other) {
    shut();
    descriptor_ = std::exchange(other.descriptor_, -1);
    tls_ = std::exchange(other.tls_, nullptr);
  }
  return *this;
}

void channel::shut() {
  SSL_free(std::exchange(tls_, nullptr));
  if (descriptor_ >= 0) {
    close(std::exchange(descriptor_, -1));
  }
}

void channel::secure(SSL_CTX* context, const char* host) {
  tls_ = SSL_new(context);
  SSL_set_fd(tls_, descriptor_);
  if (*host != '\0') {
    SSL_set_tlsext_host_name(tls_, host);
    SSL_set_connect_state(tls_);
  } else {
    SSL_set_accept_state(tls_);
  }
}

io channel::said(int result) {
  switch (SSL_get_error(tls_, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return io::again;
    case SSL_ERROR_ZERO_RETURN:
      return io::closed;
    default:
      return io::failed;
  }
}

io channel::send(std::string_view& rest) {
  while (!rest.empty()) {
    if (tls_ != nullptr) {
      const int sent = SSL_write(tls_, rest.data(), static_cast<int>(rest.size()));
      if (sent <= 0) {
        return said(sent);
      }
      rest.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    const auto sent = ::send(descriptor_, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      // ENOTCONN: the handshake of TCP is not through yet.
      return errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS ? io::again : io::failed;
    }
    rest.remove_prefix(static_cast<std::size_t>(sent));
  }
  return io::done;
}

io channel::receive(char* into, std::size_t room, std::size_t& got) {
  got = 0;
  if (tls_ != nullptr) {
    const int result = SSL_read(tls_, into, static_cast<int>(room));
    if (result <= 0) {
      return said(result);
    }
    got = static_cast<std::size_t>(result);
    return io::done;
  }
  const auto result = recv(descriptor_, into, room, 0);
  if (result > 0) {
    got = static_cast<std::size_t>(result);
    return io::done;
  }
  if (result == 0) {
    return io::closed;
  }
  return errno == EAGAIN || errno == ENOTCONN ? io::again : io::failed;
}

namespace {

SSL_CTX* context_of(const SSL_METHOD* method) {
  SSL_CTX* context = SSL_CTX_new(method);
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

void sign_for_itself(SSL_CTX* context) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("bench"), -1,
                             -1, 0);
  X509_set_issuer_name(certificate, name);
  if (X509_sign(certificate, key, EVP_sha256()) == 0 || SSL_CTX_use_certificate(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey(context, key) != 1) {
    fmt::print(stderr, "load: no certificate could be made\n");
    std::exit(1);
  }
  X509_free(certificate);
  EVP_PKEY_free(key);
}

}  // namespace

tls_contexts::tls_contexts()
    : client{context_of(TLS_client_method())}, server{context_of(TLS_server_method())} {
  sign_for_itself(server);
  // What is measured is the proxy between two ends that trust each other.
  SSL_CTX_set_verify(client, SSL_VERIFY_NONE, nullptr);
}

tls_contexts::~tls_contexts() {
  SSL_CTX_free(client);
  SSL_CTX_free(server);
}

}  // namespace exeat::bench
