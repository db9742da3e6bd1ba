// Who gets through the handshake, and as whom.
#include "proxy/tls_front.hpp"

#include "proxy/tls_test_stage.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

namespace {

// What a front says of a client that shakes hands with `own`, and then whether an octet comes through.
std::expected<plain_side, front_failure> shake_hands(const config::tls_settings& files,
                                                     const key_and_certificate* own = nullptr,
                                                     const std::function<void(SSL_CTX*)>& change = {}) {
  front_stage stage(load(files));
  tls_client client(stage.client, own, change);
  const bool connected = client.connect();
  auto out = stage.outcome();
  if (out) {
    REQUIRE(connected);
    REQUIRE(client.write("x"));
    char octet = 0;
    for (int i = 0; i < 4000 && ::recv(out->fd, &octet, 1, 0) != 1; ++i) std::this_thread::sleep_for(5ms);
    CHECK(octet == 'x');
    stage.worker.close(out->fd);
    out->fd = -1;
  } else {
    CHECK(out.error().reason == core::reason::tls_handshake);
    CHECK_FALSE(out.error().text.empty());
    CHECK_FALSE(out.error().silent);
    CHECK(client.read(1).empty());
  }
  client.close();
  CHECK(stage.worker.soon_empty());
  return out;
}

std::string fault_of(const config::tls_settings& files, const key_and_certificate* own = nullptr,
                     const std::function<void(SSL_CTX*)>& change = {}) {
  const auto out = shake_hands(files, own, change);
  return out ? std::string() : out.error().text;
}

void highest(SSL_CTX* context, int version) {
  SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
  SSL_CTX_set_max_proto_version(context, version);
  SSL_CTX_set_security_level(context, 0);
}

}  // namespace

TEST_CASE("a client without a certificate, where none is asked for") {
  const authority of;
  const auto out = shake_hands(of.files());
  REQUIRE(out);
  CHECK_FALSE(out->certificate);
}

TEST_CASE("a client with a certificate is called by its names") {
  const authority of;
  const auto agent =
      of.client({.common_name = "agent", .names = "URI:spiffe://ci.example/j/agent", .usage = "clientAuth"});
  const auto out = shake_hands(of.files(true), &agent);
  REQUIRE(out);
  REQUIRE(out->certificate);
  CHECK(out->certificate->uris == std::vector<std::string>{"spiffe://ci.example/j/agent"});
  CHECK(out->certificate->common_name == "agent");
  // Where no certificate is asked for, one is no proof.
  const auto unasked = shake_hands(of.files(), &agent);
  REQUIRE(unasked);
  CHECK_FALSE(unasked->certificate);
}

TEST_CASE("no certificate, one of another CA, expired, not yet valid, not for clients") {
  const authority of;
  const authority other;
  CHECK(fault_of(of.files(true)) == "the client sent no certificate");
  const auto foreign = other.client({.common_name = "agent"});
  CHECK(fault_of(of.files(true), &foreign).contains("(CN \"agent\")"));
  const auto own = make_certificate({.common_name = "self"});
  CHECK(fault_of(of.files(true), &own).contains("self-signed"));
  const auto late = of.client({.from = -7200, .until = -60});
  CHECK(fault_of(of.files(true), &late).contains("certificate has expired"));
  const auto early = of.client({.from = 600, .until = 3600});
  CHECK(fault_of(of.files(true), &early).contains("not yet valid"));
  const auto server = of.client({.usage = "serverAuth"});
  CHECK(fault_of(of.files(true), &server).contains("purpose"));
  // The certificate without its key.
  const key_and_certificate stolen{own.key, of.client({}).certificate};
  CHECK(!fault_of(of.files(true), &stolen).empty());
}

TEST_CASE("a revoked certificate, a list that is out of date, and none at all") {
  const authority of;
  const auto good = of.client({.serial = 40});
  const auto bad = of.client({.serial = 41});
  of.write("ca.crl", crl_pem_of(of.ca, {41}));
  const auto files = of.files(true, true);
  CHECK(fault_of(files, &good).empty());
  CHECK(fault_of(files, &bad).contains("revoked"));
  of.write("ca.crl", crl_pem_of(of.ca, {41}, -60));
  CHECK(fault_of(files, &good).contains("CRL has expired"));
  const authority other;
  of.write("ca.crl", crl_pem_of(other.ca, {}));  // it has the same name, but another key
  CHECK(!fault_of(files, &good).empty());
  const auto unlike = make_certificate({.common_name = "another CA", .is_ca = true});
  of.write("ca.crl", crl_pem_of(unlike, {}));
  CHECK(fault_of(files, &good).contains("unable to get certificate CRL"));
}

