#include "proxy/tls_context.hpp"

#include "proxy/tls_names.hpp"
#include "proxy/tls_source.hpp"
#include "proxy/tls_test_stage.hpp"

using namespace exeat;
using namespace exeat::proxy;
using namespace exeat::proxy::testing;

namespace {

std::string fault_of(const config::tls_settings& files) {
  const auto loaded = tls_context::load(files);
  return loaded ? std::string() : loaded.error();
}

}  // namespace

TEST_CASE("sound files load") {
  const authority of;
  of.write("ca.crl", crl_pem_of(of.ca, {}));
  CHECK_FALSE(load(of.files())->asks_for_certificate());
  CHECK(load(of.files(true))->asks_for_certificate());
  CHECK(load(of.files(true, true))->asks_for_certificate());
}

TEST_CASE("a file that is missing, empty, of another kind or cut says which one it is") {
  const authority of;
  of.write("ca.crl", crl_pem_of(of.ca, {}));
  for (const auto* name : {"proxy.pem", "proxy.key", "ca.pem", "ca.crl"}) {
    CAPTURE(name);
    const auto at = of.path(name);
    std::ifstream file(at);
    const std::string good((std::istreambuf_iterator<char>(file)), {});
    for (const auto& text : {std::string(), std::string("text\n"), good.substr(0, good.size() / 2),
                             std::string("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")}) {
      of.write(name, text);
      CHECK(fault_of(of.files(true, true)).contains(at));
    }
    ::unlink(at.c_str());
    CHECK(fault_of(of.files(true, true)).contains(at));
    of.write(name, good);
  }
  CHECK(fault_of(of.files(true, true)).empty());
  // A damaged certificate behind a good one is no end of file.
  of.write("ca.pem", pem_of(of.ca) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  CHECK(fault_of(of.files(true)).contains("the certificate number 2 cannot be read"));
}

TEST_CASE("a key that others may read, of another certificate, or with a passphrase is refused") {
  const authority of;
  of.write("proxy.key", key_pem_of(of.server), 0640);
  CHECK(fault_of(of.files()).contains("chmod 600"));
  of.write("proxy.key", key_pem_of(of.ca));
  CHECK(fault_of(of.files()).contains("is not the key of the certificate"));
  of.write("proxy.key", pem_of([&](BIO* bio) {
             return PEM_write_bio_PKCS8PrivateKey(bio, of.server.key.get(), EVP_aes_128_cbc(), "secret", 6,
                                                  nullptr, nullptr);
           }));
  CHECK(fault_of(of.files()).contains("passphrase"));
}

TEST_CASE("a certificate that others may write is refused") {
  const authority of;
  of.write("proxy.pem", pem_of(of.server), 0666);
  CHECK(fault_of(of.files()).contains("everybody may write"));
  of.write("proxy.pem", pem_of(of.server), 0644);
  CHECK(fault_of(of.files()).empty());
}

TEST_CASE("files that change are taken up once a second at most, and bad ones leave the good ones in force") {
  const authority of;
  std::vector<std::string> reports;
  auto source = tls_source::open(of.files(), [&](const std::expected<void, std::string>& loaded) {
    reports.push_back(loaded ? "loaded" : loaded.error());
  });
  REQUIRE(source);
  auto& files = **source;
  auto now = std::chrono::steady_clock::now();
  const auto first = files.current(now);
  now += 2s;
  CHECK(files.current(now) == first);  // nothing has changed
  CHECK(reports.empty());

  of.write("proxy.pem", pem_of(make_certificate({.common_name = "renewed", .serial = 3}, &of.ca)));
  CHECK(files.current(now + 500ms) == first);  // not yet looked at
  now += 2s;
  CHECK(files.current(now) == first);  // the key is still the old one's
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].contains("is not the key of the certificate"));
  now += 2s;
  CHECK(files.current(now) == first);
  CHECK(reports.size() == 1);  // said once
  const auto failed = files.reload();
  REQUIRE_FALSE(failed);
  CHECK(failed.error().contains("is not the key"));
  CHECK(files.current(now) == first);

  const auto renewed = make_certificate({.common_name = "renewed", .serial = 4}, &of.ca);
  of.write("proxy.pem", pem_of(renewed));
  of.write("proxy.key", key_pem_of(renewed));
  now += 2s;
  const auto second = files.current(now);
  CHECK(second != first);
  CHECK(reports.back() == "loaded");
  CHECK(files.reload());
  CHECK(files.current(now) != second);

  ::unlink(of.path("proxy.key").c_str());
  now += 2s;
  CHECK(files.current(now) != nullptr);
  CHECK(reports.back().contains("proxy.key"));
}

