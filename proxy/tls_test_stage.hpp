// Certificates made on the spot, a client that speaks TLS with blocking calls, and a front on a worker's
// thread.
#pragma once
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "config/temporary_directory.hpp"
#include "proxy/tls_front.hpp"

namespace exeat::proxy::testing {

using namespace std::chrono_literals;

struct key_and_certificate {
  std::shared_ptr<EVP_PKEY> key;
  std::shared_ptr<X509> certificate;
};

struct wanted_certificate {
  std::string common_name = "client";
  std::string names;  ///< as in openssl.cnf: "URI:spiffe://a/b,DNS:c"
  std::string usage;  ///< "clientAuth"; empty: any
  long from = -3600;  ///< seconds from now
  long until = 3600;
  bool is_ca = false;
  long serial = 1;
};

inline void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  auto* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  REQUIRE(extension != nullptr);
  REQUIRE(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

/// Signed by `issuer`, or by itself. `change` has the last word before it is signed.
inline key_and_certificate make_certificate(const wanted_certificate& wanted,
                                            const key_and_certificate* issuer = nullptr,
                                            const std::function<void(X509*)>& change = {}) {
  key_and_certificate out;
  out.key.reset(EVP_EC_gen("P-256"), EVP_PKEY_free);
  out.certificate.reset(X509_new(), X509_free);
  auto* c = out.certificate.get();
  X509_set_version(c, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(c), wanted.serial);
  X509_gmtime_adj(X509_getm_notBefore(c), wanted.from);
  X509_gmtime_adj(X509_getm_notAfter(c), wanted.until);
  X509_set_pubkey(c, out.key.get());
  auto* name = X509_get_subject_name(c);
  if (!wanted.common_name.empty())
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wanted.common_name.data()),
                               static_cast<int>(wanted.common_name.size()), -1, 0);
  const auto& by = issuer == nullptr ? out : *issuer;
  X509_set_issuer_name(c, X509_get_subject_name(by.certificate.get()));
  auto* issued_by = by.certificate.get();
  add_extension(c, issued_by, NID_basic_constraints, wanted.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  add_extension(c, issued_by, NID_subject_key_identifier, "hash");
  if (wanted.is_ca) add_extension(c, issued_by, NID_key_usage, "critical,keyCertSign,cRLSign");
  if (!wanted.usage.empty()) add_extension(c, issued_by, NID_ext_key_usage, wanted.usage);
  if (!wanted.names.empty()) add_extension(c, issued_by, NID_subject_alt_name, wanted.names);
  if (change) change(c);
  REQUIRE(X509_sign(c, by.key.get(), EVP_sha256()) > 0);
  return out;
}

inline std::string pem_of(const std::function<int(BIO*)>& write) {
  BIO* bio = BIO_new(BIO_s_mem());
  REQUIRE(write(bio) == 1);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return out;
}
inline std::string pem_of(const key_and_certificate& one) {
  return pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, one.certificate.get()); });
}
inline std::string key_pem_of(const key_and_certificate& one) {
  return pem_of([&](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, one.key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}
/// A revocation list of `issuer`, in force until `until` seconds from now.
inline std::string crl_pem_of(const key_and_certificate& issuer, const std::vector<long>& revoked,
                              long until = 3600) {
  const std::shared_ptr<X509_CRL> list(X509_CRL_new(), X509_CRL_free);
  X509_CRL_set_version(list.get(), 1);
  X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(issuer.certificate.get()));
  const std::shared_ptr<ASN1_TIME> last(X509_gmtime_adj(nullptr, -3600), ASN1_TIME_free);
  const std::shared_ptr<ASN1_TIME> next(X509_gmtime_adj(nullptr, until), ASN1_TIME_free);
  X509_CRL_set1_lastUpdate(list.get(), last.get());
  X509_CRL_set1_nextUpdate(list.get(), next.get());
  for (const long serial : revoked) {
    auto* entry = X509_REVOKED_new();
    const std::shared_ptr<ASN1_INTEGER> number(ASN1_INTEGER_new(), ASN1_INTEGER_free);
    ASN1_INTEGER_set(number.get(), serial);
    X509_REVOKED_set_serialNumber(entry, number.get());
    X509_REVOKED_set_revocationDate(entry, last.get());
    X509_CRL_add0_revoked(list.get(), entry);
  }
  X509_CRL_sort(list.get());
  REQUIRE(X509_CRL_sign(list.get(), issuer.key.get(), EVP_sha256()) > 0);
  return pem_of([&](BIO* bio) { return PEM_write_bio_X509_CRL(bio, list.get()); });
}

/// A CA, a certificate of the proxy's, and their files.
struct authority {
  config::temporary_directory directory;
  key_and_certificate ca = make_certificate({.common_name = "test CA", .is_ca = true});
  key_and_certificate server =
      make_certificate({.common_name = "proxy", .names = "DNS:proxy.example", .serial = 2}, &ca);

  authority() {
    write("ca.pem", pem_of(ca));
    write("proxy.pem", pem_of(server));
    write("proxy.key", key_pem_of(server));
  }
  std::string path(const std::string& name) const { return directory / name; }
  void write(const std::string& name, const std::string& text, ::mode_t mode = 0600) const {
    const auto next = path(name + ".next");
    std::ofstream(next) << text;
    ::chmod(next.c_str(), mode);
    REQUIRE(::rename(next.c_str(), path(name).c_str()) == 0);
  }
  config::tls_settings files(bool ask = false, bool revoke = false) const {
    return {.certificate = path("proxy.pem"),
            .key = path("proxy.key"),
            .client_ca = ask ? path("ca.pem") : "",
            .crl = revoke ? path("ca.crl") : ""};
  }
  key_and_certificate client(wanted_certificate wanted) const {
    if (wanted.serial == 1) wanted.serial = 7;
    return make_certificate(wanted, &ca);
  }
};

/// A connected TCP pair on loopback: {client, server}.
inline std::pair<int, int> connected_pair() {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(listener, 1) == 0);
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size) == 0);
  const int a = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::connect(a, reinterpret_cast<sockaddr*>(&at), size) == 0);
  const int b = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  ::close(listener);
  return {a, b};
}

