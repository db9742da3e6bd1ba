#include "wire/client_hello.hpp"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "wire/hello_bytes.hpp"
#include "wire/plain_http_probe.hpp"
#include "wire/tls_alert.hpp"

using namespace exeat;
using namespace exeat::wire::hello_bytes;
using wire::hello_status;

namespace {

struct outcome {
  hello_status status;
  std::string detail;
  std::string sni;
  std::string sni_text;
  std::string alpn;
  unsigned version = 0;
  bool has_sni = false;
  bool is_address = false;
  bool ech = false;
  std::size_t size = 0;
  friend bool operator==(const outcome&, const outcome&) = default;
};

outcome of(const wire::client_hello_parser& parser, hello_status status) {
  outcome out{status};
  if (status == hello_status::error || status == hello_status::not_tls) out.detail = parser.error().detail;
  if (status != hello_status::done) return out;
  const auto& hello = parser.hello();
  if (hello.sni) out.sni = hello.sni->view();
  out.sni_text = hello.sni_text.view();
  out.alpn = hello.alpn.view();
  out.version = hello.highest_version;
  out.has_sni = hello.has_sni;
  out.is_address = hello.sni_is_address;
  out.ech = hello.has_ech;
  out.size = parser.size();
  return out;
}

outcome parse(const bytes& input) {
  wire::client_hello_parser parser;
  return of(parser, parser.feed(input));
}

outcome parse_in_steps(const bytes& input, std::size_t step) {
  wire::client_hello_parser parser;
  for (std::size_t n = 0;; n = std::min(n + step, input.size())) {
    const bytes buffer(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(n));
    const auto status = parser.feed(buffer);
    if (status != hello_status::need_more || n == input.size()) return of(parser, status);
  }
}

// Judged whole, octet by octet, and cut once at every position.
outcome judge(const bytes& input) {
  const auto whole = parse(input);
  CHECK(parse_in_steps(input, 1) == whole);
  if (input.size() < 1000) {
    for (std::size_t at = 1; at < input.size(); ++at) {
      wire::client_hello_parser parser;
      const bytes first(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(at));
      auto status = parser.feed(first);
      if (status == hello_status::need_more) status = parser.feed(input);
      CHECK(of(parser, status) == whole);
    }
  }
  return whole;
}

bytes typical(std::string_view name) {
  return extension(0x1a1a, {}) + server_name(name) + extension(10, sized(number(0x001d, 2), 2)) +
         alpn({"h2", "http/1.1"}) + versions({0x2a2a, 0x0304, 0x0303}) + extension(0x3a3a, {0});
}

// What OpenSSL really sends.
bytes openssl_hello(const char* name, int max_version) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()),
                                                                  &SSL_CTX_free);
  SSL_CTX_set_max_proto_version(context.get(), max_version);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
  BIO* const out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  if (name != nullptr) SSL_set_tlsext_host_name(ssl.get(), name);
  const unsigned char protocols[] = "\x02h2\x08http/1.1";
  SSL_set_alpn_protos(ssl.get(), protocols, sizeof(protocols) - 1);
  SSL_set_connect_state(ssl.get());
  SSL_do_handshake(ssl.get());
  bytes wire(65536);
  const int size = BIO_read(out, wire.data(), static_cast<int>(wire.size()));
  wire.resize(static_cast<std::size_t>(std::max(size, 0)));
  return wire;
}

}  // namespace

TEST_CASE("a hello in one record") {
  const auto input = records(message(typical("API.example.com")));
  const auto got = judge(input);
  CHECK(got.status == hello_status::done);
  CHECK(got.sni == "api.example.com");
  CHECK(got.sni_text == "API.example.com");
  CHECK(got.alpn == "h2,http/1.1");
  CHECK(got.version == 0x0304);
  CHECK(got.has_sni);
  CHECK_FALSE(got.is_address);
  CHECK_FALSE(got.ech);
  CHECK(got.size == input.size());
  CHECK(parse(input + bytes{0x17, 0x03, 0x03, 0x00, 0x01, 0x00}).size == input.size());
}

TEST_CASE("no protocol passes for two in the log") {
  const auto got =
      judge(records(message(server_name("api.example.com") + alpn({"h2,spdy", "a b", "http/1.1"}))));
  CHECK(got.status == hello_status::done);
  CHECK(got.alpn == "h2?spdy,a?b,http/1.1");
}

TEST_CASE("hellos as OpenSSL sends them") {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const auto input = openssl_hello("www.example.org", version);
    const auto got = judge(input);
    CHECK(got.status == hello_status::done);
    CHECK(got.sni == "www.example.org");
    CHECK(got.alpn == "h2,http/1.1");
    CHECK(got.version == static_cast<unsigned>(version));
    CHECK(got.size == input.size());
  }
  const auto without = judge(openssl_hello(nullptr, TLS1_3_VERSION));
  CHECK(without.status == hello_status::done);
  CHECK_FALSE(without.has_sni);
}