TEST_CASE("an intermediate CA: as an anchor, and below one") {
  const authority of;
  const auto below = make_certificate({.common_name = "below", .is_ca = true, .serial = 50}, &of.ca);
  const auto agent = make_certificate({.common_name = "agent", .serial = 51}, &below);
  const auto send_chain = [&](SSL_CTX* context) {
    SSL_CTX_add1_chain_cert(context, below.certificate.get());
  };
  const auto files = of.files(true, true);

  of.write("ca.crl", crl_pem_of(of.ca, {}));
  CHECK(fault_of(files, &agent, send_chain).contains("unable to get certificate CRL"));
  of.write("ca.crl", crl_pem_of(of.ca, {}) + crl_pem_of(below, {}));
  CHECK(fault_of(files, &agent, send_chain).empty());
  CHECK(!fault_of(files, &agent).empty());  // the client keeps what leads to its CA to itself
  of.write("ca.crl", crl_pem_of(of.ca, {50}) + crl_pem_of(below, {}));
  CHECK(fault_of(files, &agent, send_chain).contains("revoked"));

  of.write("ca.pem", pem_of(below));
  of.write("ca.crl", crl_pem_of(below, {}));
  CHECK(fault_of(files, &agent).empty());
  const auto beside = of.client({.common_name = "beside"});
  CHECK(!fault_of(files, &beside).empty());
  of.write("ca.crl", crl_pem_of(below, {51}));
  CHECK(fault_of(files, &agent).contains("revoked"));
}

TEST_CASE("TLS 1.2 and 1.3, and nothing older") {
  const authority of;
  const auto agent = of.client({});
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    CHECK(fault_of(of.files(true), &agent, [=](SSL_CTX* c) { highest(c, version); }).empty());
  }
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    CHECK(fault_of(of.files(true), &agent, [=](SSL_CTX* c) { highest(c, version); }) ==
          "the client knows no TLS version from 1.2 on");
  }
  const auto old_ciphers = [](SSL_CTX* c) {
    highest(c, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(c, "AES128-SHA:ECDHE+AES128+SHA1");
  };
  CHECK(fault_of(of.files(), nullptr, old_ciphers).contains("no shared cipher"));
}

TEST_CASE("HTTP/1.1 alone in ALPN") {
  const authority of;
  const auto offer = [](std::string_view list) {
    return [=](SSL_CTX* c) {
      SSL_CTX_set_alpn_protos(c, reinterpret_cast<const unsigned char*>(list.data()),
                              static_cast<unsigned>(list.size()));
    };
  };
  CHECK(fault_of(of.files(), nullptr, offer("\x02h2\x08http/1.1")).empty());
  CHECK(fault_of(of.files(), nullptr, offer("\x08http/1.1")).empty());
  CHECK(fault_of(of.files(), nullptr, offer("\x02h2")).contains("ALPN"));
  CHECK(fault_of(of.files(), nullptr, offer("\x08http/1.0")).contains("ALPN"));
}

TEST_CASE("no session outlives its connection") {
  const authority of;
  const auto tls = load(of.files());
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    std::shared_ptr<SSL_SESSION> kept;
    for (int round = 0; round < 2; ++round) {
      front_stage stage(tls);
      tls_client client(stage.client, nullptr, [=](SSL_CTX* c) { highest(c, version); });
      if (kept) SSL_set_session(client.ssl.get(), kept.get());
      REQUIRE(client.connect());
      const int plain = stage.plain();
      REQUIRE(::send(plain, "hello", 5, MSG_NOSIGNAL) == 5);
      CHECK(client.read(5) == "hello");  // a ticket would have come before it
      CHECK_FALSE(SSL_session_reused(client.ssl.get()));
      kept.reset(SSL_get1_session(client.ssl.get()), SSL_SESSION_free);
      CHECK_FALSE(SSL_SESSION_is_resumable(kept.get()));
      stage.worker.close(plain);
    }
  }
}