inline void mask_sigpipe(int how) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(how, &set, nullptr);
}

/// A worker: its thread runs what is started on it.
struct worker_stage {
  asio::io_context context{1};
  timer_wheel wheel{context};
  live_fronts fronts;
  asio::executor_work_guard<executor> work{context.get_executor()};
  std::thread thread;

  worker_stage() {
    wheel.start();
    thread = std::thread([this] {
      mask_sigpipe(SIG_UNBLOCK);  // the worker must do without
      context.run();
    });
  }
  ~worker_stage() {
    on_thread([this] { fronts.abort_all(); });
    context.stop();
    thread.join();
  }
  template <typename F>
  void on_thread(F f) {
    std::promise<void> ran;
    asio::post(context, [&] {
      f();
      ran.set_value();
    });
    ran.get_future().get();
  }
  /// Of the plain side: a session does it on this thread.
  void close(int fd) {
    on_thread([fd] { ::close(fd); });
  }
  bool soon_empty() {
    for (int i = 0; i < 2000; ++i) {
      bool empty = false;
      on_thread([&] { empty = fronts.empty(); });
      if (empty) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
};

/// A TLS client with blocking calls.
struct tls_client {
  std::shared_ptr<SSL_CTX> context{SSL_CTX_new(TLS_client_method()), SSL_CTX_free};
  std::shared_ptr<SSL> ssl;
  int fd = -1;

  explicit tls_client(int descriptor, const key_and_certificate* own = nullptr,
                      const std::function<void(SSL_CTX*)>& change = {})
      : fd(descriptor) {
    mask_sigpipe(SIG_BLOCK);
    // A test that waits for ever would say nothing.
    const timeval patience{20, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (own != nullptr) {
      SSL_CTX_use_certificate(context.get(), own->certificate.get());
      SSL_CTX_use_PrivateKey(context.get(), own->key.get());
    }
    if (change) change(context.get());
    ssl.reset(SSL_new(context.get()), SSL_free);
    SSL_set_fd(ssl.get(), fd);
  }
  ~tls_client() { close(); }
  tls_client(const tls_client&) = delete;
  tls_client& operator=(const tls_client&) = delete;
  void close() {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
  /// Under TLS 1.3 the client's handshake is done before the server has judged its certificate.
  bool connect() { return SSL_connect(ssl.get()) == 1; }
  bool write(std::string_view text) {
    while (!text.empty()) {
      const int n =
          SSL_write(ssl.get(), text.data(), static_cast<int>(std::min<std::size_t>(text.size(), 1 << 20)));
      if (n <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  /// Up to `most` octets, less at an end; `orderly` says whether that was close_notify.
  std::string read(std::size_t most, bool* orderly = nullptr) {
    std::string out;
    std::vector<char> block(1 << 16);
    if (orderly != nullptr) *orderly = false;
    while (out.size() < most) {
      ERR_clear_error();
      const int n =
          SSL_read(ssl.get(), block.data(), static_cast<int>(std::min(block.size(), most - out.size())));
      if (n <= 0) {
        if (orderly != nullptr) *orderly = SSL_get_error(ssl.get(), n) == SSL_ERROR_ZERO_RETURN;
        break;
      }
      out.append(block.data(), static_cast<std::size_t>(n));
    }
    return out;
  }
};

/// A client's connection through a front, to the plain side that a session would have.
struct front_stage {
  worker_stage worker;
  int client = -1;
  int server = -1;  ///< the front's; to look at only
  std::future<std::expected<plain_side, front_failure>> result;

  explicit front_stage(std::shared_ptr<const tls_context> tls, std::chrono::milliseconds timeout = 20s) {
    const auto [c, s] = connected_pair();
    client = c;
    server = s;
    auto promise = std::make_shared<std::promise<std::expected<plain_side, front_failure>>>();
    result = promise->get_future();
    worker.on_thread([&, accepted = s] {
      start_tls(worker.context, worker.wheel, std::move(tls), accepted, timeout, worker.fronts,
                [promise](auto outcome) { promise->set_value(std::move(outcome)); });
    });
  }
  std::expected<plain_side, front_failure> outcome() {
    REQUIRE(result.wait_for(20s) == std::future_status::ready);
    return result.get();
  }
  /// The plain side, blocking, as a session's reads and writes would be to it.
  int plain() {
    auto out = outcome();
    if (!out) FAIL(out.error().text);
    ::fcntl(out->fd, F_SETFL, ::fcntl(out->fd, F_GETFL) & ~O_NONBLOCK);
    const timeval patience{20, 0};
    ::setsockopt(out->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return out->fd;
  }
};

inline std::shared_ptr<const tls_context> load(const config::tls_settings& files) {
  auto out = tls_context::load(files);
  if (!out) FAIL(out.error());
  return *out;
}

inline std::string octets(std::size_t size) {
  std::string out(size, '\0');
  std::uint32_t x = 7;
  for (auto& c : out) {
    x = x * 1664525 + 1013904223;
    c = static_cast<char>(x >> 24);
  }
  return out;
}

}  // namespace exeat::proxy::testing
