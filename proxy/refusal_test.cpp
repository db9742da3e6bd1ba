#include "proxy/refusal.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

using namespace exeat::proxy;
using exeat::core::reason;
using namespace std::string_literals;

namespace {

struct response {
  std::string status_line;
  std::vector<std::string> fields;
  std::string body;

  std::string field(std::string_view name) const {
    for (const auto& f : fields) {
      if (f.starts_with(name) && f.substr(name.size(), 2) == ": ") return f.substr(name.size() + 2);
    }
    return {};
  }
};

// Strict: CRLF line ends only, no control characters in the head.
response read(const std::string& raw) {
  response out;
  const auto end = raw.find("\r\n\r\n");
  REQUIRE(end != std::string::npos);
  std::size_t start = 0;
  while (start < end + 2) {
    const auto stop = raw.find("\r\n", start);
    const auto line = raw.substr(start, stop - start);
    for (const char c : line) REQUIRE(static_cast<unsigned char>(c) >= 0x20);
    if (start == 0) {
      out.status_line = line;
    } else {
      out.fields.push_back(line);
    }
    start = stop + 2;
  }
  out.body = raw.substr(end + 4);
  return out;
}

response rendered(const refusal& r) {
  std::string raw;
  append_refusal(raw, r);
  return read(raw);
}

const std::vector<std::string> next = {"add:", "  - host: x.com"};

refusal example() {
  return {.reason = reason::no_rule,
          .decision = "0123456789ABC",
          .destination = "x.com:443",
          .phase = "agent",
          .message = "No rule of the phase names this destination.",
          .next = next};
}

}  // namespace

TEST_CASE("a denial is 403, says so in the reason phrase, and is a complete response") {
  const auto r = rendered(example());
  CHECK(r.status_line == "HTTP/1.1 403 egress-denied no-rule");
  CHECK(r.field("Proxy-Status") == "exeat; error=http_request_denied; details=\"no-rule\"");
  CHECK(r.field("Exeat-Decision") == "0123456789ABC");
  CHECK(r.field("Content-Type") == "text/plain; charset=utf-8");
  CHECK(r.field("Cache-Control") == "no-store");
  CHECK(r.field("Connection") == "close");
  CHECK(r.field("Content-Length") == std::to_string(r.body.size()));
  CHECK(r.body ==
        "exeat blocked x.com:443 in phase agent\n"
        "\n"
        "reason:   no-rule\n"
        "          No rule of the phase names this destination.\n"
        "decision: 0123456789ABC\n"
        "\n"
        "add:\n"
        "  - host: x.com\n");
}

TEST_CASE("every reason has a family, a status of a failure and well-formed fields") {
  std::set<std::string> families;
  for (const auto& row : exeat::core::reasons()) {
    if (row.value == reason::allowed) continue;
    CAPTURE(row.code);
    const auto r = rendered({.reason = row.value, .decision = "0123456789ABC"});
    const auto phrase = reason_phrase(row.value);
    families.insert(phrase.substr(0, phrase.find(' ')));
    CHECK(r.status_line == "HTTP/1.1 " + std::to_string(row.status) + " " + phrase);
    CHECK(r.field("Proxy-Status").ends_with("; details=\"" + std::string(row.code) + "\""));
    CHECK((r.field("Proxy-Status").find("error=") != std::string::npos) == !row.proxy_error.empty());
    CHECK(r.field("Content-Length") == std::to_string(r.body.size()));
    CHECK(r.body.find(row.code) != std::string::npos);
  }
  CHECK(families == std::set<std::string>{"bad-request", "egress-denied", "limit-reached",
                                          "proxy-unavailable", "upstream-failed"});
  CHECK(rendered({.reason = reason::dns_timeout}).status_line == "HTTP/1.1 504 upstream-failed dns-timeout");
  CHECK(rendered({.reason = reason::draining}).status_line == "HTTP/1.1 503 proxy-unavailable draining");
  CHECK(rendered({.reason = reason::allowed}).status_line == "HTTP/1.1 500 proxy-unavailable allowed");
}

