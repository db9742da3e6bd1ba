#include <doctest/doctest.h>

#include <map>
#include <string>

#include "cli/doctor_checks.hpp"
#include "cli/doctor_recorder.hpp"
#include "cli/env_quote.hpp"
#include "cli/env_settings.hpp"
#include "cli/env_way.hpp"

using namespace exeat::cli;
namespace config = exeat::config;

namespace {

config::listener listener(std::string phase, std::vector<config::identity_check> identity) {
  return {.endpoint = config::tcp_endpoint{.port = 1},
          .phase = std::move(phase),
          .identity = std::move(identity)};
}

std::string levels(std::string_view value) {
  std::string out;
  for (const auto& one : check_no_proxy("no_proxy", value))
    out += one.how == finding::level::bad ? 'b' : one.how == finding::level::warning ? 'w' : 'g';
  return out;
}

}  // namespace

TEST_CASE("a proxy URL is a host and a port, and nothing more") {
  const auto way = parse_proxy("https://Proxy.Corp.Example:3128/");
  REQUIRE(way);
  CHECK(way->address() == "https://proxy.corp.example:3128");
  CHECK(parse_proxy("http://[::1]:3128")->address() == "http://[::1]:3128");
  CHECK(parse_proxy("http://[::1]:3128")->on_loopback());
  CHECK(parse_proxy("http://127.9.9.9:1")->on_loopback());
  CHECK_FALSE(parse_proxy("http://10.0.0.1:1")->on_loopback());
  for (const auto* bad :
       {"", "http://", "http://x", "http://x:", "http://x:0", "http://x:65536", "http://u:t@x:1", "ftp://x:1",
        "x:1", "http://x:1/y", "http://x:1?y", "http://x:1#y", "http://x y:1", "http://x\n:1",
        "http://'$(id)':1", "http://127.1:1"})
    CHECK_MESSAGE(!parse_proxy(bad), bad);
}

TEST_CASE("a credential is percent-encoded, whatever is in it") {
  CHECK(proxy_way{.port = 1, .credential = "agent:a@b/c:d%'"}.url() ==
        "http://agent:a%40b%2Fc%3Ad%25%27@127.0.0.1:1");
}

TEST_CASE("a listener serves a phase that all its sources can prove") {
  using source = config::identity_check::source;
  const config::identity_check own{};
  const config::identity_check peer{.kind = source::peer,
                                    .peers = {{.uid = 1, .cgroup = {}, .phase = "agent"}}};
  const config::identity_check tokens{.kind = source::credential,
                                      .tokens = {{.sha256 = {}, .phase = "setup"}}};
  const config::identity_check jobs{.kind = source::credential, .job_tokens = true};
  CHECK(may_serve(listener("agent", {own}), "agent"));
  CHECK_FALSE(may_serve(listener("agent", {own}), "setup"));
  CHECK(may_serve(listener("agent", {own, peer}), "agent"));
  CHECK_FALSE(may_serve(listener("setup", {own, peer}), "setup"));
  CHECK_FALSE(may_serve(listener("", {peer, tokens}), "agent"));
  CHECK(may_serve(listener("", {peer, jobs}), "agent"));
  CHECK(may_serve(listener("", {{.kind = source::any_of, .any_of = {peer, tokens}}}), "setup"));
}

TEST_CASE("JAVA_TOOL_OPTIONS keeps what is not ours, to the octet") {
  const auto java = [](const char* existing) {
    for (const auto& group : proxy_variables({.port = 7}, [&](const char* name) {
           return std::string_view(name) == "JAVA_TOOL_OPTIONS" ? existing : nullptr;
         }))
      for (const auto& one : group.variables)
        if (one.name == "JAVA_TOOL_OPTIONS") return one.value;
    return std::string();
  };
  const auto ours = java(nullptr);
  CHECK(ours.starts_with("-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=7 "));
  CHECK(java("") == ours);
  CHECK(java("-Da='x  y'  -Xmx1g") == "-Da='x  y'  -Xmx1g " + ours);
  CHECK(java(ours.c_str()) == ours);
  CHECK(java("-Da=\"b -Dhttp.proxyHost=c\" -Dhttp.proxyHost=old") == "-Da=\"b -Dhttp.proxyHost=c\" " + ours);
}

TEST_CASE("no reason could end its quotation, or be a pattern of files") {
  for (const std::string credential : {"", "a:b"})
    for (const auto& group : proxy_variables({.port = 7, .credential = credential},
                                             [](const char*) { return static_cast<const char*>(nullptr); }))
      CHECK(group.why.find_first_of("'\"`$\\*?[]\n\r") == std::string::npos);
}

TEST_CASE("quotation") {
  CHECK(quoted_for_sh("a'b") == "'a'\\''b'");
  CHECK(quoted_for_fish("a'b\\") == "'a\\'b\\\\'");
  CHECK(quoted_for_powershell("a'b\xe2\x80\x99$x") == "'a''b\xe2\x80\x99\xe2\x80\x99$x'");
  CHECK(quoted_for_systemd("A=\"%h\\\n") == "\"A=\\\"%%h\\\\\\n\"");
  CHECK(line_for_github("A", "b<<c", "X") == "A=b<<c\n");
  CHECK(line_for_github("A", "b\nX=1", "D") == "A<<D\nb\nX=1\nD\n");
}

TEST_CASE("what NO_PROXY may hold") {
  CHECK(levels("localhost,127.0.0.1,::1, 127.0.0.0/8") == "");
  CHECK(levels("*") == "b");
  CHECK(levels(".") == "b");
  CHECK(levels(".com,localhost") == "b");
  CHECK(levels("*.com") == "b");
  CHECK(levels("0.0.0.0/0") == "b");
  CHECK(levels("a.corp.example,.b.example") == "w");
  CHECK(levels("buildbox") == "w");
}

TEST_CASE("what a proxy is asked for") {
  CHECK(host_of_request_line("CONNECT TLS.x.test:443 HTTP/1.1") == "tls.x.test");
  CHECK(host_of_request_line("GET http://plain.x.test/a:b HTTP/1.1") == "plain.x.test");
  CHECK(host_of_request_line("GET http://plain.x.test:80?q HTTP/1.0") == "plain.x.test");
  CHECK(host_of_request_line("GET / HTTP/1.1") == "");
  CHECK(host_of_request_line("") == "");
  CHECK(host_of_request_line("CONNECT") == "");
}

TEST_CASE("tokens are shown to nobody") {
  CHECK(without_tokens("via http://u:s3cret@h:1/ and https://t@k") ==
        "via http://...@h:1/ and https://...@k");
  CHECK(without_tokens("http://h/a@b") == "http://h/a@b");
  CHECK(place_of("http://u:t@127.0.0.1:3128/x") == "127.0.0.1:3128");
  CHECK(place_of("127.0.0.1:3128") == "127.0.0.1:3128");
}