TEST_CASE("a hello over several records") {
  const auto whole = message(typical("a.example"));
  for (const std::size_t chunk : {1U, 2U, 3U, 4U, 5U, 7U, 50U, 100U}) {
    CAPTURE(chunk);
    const auto input = records(whole, chunk);
    const auto got = judge(input);
    CHECK(got.status == hello_status::done);
    CHECK(got.sni == "a.example");
    CHECK(got.size == input.size());
  }
}

TEST_CASE("a post-quantum hello") {
  const auto share = extension(51, sized(number(0x11ec, 2) + sized(bytes(1216, 7), 2), 2));
  const auto got = judge(records(message(typical("pq.example") + share + extension(21, bytes(300, 0)))));
  CHECK(got.status == hello_status::done);
  CHECK(got.sni == "pq.example");
}

TEST_CASE("not TLS") {
  for (const auto& input :
       {text("GET / HTTP/1.1\r\n"), text("SSH-2.0-x\r\n"), bytes{0x80, 0x2e, 1}, bytes{0}, bytes{0x17, 3, 3},
        bytes{0x15, 3, 3}, bytes{0x16, 0x02}, bytes{0x16, 0xfe, 0xfd}}) {
    CHECK(judge(input).status == hello_status::not_tls);
  }
  CHECK(judge({}).status == hello_status::need_more);
  CHECK(judge({0x16}).status == hello_status::need_more);
  CHECK(judge({0x16, 0x03}).status == hello_status::need_more);
}

TEST_CASE("what SNI may say") {
  struct row {
    std::string_view name;
    std::string sni;
    bool address;
  };
  for (const auto& [name, sni, address] : std::initializer_list<row>{
           {"x.example", "x.example", false},
           {"x.example.", "", false},
           {"1.2.3.4", "", true},
           {"0x7f.1", "", true},
           {"::1", "", true},
           {"[::1]", "", true},
           {std::string_view("a\0.example", 10), "", false},
           {"a b", "", false},
           {"*.example", "", false},
           {"b\xc3\xbc.example", "", false},
       }) {
    CAPTURE(name);
    const auto got = judge(records(message(server_name(name))));
    CHECK(got.status == hello_status::done);
    CHECK(got.has_sni);
    CHECK(got.sni == sni);
    CHECK(got.is_address == address);
    CHECK(got.sni_text.find('\0') == std::string::npos);
  }
  const auto long_name = std::string(300, 'a');
  const auto got = judge(records(message(server_name(long_name))));
  CHECK(got.status == hello_status::done);
  CHECK(got.sni.empty());
  CHECK(got.sni_text.size() == 255);
}

TEST_CASE("ECH in any draft is seen") {
  for (const std::uint16_t type : std::initializer_list<std::uint16_t>{0xfe0d, 0xfe0a, 0xfe08, 0xffce}) {
    CHECK(judge(records(message(server_name("a.example") + extension(type, bytes(40, 1))))).ech);
  }
}

