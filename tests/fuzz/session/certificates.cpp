#include "tests/fuzz/session/certificates.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/expect.hpp"
#include "tests/fuzz/session/stage.hpp"

namespace exeat::fuzz {
namespace {

using key_pointer = std::shared_ptr<EVP_PKEY>;
using certificate_pointer = std::shared_ptr<X509>;

key_pointer new_key() {
  key_pointer key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free);
  EXPECT(key);
  return key;
}

certificate_pointer new_certificate(EVP_PKEY* key, const char* common_name, const std::string& names) {
  certificate_pointer out(X509_new(), X509_free);
  auto* c = out.get();
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
  X509_gmtime_adj(X509_getm_notBefore(c), -86400);
  X509_gmtime_adj(X509_getm_notAfter(c), 86400L * 3650);
  X509_set_pubkey(c, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name), -1, -1, 0);
  X509_set_issuer_name(c, X509_get_subject_name(c));
  auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  EXPECT(extension != nullptr && X509_add_ext(c, extension, -1) == 1);
  X509_EXTENSION_free(extension);
  EXPECT(X509_sign(c, key, nullptr) > 0);
  return out;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}

std::string pem_of(X509* certificate) {
  auto* bio = BIO_new(BIO_s_mem());
  EXPECT(PEM_write_bio_X509(bio, certificate) == 1);
  return text_of(bio);
}

std::string pem_of(EVP_PKEY* key) {
  auto* bio = BIO_new(BIO_s_mem());
  EXPECT(PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_of(bio);
}

SSL_CTX* new_context(const SSL_METHOD* method) {
  auto* context = SSL_CTX_new(method);
  EXPECT(context != nullptr && SSL_CTX_set1_groups_list(context, "X25519") == 1);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  return context;
}

}  // namespace

secret_folder::secret_folder() {
  path_ = (std::filesystem::temp_directory_path() / "exeat-fuzz-XXXXXX").string();
  EXPECT(::mkdtemp(path_.data()) != nullptr);
}

secret_folder::~secret_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string secret_folder::write(std::string_view name, std::string_view text) const {
  auto path = path_ + "/" + std::string(name);
  std::ofstream(path, std::ios::binary) << text;
  EXPECT(::chmod(path.c_str(), 0600) == 0);
  return path;
}

certificates& certificates::get() {
  static certificates only;
  return only;
}

certificates::certificates() {
  const std::string names =
      "DNS:hop.test,IP:" + stage::get().address(origin::hop).to_string() + ",DNS:proxy.test";
  const auto key = new_key();
  const auto certificate = new_certificate(key.get(), "hop", names);
  const auto key_of_other = new_key();
  const auto other = new_certificate(key_of_other.get(), "other", "DNS:hop.test.example,IP:127.0.0.9");
  pem_ = pem_of(certificate.get()) + pem_of(other.get());
  for (const bool impostor : {false, true}) {
    auto* context = of_hop_[impostor ? 1 : 0] = new_context(TLS_server_method());
    EXPECT(SSL_CTX_use_certificate(context, impostor ? other.get() : certificate.get()) == 1);
    EXPECT(SSL_CTX_use_PrivateKey(context, impostor ? key_of_other.get() : key.get()) == 1);
  }
  const auto key_of_client = new_key();
  const auto client = new_certificate(key_of_client.get(), "client", "URI:spiffe://fuzz/agent");
  for (const bool proves : {false, true}) {
    auto* context = of_client_[proves ? 1 : 0] = new_context(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    if (!proves) continue;
    EXPECT(SSL_CTX_use_certificate(context, client.get()) == 1);
    EXPECT(SSL_CTX_use_PrivateKey(context, key_of_client.get()) == 1);
  }

  const secret_folder folder;
  const auto chain = folder.write("proxy.pem", pem_of(certificate.get()));
  const auto key_file = folder.write("proxy.key", pem_of(key.get()));
  const auto client_ca = folder.write("client.pem", pem_of(client.get()));
  for (const bool asks : {false, true}) {
    auto opened = proxy::tls_source::open(
        {.certificate = chain, .key = key_file, .client_ca = asks ? client_ca : "", .crl = {}});
    if (!opened) std::fprintf(stderr, "%s\n", opened.error().c_str());
    EXPECT(opened.has_value());
    auto& source = sources_[asks ? 1 : 0];
    source = std::move(*opened);
    // The next look at the files lies behind all that the clock of an input can say.
    (void)source->current(std::chrono::steady_clock::time_point(std::chrono::hours(24 * 365 * 100)));
  }
}

tls_end::tls_end(SSL_CTX* context, int fd) : ssl_(SSL_new(context)) {
  EXPECT(ssl_ && SSL_set_fd(ssl_.get(), fd) == 1);
}

tls_end tls_end::server(int fd, bool impostor) {
  tls_end out(certificates::get().of_hop(impostor), fd);
  SSL_set_accept_state(out.ssl_.get());
  return out;
}

tls_end tls_end::client(int fd, bool proves) {
  tls_end out(certificates::get().of_client(proves), fd);
  SSL_set_connect_state(out.ssl_.get());
  return out;
}

bool tls_end::shake() {
  if (open_ || failed_) return false;
  ERR_clear_error();
  const auto before = SSL_get_state(ssl_.get());
  const int result = SSL_do_handshake(ssl_.get());
  open_ = result == 1;
  if (!open_) {
    const int error = SSL_get_error(ssl_.get(), result);
    failed_ = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
  }
  return open_ || failed_ || SSL_get_state(ssl_.get()) != before;
}

ssize_t tls_end::send(const char* data, std::size_t size) noexcept {
  if (!open_ || failed_ || size == 0) return -1;
  ERR_clear_error();
  const int n = SSL_write(ssl_.get(), data, static_cast<int>(size));
  if (n > 0) return n;
  const int error = SSL_get_error(ssl_.get(), n);
  failed_ = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
  return -1;
}

ssize_t tls_end::recv(char* into, std::size_t size) noexcept {
  if (!open_ || failed_) return -1;
  ERR_clear_error();
  const int n = SSL_read(ssl_.get(), into, static_cast<int>(size));
  if (n > 0) return n;
  const int error = SSL_get_error(ssl_.get(), n);
  failed_ = error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE && error != SSL_ERROR_ZERO_RETURN;
  return -1;
}

void tls_end::end() noexcept {
  ERR_clear_error();
  if (open_ && !failed_) (void)SSL_shutdown(ssl_.get());
}

}  // namespace exeat::fuzz