TEST_CASE("no renegotiation") {
  const authority of;
  front_stage stage(load(of.files()));
  tls_client client(stage.client, nullptr, [](SSL_CTX* c) { highest(c, TLS1_2_VERSION); });
  REQUIRE(client.connect());
  const int plain = stage.plain();
  SSL_renegotiate(client.ssl.get());
  SSL_do_handshake(client.ssl.get());
  CHECK_FALSE(SSL_do_handshake(client.ssl.get()) == 1);
  stage.worker.close(plain);
}

TEST_CASE("a client without TLS is told so") {
  const authority of;
  front_stage stage(load(of.files()));
  const std::string request = "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n";
  REQUIRE(::send(stage.client, request.data(), request.size(), 0) == static_cast<::ssize_t>(request.size()));
  const auto out = stage.outcome();
  REQUIRE_FALSE(out);
  CHECK(out.error().reason == core::reason::tls_handshake);
  CHECK(out.error().text ==
        "the client speaks HTTP without TLS: its proxy URL begins with http://, not https://");
  std::string answer;
  char block[512];
  for (::ssize_t n = 0; (n = ::recv(stage.client, block, sizeof block, 0)) > 0;)
    answer.append(block, static_cast<std::size_t>(n));
  CHECK(answer.starts_with("HTTP/1.1 400 tls-handshake\r\n"));
  const auto body = answer.substr(answer.find("\r\n\r\n") + 4);
  CHECK(answer.contains("Content-Length: " + std::to_string(body.size()) + "\r\n"));
  ::close(stage.client);
  CHECK(stage.worker.soon_empty());
}

TEST_CASE("a client that says nothing, or goes in the middle") {
  const authority of;
  const auto tls = load(of.files());
  for (const std::string_view sent : {std::string_view(), std::string_view("\x16\x03\x01", 3)}) {
    front_stage stage(tls);
    REQUIRE(::send(stage.client, sent.data(), sent.size(), 0) == static_cast<::ssize_t>(sent.size()));
    ::close(stage.client);
    const auto out = stage.outcome();
    REQUIRE_FALSE(out);
    CHECK(out.error().reason == core::reason::tls_handshake);
    CHECK(out.error().silent == sent.empty());
    CHECK(stage.worker.soon_empty());
  }
}

TEST_CASE("a handshake has a deadline") {
  const authority of;
  front_stage stage(load(of.files()), 60ms);
  const auto out = stage.outcome();
  REQUIRE_FALSE(out);
  CHECK(out.error().reason == core::reason::tls_handshake);
  CHECK(out.error().text.contains("timeouts.head"));
  char octet = 0;
  CHECK(::recv(stage.client, &octet, 1, 0) <= 0);
  ::close(stage.client);
  CHECK(stage.worker.soon_empty());
}

TEST_CASE("an aborted handshake calls nobody") {
  const authority of;
  front_stage stage(load(of.files()));
  stage.worker.on_thread([&] { stage.worker.fronts.abort_all(); });
  CHECK(stage.worker.soon_empty());
  char octet = 0;
  CHECK(::recv(stage.client, &octet, 1, 0) <= 0);
  // The promise went with the callback.
  REQUIRE(stage.result.wait_for(20s) == std::future_status::ready);
  CHECK_THROWS_AS(stage.result.get(), std::future_error);
  ::close(stage.client);
}

TEST_CASE("draining ends those who have not said anything, and nobody else") {
  const authority of;
  const auto tls = load(of.files());
  front_stage silent(tls);
  silent.worker.on_thread([&] { silent.worker.fronts.drain(); });
  CHECK(silent.worker.soon_empty());
  ::close(silent.client);

  front_stage stage(tls);
  tls_client client(stage.client);
  REQUIRE(client.connect());
  const int plain = stage.plain();
  stage.worker.on_thread([&] { stage.worker.fronts.drain(); });
  REQUIRE(::send(plain, "still here", 10, MSG_NOSIGNAL) == 10);
  CHECK(client.read(10) == "still here");
  stage.worker.close(plain);
}