TEST_CASE("a hello that does not add up is refused") {
  const auto entry = number(0, 1) + sized(text("a.example"), 2);
  const auto good = message(typical("a.example"));
  const auto with = [](const bytes& extensions) { return records(message(extensions)); };
  auto longer = good;
  longer[3] = static_cast<std::uint8_t>(longer[3] + 1);
  auto other_type = good;
  other_type[0] = 2;
  auto long_session = good;
  long_session[38] = 33;
  bytes many;
  for (std::uint16_t i = 0; i < 129; ++i)
    many = std::move(many) + extension(static_cast<std::uint16_t>(1000 + i), {});
  const auto body_without_compression = number(0x0303, 2) + bytes(32, 1) + sized({}, 1) +
                                        sized(number(0x1301, 2), 2) + sized({1}, 1) + sized({}, 2);
  const auto body_of_old_version = number(0x0203, 2) + bytes(32, 1) + sized({}, 1) +
                                   sized(number(0x1301, 2), 2) + sized({0}, 1) + sized({}, 2);
  const auto odd_ciphers = number(0x0303, 2) + bytes(32, 1) + sized({}, 1) + sized(number(0x130113, 3), 2) +
                           sized({0}, 1) + sized({}, 2);
  const auto hello = [](const bytes& body) { return records(number(1, 1) + sized(body, 3)); };
  const bytes bad[] = {
      with(server_name("a.example") + server_name("a.example")),                 // repeated extension
      with(extension(5, {}) + extension(5, {})),                                 //
      with(extension(0, sized(entry + entry, 2))),                               // two names
      with(extension(0, sized(number(1, 1) + sized(text("a.example"), 2), 2))),  // another name type
      with(extension(0, sized(number(0, 1) + sized({}, 2), 2))),                 // empty name
      with(extension(0, sized({}, 2))),                                          // empty list
      with(extension(0, {})),                                                    // no list
      with(extension(0, sized(entry, 2) + bytes{0})),                            // trailing octet
      with(extension(0, number(entry.size() + 1, 2) + entry)),                   // length too long
      with(extension(0, number(entry.size() - 1, 2) + entry)),                   // length too short
      with(extension(16, sized({}, 2))),                                         // ALPN: empty list
      with(extension(16, sized(sized({}, 1), 2))),                               // ALPN: empty name
      with(extension(16, sized(bytes{5, 'h', '2'}, 2))),                         // ALPN: name too long
      with(extension(16, sized(sized(text("h2"), 1), 2) + bytes{0})),            // ALPN: trailing octet
      with(extension(43, sized({}, 1))),                                         // versions: none
      with(extension(43, sized({3}, 1))),                                        // versions: odd
      with(extension(43, sized({3, 4}, 1) + bytes{0})),                          // versions: trailing octet
      with(extension(41, bytes(10, 0)) + extension(5, {})),                      // pre_shared_key not last
      with(bytes{0, 0, 0}),                                                      // half an extension
      with(number(5, 2) + number(9, 2)),                                         // extension too long
      with(many),
      hello(body_without_compression),
      hello(body_of_old_version),
      hello(odd_ciphers),
      hello({}),
      hello(number(0x0303, 2) + bytes(32, 1)),
      records(other_type),
      records(long_session),
      records(good + bytes{0}),                                     // an octet behind the hello
      records(good + good),                                         // a second message behind it
      records(bytes{1, 0, 0, 1}) + bytes{0x15, 3, 3, 0, 2, 2, 40},  // an alert within the hello
      records(bytes{1, 0, 0, 1}) + bytes{0x16, 2},
      bytes{0x16, 3, 1, 0, 0},        // an empty record
      bytes{0x16, 3, 5},              // a record version that does not exist
      bytes{0x16, 3, 1, 0x40, 0x01},  // a record beyond the cap
      records(bytes{1, 1, 0, 0}),     // a message beyond the cap
      records(bytes{1, 0, 0x40, 0}),
      records(longer) + records(bytes{0, 0}),
  };
  for (const auto& input : bad) {
    CAPTURE(&input - bad);
    const auto got = judge(input);
    CHECK(got.status == hello_status::error);
    CHECK_FALSE(got.detail.empty());
  }
  CHECK(judge(records(longer)).status == hello_status::need_more);
  // Every truncation waits; none is taken for a hello.
  const auto input = records(good);
  for (std::size_t n = 0; n < input.size(); ++n) {
    CHECK(parse(bytes(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(n))).status ==
          hello_status::need_more);
  }
}

TEST_CASE("the cap holds over all records") {
  const auto big = message(server_name("a.example") + extension(21, bytes(15000, 0)));
  CHECK(parse(records(big)).status == hello_status::done);
  CHECK(judge(records(big, 20)).status == hello_status::error);
  CHECK(parse(records(message(extension(21, bytes(16384, 0))))).status == hello_status::error);
}

TEST_CASE("a hello without extensions is TLS without SNI") {
  const auto body =
      number(0x0301, 2) + bytes(32, 1) + sized({}, 1) + sized(number(0x002f, 2), 2) + sized({0}, 1);
  const auto got = judge(records(number(1, 1) + sized(body, 3)));
  CHECK(got.status == hello_status::done);
  CHECK_FALSE(got.has_sni);
  CHECK(got.version == 0x0301);
}

TEST_CASE("a fatal alert is one record") {
  CHECK(wire::fatal_alert(wire::tls_alert::access_denied) ==
        std::array<std::uint8_t, 7>{21, 3, 3, 0, 2, 2, 49});
  CHECK(wire::fatal_alert(wire::tls_alert::unrecognized_name)[6] == 112);
}

TEST_CASE("plain HTTP within a tunnel") {
  for (const auto* yes : {"GET / HTTP/1.1\r\n", "POST ", "GET http://", "OPTIONS *"}) {
    CHECK(wire::looks_like_plain_http(yes));
  }
  for (const auto* no :
       {"", "G", "GET", "get / ", "SSH-2.0-OpenSSH", "\x16\x03\x01", "EHLO\r\n", "GO /", "GET \x01"}) {
    CHECK_FALSE(wire::looks_like_plain_http(no));
  }
}