TEST_CASE("the answer suits the request: HEAD, HTTP/1.0, kept alive") {
  auto r = example();
  r.head_request = true;
  const auto head = rendered(r);
  CHECK(head.body.empty());
  CHECK(head.field("Content-Length") == std::to_string(rendered(example()).body.size()));
  r = example();
  r.close = false;
  CHECK(rendered(r).field("Connection").empty());
  r.http_minor = 0;
  CHECK(rendered(r).field("Connection") == "keep-alive");
  CHECK(rendered(r).status_line == "HTTP/1.0 403 egress-denied no-rule");
}

TEST_CASE("it appends, and touches nothing that stands before") {
  std::string out = "HTTP/1.1 200 OK\r\n\r\n";
  append_refusal(out, example());
  CHECK(out.starts_with("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 403 "));
}

TEST_CASE("JSON for those who ask for it") {
  auto r = example();
  r.wants_json = true;
  const auto out = rendered(r);
  CHECK(out.field("Content-Type") == "application/json");
  CHECK(out.body ==
        "{\"error\":\"egress-denied\",\"reason\":\"no-rule\",\"destination\":\"x.com:443\","
        "\"phase\":\"agent\",\"decision\":\"0123456789ABC\","
        "\"message\":\"No rule of the phase names this destination.\","
        "\"next\":[\"add:\",\"  - host: x.com\"]}\n");
}

TEST_CASE("JSON escapes whatever it is given") {
  auto r = example();
  r.wants_json = true;
  const std::string nasty =
      "q\" b\\ \n\r\t\0\x7f </script> \xc3\xbc \xff \xe2\x82 \xed\xa0\x80 \xf0\x9f\x9a\xaa"s;
  const std::vector<std::string> lines{nasty, ""};
  r.message = nasty;
  r.next = lines;
  r.destination = {};
  r.phase = "a\"b";
  const auto body = rendered(r).body;
  for (const char c : body.substr(0, body.size() - 1)) CHECK((c >= 0x20 && c < 0x7f));
  const std::string_view written =
      R"("q\" b\\ \n\u000d\t\u0000\u007f </script> \u00fc \ufffd \ufffd\ufffd \ufffd\ufffd\ufffd \ud83d\udeaa")";
  CHECK(body.ends_with(fmt::format("\"message\":{0},\"next\":[{0},\"\"]}}\n", written)));
  CHECK(body.find(R"("destination":null,"phase":"a\"b",)") != std::string::npos);
}

TEST_CASE("no text that is passed in can end a line of the head, or hide in the body") {
  auto r = example();
  r.decision = "id\r\nSet-Cookie: a=b";
  r.destination = "x.com:443\r\n\r\n\x1b[31m";
  const auto out = rendered(r);
  CHECK(out.field("Set-Cookie").empty());
  CHECK(out.field("Exeat-Decision") == "id??Set-Cookie: a=b");
  CHECK(out.body.find('\x1b') == std::string::npos);
  CHECK(out.body.find('\r') == std::string::npos);
}

TEST_CASE("who opens the proxy in a browser learns what it is and how to use it") {
  refusal r{.reason = reason::origin_form, .decision = "0123456789ABC", .phase = "agent"};
  r.listener = "127.0.0.1:3129";
  const auto out = rendered(r);
  CHECK(out.status_line == "HTTP/1.1 400 bad-request origin-form");
  CHECK(out.body.find("This is Exeat") == 0);
  CHECK(out.body.find("export HTTPS_PROXY=http://127.0.0.1:3129 ") != std::string::npos);
  CHECK(out.body.find("0123456789ABC") != std::string::npos);
  CHECK(out.body.find("phase agent") != std::string::npos);
  r.wants_json = true;
  CHECK(rendered(r).body.starts_with("{\"error\":\"bad-request\",\"reason\":\"origin-form\""));
}