TEST_CASE("what does not load stops the start") {
  const authority of;
  auto files = of.files();
  files.key = of.path("none.key");
  const auto source = tls_source::open(files);
  REQUIRE_FALSE(source);
  CHECK(source.error().contains("none.key"));
}

TEST_CASE("names of a certificate") {
  const authority of;
  const auto one =
      of.client({.common_name = "agent",
                 .names = "URI:spiffe://ci.example/j/agent,DNS:a.example,IP:10.0.0.1,email:a@b.example,"
                          "URI:https://x.example/"});
  const auto names = names_of(*one.certificate);
  REQUIRE(names);
  CHECK(names->uris == std::vector<std::string>{"spiffe://ci.example/j/agent", "https://x.example/"});
  CHECK(names->dns == std::vector<std::string>{"a.example"});
  CHECK(names->common_name == "agent");
  CHECK(describe_subject(*one.certificate) == "CN \"agent\"");
}

TEST_CASE("names that may be read in two ways are left out") {
  const authority of;
  const auto with = [&](std::string_view dns, std::string_view uri) {
    return make_certificate({.common_name = ""}, &of.ca, [&](X509* c) {
      auto* names = GENERAL_NAMES_new();
      for (const auto& [type, text] : {std::pair{GEN_DNS, dns}, std::pair{GEN_URI, uri}}) {
        auto* value = ASN1_IA5STRING_new();
        ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
        auto* name = GENERAL_NAME_new();
        GENERAL_NAME_set0_value(name, type, value);
        sk_GENERAL_NAME_push(names, name);
      }
      X509_add1_ext_i2d(c, NID_subject_alt_name, names, 0, 0);
      GENERAL_NAMES_free(names);
    });
  };
  using namespace std::string_view_literals;
  for (const auto text : {"agent\0.example"sv, "agent\n"sv, "a b"sv, "\x80"sv, ""sv, "agent\x7f"sv}) {
    const auto names = names_of(*with(text, text).certificate);
    REQUIRE(names);
    CHECK(names->dns.empty());
    CHECK(names->uris.empty());
    CHECK(names->common_name.empty());
  }
  const auto plain = with("agent", "a:b");
  CHECK(names_of(*plain.certificate)->dns == std::vector<std::string>{"agent"});
  CHECK(describe_subject(*plain.certificate) == "serial 01");

  const auto named = [&](std::initializer_list<std::string_view> values) {
    return make_certificate({.common_name = ""}, &of.ca, [&](X509* c) {
      for (const auto value : values)
        X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", V_ASN1_UTF8STRING,
                                   reinterpret_cast<const unsigned char*>(value.data()),
                                   static_cast<int>(value.size()), -1, 0);
    });
  };
  CHECK(names_of(*named({"agent"}).certificate)->common_name == "agent");
  CHECK(names_of(*named({"agent", "setup"}).certificate)->common_name.empty());
  CHECK(names_of(*named({"agent\0x"sv}).certificate)->common_name.empty());
  CHECK(names_of(*named({"\xc3\xa4gent"}).certificate)->common_name.empty());
}

TEST_CASE("more names than anybody means are none at all") {
  const authority of;
  std::string names = "DNS:a.example";
  for (int i = 1; i < 256; ++i) names += ",DNS:n" + std::to_string(i) + ".example";
  CHECK(names_of(*of.client({.names = names}).certificate)->dns.size() == 256);
  CHECK_FALSE(names_of(*of.client({.names = names + ",URI:a:b"}).certificate));
}
