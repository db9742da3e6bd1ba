#include "proxy/tls_context.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include "config/file_trust.hpp"
#include "proxy/tls_names.hpp"

namespace exeat::proxy {
namespace {

template <typename T, void (*release)(T*)>
struct releaser {
  void operator()(T* object) const noexcept { release(object); }
};
using certificate = std::unique_ptr<X509, releaser<X509, X509_free>>;
using revocations = std::unique_ptr<X509_CRL, releaser<X509_CRL, X509_CRL_free>>;
using private_key = std::unique_ptr<EVP_PKEY, releaser<EVP_PKEY, EVP_PKEY_free>>;
using text_reader = std::unique_ptr<BIO, releaser<BIO, BIO_free_all>>;
using failure = std::unexpected<std::string>;

constexpr std::size_t largest_key = 64UL << 10;
constexpr std::size_t largest_file = 64UL << 20;  // revocation lists grow

std::string reason_of_openssl() {
  const char* text = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return text == nullptr ? "OpenSSL gives no reason" : text;
}

std::expected<std::string, std::string> read(const std::string& path, std::size_t most, bool secret) {
  auto text =
      config::read_trusted_file(path, {.max_size = most, .refuse_writers = true, .refuse_readers = secret});
  if (!text) return failure(text.error().to_string());
  return std::move(*text);
}

// Every object of one kind in a PEM file, in order.
template <typename T, auto read_one>
std::expected<std::vector<T>, std::string> read_all(const std::string& path, std::string_view what) {
  const auto text = read(path, largest_file, false);
  if (!text) return failure(text.error());
  const text_reader reader(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  if (!reader) return failure("out of memory");
  std::vector<T> out;
  ERR_clear_error();
  for (;;) {
    T one(read_one(reader.get(), nullptr, nullptr, nullptr));
    if (!one) break;
    out.push_back(std::move(one));
  }
  const auto last = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (!at_end)
    return failure(fmt::format("{}: the {} number {} cannot be read: {}", path, what, out.size() + 1,
                               reason_of_openssl()));
  ERR_clear_error();
  if (out.empty()) return failure(fmt::format("{}: the file holds no {} in PEM form", path, what));
  return out;
}

int no_passphrase(char*, int, int, void*) noexcept {
  return -1;
}

std::expected<private_key, std::string> read_key(const std::string& path) {
  auto text = read(path, largest_key, true);
  if (!text) return failure(text.error());
  const text_reader reader(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  ERR_clear_error();
  private_key out(reader ? PEM_read_bio_PrivateKey(reader.get(), nullptr, no_passphrase, nullptr) : nullptr);
  const bool encrypted = text->contains("ENCRYPTED");
  OPENSSL_cleanse(text->data(), text->size());
  if (out) return out;
  const auto why = reason_of_openssl();
  if (encrypted) return failure(fmt::format("{}: a key with a passphrase is of no use here", path));
  return failure(fmt::format("{}: the file holds no private key in PEM form: {}", path, why));
}

// Of what the client offers, HTTP/1.1 or nothing: HTTP/2 must not begin by mistake.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) noexcept {
  static constexpr std::string_view only = "http/1.1";
  for (unsigned int at = 0; at < offered_size;) {
    const unsigned int size = offered[at++];
    if (size > offered_size - at) break;
    if (std::string_view(reinterpret_cast<const char*>(offered + at), size) == only) {
      *chosen = offered + at;
      *chosen_size = static_cast<unsigned char>(size);
      return SSL_TLSEXT_ERR_OK;
    }
    at += size;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int judge_chain(int ok, X509_STORE_CTX* chain) noexcept {
  if (ok == 1) return 1;
  const int error = X509_STORE_CTX_get_error(chain);
  const int depth = X509_STORE_CTX_get_error_depth(chain);
  // The anchor at the end of the chain is trusted by the operator's word: no list is asked of whoever signed
  // it. Revocation is judged once the chain has been built up to an anchor, and only then.
  if (error == X509_V_ERR_UNABLE_TO_GET_CRL && depth > 0 &&
      depth == sk_X509_num(X509_STORE_CTX_get0_chain(chain)) - 1) {
    X509_STORE_CTX_set_error(chain, X509_V_OK);
    return 1;
  }
  const auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* fault = ssl == nullptr ? nullptr : static_cast<certificate_fault*>(SSL_get_app_data(ssl));
  const auto* at = X509_STORE_CTX_get_current_cert(chain);
  if (fault == nullptr || at == nullptr) return 0;
  try {
    fault->text = fmt::format("the {} certificate does not verify: {} ({})",
                              SSL_is_server(ssl) == 1 ? "client's" : "upstream's",
                              X509_verify_cert_error_string(error), describe_subject(*at));
  } catch (const std::exception&) {
    fault->text.clear();  // out of memory: refused without a word
  }
  return 0;
}

std::string trust(SSL_CTX* context, const std::string& file) {
  auto* store = SSL_CTX_get_cert_store(context);
  const auto anchors = read_all<certificate, PEM_read_bio_X509>(file, "certificate");
  if (!anchors) return anchors.error();
  for (const auto& anchor : *anchors) {
    if (X509_STORE_add_cert(store, anchor.get()) != 1)
      return fmt::format("{}: {}", file, reason_of_openssl());
  }
  return {};
}

// Where distributions keep the CAs in one file (Debian, Fedora, Alpine and the BSDs, SUSE). A directory of
// hashed names would be read during handshakes, on a worker.
constexpr std::array system_bundles{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                    "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem"};

std::string trust_system(SSL_CTX* context) {
  for (const auto* file : system_bundles) {
    if (::access(file, R_OK) == 0) return trust(context, file);
  }
  return "no file with the CA certificates of the system was found: name one with `ca`";
}

std::string ask_for_certificates(SSL_CTX* context, const config::tls_settings& files) {
  auto* store = SSL_CTX_get_cert_store(context);
  const auto anchors = read_all<certificate, PEM_read_bio_X509>(files.client_ca, "certificate");
  if (!anchors) return anchors.error();
  for (const auto& anchor : *anchors) {
    if (X509_STORE_add_cert(store, anchor.get()) != 1 || SSL_CTX_add_client_CA(context, anchor.get()) != 1)
      return fmt::format("{}: {}", files.client_ca, reason_of_openssl());
  }
  unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN;
  if (!files.crl.empty()) {
    const auto lists = read_all<revocations, PEM_read_bio_X509_CRL>(files.crl, "revocation list");
    if (!lists) return lists.error();
    for (const auto& list : *lists) {
      if (X509_STORE_add_crl(store, list.get()) != 1)
        return fmt::format("{}: {}", files.crl, reason_of_openssl());
    }
    flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
  }
  X509_STORE_set_flags(store, flags);
  if (SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT) != 1) return reason_of_openssl();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, judge_chain);
  return {};
}

std::string present_certificate(SSL_CTX* context, const config::tls_settings& files) {
  const auto chain = read_all<certificate, PEM_read_bio_X509>(files.certificate, "certificate");
  if (!chain) return chain.error();
  const auto key = read_key(files.key);
  if (!key) return key.error();
  if (SSL_CTX_use_certificate(context, chain->front().get()) != 1)
    return fmt::format("{}: {}", files.certificate, reason_of_openssl());
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) != 1)
      return fmt::format("{}: {}", files.certificate, reason_of_openssl());
  }
  if (SSL_CTX_use_PrivateKey(context, key->get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return fmt::format("{} is not the key of the certificate in {}: {}", files.key, files.certificate,
                       reason_of_openssl());
  return {};
}

bool set_terms(SSL_CTX* context) noexcept {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_verify_depth(context, 10);
  SSL_CTX_set_security_level(context, 2);
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_num_tickets(context, 0) == 1 && SSL_CTX_set_max_early_data(context, 0) == 1 &&
         SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
}

}  // namespace

std::expected<std::shared_ptr<const tls_context>, std::string> tls_context::load(
    const config::tls_settings& files) {
  ERR_clear_error();
  std::unique_ptr<SSL_CTX, deleter> context(SSL_CTX_new(TLS_server_method()));
  if (!context || !set_terms(context.get())) return failure("TLS: " + reason_of_openssl());
  SSL_CTX_set_alpn_select_cb(context.get(), choose_protocol, nullptr);
  if (auto wrong = present_certificate(context.get(), files); !wrong.empty())
    return failure(std::move(wrong));
  const bool asks = !files.client_ca.empty();
  if (asks) {
    if (auto wrong = ask_for_certificates(context.get(), files); !wrong.empty())
      return failure(std::move(wrong));
  }
  return std::shared_ptr<const tls_context>(new tls_context(std::move(context), asks));
}

std::expected<std::shared_ptr<const tls_context>, std::string> tls_context::load_toward(
    const core::host& name, const std::string& ca) {
  static constexpr unsigned char protocols[] = "\x08http/1.1";
  ERR_clear_error();
  std::unique_ptr<SSL_CTX, deleter> context(SSL_CTX_new(TLS_client_method()));
  if (!context || !set_terms(context.get()) ||
      SSL_CTX_set_alpn_protos(context.get(), protocols, sizeof protocols - 1) != 0)
    return failure("TLS: " + reason_of_openssl());
  auto wrong = ca.empty() ? trust_system(context.get()) : trust(context.get(), ca);
  if (!wrong.empty()) return failure(std::move(wrong));
  X509_STORE_set_flags(SSL_CTX_get_cert_store(context.get()), ca.empty() ? 0 : X509_V_FLAG_PARTIAL_CHAIN);
  if (SSL_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER) != 1)
    return failure("TLS: " + reason_of_openssl());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, judge_chain);
  return std::shared_ptr<const tls_context>(new tls_context(std::move(context), false, name));
}

bool tls_context::prepare(SSL* ssl) const noexcept {
  if (!server_) {
    SSL_set_accept_state(ssl);
    return true;
  }
  SSL_set_connect_state(ssl);
  auto* terms = SSL_get0_param(ssl);
  if (const auto* address = std::get_if<core::ip_address>(&*server_)) {
    return X509_VERIFY_PARAM_set1_ip(terms, address->bytes().data(), address->bytes().size()) == 1;
  }
  const auto name = std::get<core::host_name>(*server_).view();
  std::array<char, core::host_name::max_size + 1> text{};
  std::ranges::copy(name, text.begin());
  X509_VERIFY_PARAM_set_hostflags(terms,
                                  X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  return X509_VERIFY_PARAM_set1_host(terms, text.data(), name.size()) == 1 &&
         SSL_set_tlsext_host_name(ssl, text.data()) == 1;
}

}  // namespace exeat::proxy