TEST_CASE("a 407 challenges in two fields, closes, and says where the credential goes") {
  refusal r{.reason = reason::credential_missing, .decision = "0123456789ABC", .destination = "x.com:443"};
  r.listener = "127.0.0.1:3130";
  r.close = false;
  for (const auto why : {reason::credential_missing, reason::credential_wrong}) {
    r.reason = why;
    const auto out = rendered(r);
    CHECK(out.status_line == fmt::format("HTTP/1.1 407 egress-denied {}", exeat::core::code_of(why)));
    std::vector<std::string> challenges;
    for (const auto& field : out.fields) {
      if (field.starts_with("Proxy-Authenticate:")) challenges.push_back(field);
    }
    CHECK(challenges ==
          std::vector<std::string>{R"(Proxy-Authenticate: Basic realm="exeat", charset="UTF-8")",
                                   R"(Proxy-Authenticate: Bearer realm="exeat")"});
    CHECK(out.field("Connection") == "close");
    CHECK(out.body.find("\n    http://PHASE:TOKEN@127.0.0.1:3130\n") != std::string::npos);
    CHECK(out.body.find("\n    http://JOB:TOKEN@127.0.0.1:3130\n") != std::string::npos);
    CHECK(out.body.find("reason:   credential-") != std::string::npos);
  }
  r.http_minor = 0;
  CHECK(rendered(r).field("Connection") == "close");
  r.tls = true;
  CHECK(rendered(r).body.find("https://PHASE:TOKEN@127.0.0.1:3130") != std::string::npos);
  for (const std::string_view listener : {"", "unix:/run/exeat/agent.sock"}) {
    r.listener = listener;
    CHECK(rendered(r).body.find("https://PHASE:TOKEN@HOST:PORT\n") != std::string::npos);
    CHECK(rendered(r).body.find("/run/exeat") == std::string::npos);
  }
  r.wants_json = true;
  CHECK(rendered(r).body.find("\"    https://PHASE:TOKEN@HOST:PORT\"") != std::string::npos);
  r.next = next;
  CHECK(rendered(r).body.find("\"    https://PHASE:TOKEN@HOST:PORT\"") != std::string::npos);
  CHECK(rendered(r).body.ends_with(",\"add:\",\"  - host: x.com\"]}\n"));
}

TEST_CASE("no challenge without a 407") {
  for (const auto& row : exeat::core::reasons()) {
    CAPTURE(row.code);
    CHECK(rendered({.reason = row.value}).field("Proxy-Authenticate").empty() == (row.status != 407));
  }
}

TEST_CASE("Accept: JSON only where it is preferred over plain text") {
  for (const std::string_view accept :
       {"application/json", "APPLICATION/JSON", "application/problem+json", "application/json;charset=utf-8",
        "application/json, */*;q=0.5", "application/json, text/plain, */*", "application/json, */*",
        "text/plain;q=0.5, application/json;q=0.9",
        "application/vnd.x.v1+json; q=1.0, application/json; q=0.8, */*",
        "text/html, application/json;q=0.9, */*;q=0.1", "application/json ; q=0.3", " , application/json,",
        "application/json;p=\"a,b;q=0\";q=1", "*/*;q=0.9, application/json;q=0.9"}) {
    CAPTURE(accept);
    CHECK(accept_wants_json(accept));
  }
  for (const std::string_view accept : {"",
                                        "*/*",
                                        "text/*",
                                        "text/plain",
                                        "application/*",
                                        "text/plain, application/json",
                                        "application/json;q=0",
                                        "application/json;q=0.5, text/plain",
                                        "application/json;q=0.5, text/*;q=0.6",
                                        "application/json;q=0.5, */*",
                                        "application/json;q=2",
                                        "application/json;q=1.001",
                                        "application/json;q=abc",
                                        "application/json;q=",
                                        "application/jsonp",
                                        "application/xml",
                                        "+json",
                                        "json",
                                        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                                        "\"application/json",
                                        ",,;;,",
                                        "x;p=\"unclosed\\"}) {
    CAPTURE(accept);
    CHECK_FALSE(accept_wants_json(accept));
  }
}
