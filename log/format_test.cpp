#include "log/format.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <random>
#include <set>

#include "core/safe_text.hpp"
#include "log/fields.hpp"
#include "log/test_event.hpp"

using namespace exeat;
using namespace exeat::log;
namespace json = boost::json;

namespace {

template <typename Record>
std::string json_of(const Record& record) {
  std::string out;
  append_json(out, record);
  return out;
}

template <typename Record>
std::string text_of(const Record& record, bool colour = false) {
  std::string out;
  append_text(out, record, colour);
  return out;
}

/// One line of printable ASCII with a newline at its end.
bool is_plain_line(const std::string& line) {
  return !line.empty() && line.back() == '\n' &&
         std::all_of(line.begin(), line.end() - 1, [](char c) { return c >= 0x20 && c < 0x7f; });
}

struct utc {
  utc() {
    ::setenv("TZ", "UTC", 1);
    ::tzset();
  }
};

}  // namespace

TEST_CASE("times are UTC with microseconds") {
  using namespace std::chrono;
  const auto text = [](system_clock::time_point time) {
    std::string out;
    append_time(out, time);
    return out;
  };
  CHECK(text(system_clock::time_point{}) == "1970-01-01T00:00:00.000000Z");
  CHECK(text(sys_days{2027y / 3 / 31} + 12h + 3min + 44s + 123us) == "2027-03-31T12:03:44.000123Z");
  CHECK(text(sys_days{2028y / 2 / 29} + 24h - 1us) == "2028-02-29T23:59:59.999999Z");
  CHECK(text(sys_days{1969y / 12 / 31} + 1us) == "1969-12-31T00:00:00.000001Z");
}

TEST_CASE("a decision has the fields that have a value, and no others") {
  CHECK(
      json_of(refusal()) ==
      R"({"time":"2027-03-31T12:03:44.000123Z","event":"decision","decision":")" +
          std::string(core::decision_id{42}.view()) +
          R"(","phase":"agent","client":"127.0.0.1:40000","method":"CONNECT","scheme":"https","host":"evil.example","port":443,"verdict":"deny","reason":"no-rule","status":403,"total_ms":1.234})"
          "\n");
}

TEST_CASE("a close carries the byte counts even where they are 0") {
  proxy::event event = refusal();
  event.kind = proxy::event::kind::close;
  event.verdict = proxy::outcome::allow;
  event.reason = core::reason::allowed;
  event.client.reset();
  event.client_uid = 1000;
  event.bytes_down = 18'446'744'073'709'551'615U;
  event.dns = std::chrono::microseconds{0};
  event.sni = "evil.example";
  event.alpn = "h2,http/1.1";
  event.tls_version = "1.3";
  const json::object line = json::parse(json_of(event)).as_object();
  CHECK(line.at("event") == "close");
  CHECK(line.at("client") == "uid:1000");
  CHECK(line.at("uid") == 1000);
  CHECK(line.at("bytes_up") == 0);
  CHECK(line.at("bytes_down").to_number<std::uint64_t>() == event.bytes_down);
  CHECK(line.at("dns_ms").to_number<double>() == 0);
  CHECK_FALSE(line.contains("connect_ms"));
  CHECK(line.at("sni") == "evil.example");
  CHECK(line.at("alpn") == "h2,http/1.1");
  CHECK(line.at("tls") == "1.3");
}

TEST_CASE("a refused local request names the process behind it") {
  proxy::event event = refusal();
  event.client_uid = 1002;
  event.process = "/usr/bin/curl";
  event.pid = 77;
  event.command = "curl https://evil.example/";
  event.cgroup = "/ci/agent";
  const json::object line = json::parse(json_of(event)).as_object();
  CHECK(line.at("client") == "127.0.0.1:40000");
  CHECK(line.at("uid") == 1002);
  CHECK(line.at("process") == "/usr/bin/curl");
  CHECK(line.at("pid") == 77);
  CHECK(line.at("command") == "curl https://evil.example/");
  CHECK(line.at("cgroup") == "/ci/agent");
  CHECK(text_of(event).contains("  by /usr/bin/curl[77] uid 1002"));
}

TEST_CASE("an upstream proxy on the way is named, and that it resolves") {
  proxy::event event = refusal();
  CHECK_FALSE(json::parse(json_of(event)).as_object().contains("upstream"));
  CHECK_FALSE(json::parse(json_of(event)).as_object().contains("resolve"));
  event.upstream = "http://proxy.corp.example:3128";
  event.delegated = true;
  const json::object line = json::parse(json_of(event)).as_object();
  CHECK(line.at("upstream") == "http://proxy.corp.example:3128");
  CHECK(line.at("resolve") == "remote");
}

TEST_CASE("an IPv6 client stands in brackets") {
  proxy::event event = refusal();
  event.client = core::ip_address::parse("::1");
  CHECK(json::parse(json_of(event)).as_object().at("client") == "[::1]:40000");
}

TEST_CASE("what an attacker may write is escaped") {
  const auto escaped = [](std::string_view text) {
    std::string out;
    core::append_json_string(out, text);
    return out;
  };
  CHECK(escaped("a\"b\\c\n\t\r") == R"("a\"b\\c\n\t\u000d")");
  CHECK(escaped(std::string_view("\0\x1b[31m\x7f", 7)) == R"("\u0000\u001b[31m\u007f")");
  CHECK(escaped("\u00e9\u2028\u202e\u2066\ufeff") == R"("\u00e9\u2028\u202e\u2066\ufeff")");
  CHECK(escaped("\U0001f600") == R"("\ud83d\ude00")");
  CHECK(escaped("\xff\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82") ==
        R"("\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd")");

  // Wherever in a long text it stands.
  for (int c = 0; c < 0x80; ++c) {
    for (std::size_t at = 0; at < 24; ++at) {
      std::string text(24, '~');
      text[at] = static_cast<char>(c);
      const bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
      REQUIRE((escaped(text) == '"' + text + '"') == plain);
      REQUIRE(json::parse(escaped(text)).as_string() == text);
    }
  }

  std::string visible;
  core::append_visible(visible, "a\x1b[31m\xff\u202e\U0001f600\n");
  CHECK(visible == R"(a\x1b[31m\xff\u{202e}\u{01f600}\x0a)");
}

TEST_CASE("whatever the bytes, a line is one JSON object of printable ASCII that reads back") {
  std::mt19937 random(3);
  std::uniform_int_distribution<int> octet(0, 255);
  std::uniform_int_distribution<std::size_t> length(0, 300);
  const std::string pieces[] = {"\"", "\\",          "\n", "\xe2\x80\xa8", "\xe2\x80\xae", "\xf0\x9f\x98\x80",
                                "}",  "\x1b]0;x\x07"};
  for (int round = 0; round < 3000; ++round) {
    std::string bytes(length(random), '\0');
    for (char& c : bytes) c = static_cast<char>(octet(random));
    bytes += pieces[static_cast<std::size_t>(round) % std::size(pieces)];
    proxy::event event = refusal(bytes);
    event.phase = event.job = event.method = event.scheme = event.rule = event.rule_where = bytes;
    event.error = event.hint = event.sni = event.alpn = event.tls_version = bytes;
    event.process = event.command = event.cgroup = event.upstream = bytes;
    const std::string line = json_of(event);
    REQUIRE(is_plain_line(line));
    boost::system::error_code failed;
    const json::value value = json::parse(line, failed);
    REQUIRE_MESSAGE(!failed, line);
    REQUIRE(value.as_object().at("host") == value.as_object().at("hint"));
    // ASCII text reads back octet by octet.
    std::string ascii = bytes;
    std::erase_if(ascii, [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
    if (ascii.empty()) ascii = "x";
    REQUIRE(std::string(json::parse(json_of(refusal(ascii))).as_object().at("host").as_string()) == ascii);
    REQUIRE(is_plain_line(text_of(event)));
    REQUIRE(is_plain_line(json_of(message{event.time, level::error, bytes, bytes})));
    REQUIRE(is_plain_line(text_of(message{event.time, level::error, bytes, bytes})));
  }
}

TEST_CASE("every member of a line stands in the table of fields, in its order") {
  proxy::event event = refusal();
  event.kind = proxy::event::kind::close;
  event.job = event.rule = event.rule_where = event.sni = event.alpn = event.tls_version = "x";
  event.error = event.hint = "x";
  event.client_uid = 1;
  event.pid = 1;
  event.process = event.command = event.cgroup = event.upstream = "x";
  event.delegated = true;
  event.address = core::ip_address{};
  event.dns = event.connect = std::chrono::microseconds{1};
  std::set<std::string> seen;
  for (const std::string& line : {json_of(event), json_of(message{event.time, level::info, "c", "t"}),
                                  json_of(loss{event.time, {}, 1})}) {
    std::size_t before = 0;
    for (const auto& member : json::parse(line).as_object()) {
      const auto row = std::ranges::find(fields(), std::string_view(member.key()), &field_row::name);
      REQUIRE(row != fields().end());
      const auto at = static_cast<std::size_t>(row - fields().begin()) + 1;
      CHECK(at > before);
      before = at;
      CHECK((row->type == "number") == member.value().is_number());
      const std::string kind(json::parse(line).as_object().at("event").as_string());
      CHECK((row->events == "all" || row->events.find(kind) != std::string_view::npos));
      seen.insert(std::string(member.key()));
    }
  }
  CHECK(seen.size() == fields().size());
}

TEST_CASE("text for a terminal") {
  const utc zone;
  const std::string id(core::decision_id{42}.view());
  proxy::event event = refusal();
  CHECK(text_of(event) == "12:03:44 DENY  agent    CONNECT evil.example:443  no-rule  (" + id + ")\n");
  event.hint = "host: evil.example\n";
  CHECK(text_of(event) == "12:03:44 DENY  agent    CONNECT evil.example:443  no-rule  (" + id +
                              ")  -> host: evil.example\\x0a\n");
  event.hint = {};
  CHECK(text_of(event, true).starts_with("12:03:44 \x1b[1;31mDENY \x1b[0m agent"));
  event.verdict = proxy::outcome::would_deny;
  CHECK(text_of(event).starts_with("12:03:44 AUDIT agent"));
  event.verdict = proxy::outcome::error;
  event.reason = core::reason::connect_refused;
  event.error = "127.0.0.1:443: Connection refused";
  CHECK(text_of(event) == "12:03:44 ERROR agent    CONNECT evil.example:443  connect-refused  (" + id +
                              ")  127.0.0.1:443: Connection refused\n");
  event = refusal("2001:db8::1");
  event.verdict = proxy::outcome::allow;
  event.reason = core::reason::allowed;
  event.rule = "agent/allow/0";
  CHECK(text_of(event) == "12:03:44 ALLOW agent    CONNECT [2001:db8::1]:443  agent/allow/0  (" + id + ")\n");
  event.kind = proxy::event::kind::close;
  event.bytes_up = 1023;
  event.bytes_down = 1536;
  event.total = std::chrono::milliseconds{14'200};
  CHECK(text_of(event) ==
        "12:03:44 CLOSE agent    CONNECT [2001:db8::1]:443  1023 B up, 1.5 KiB down, 14.2 s  (" + id + ")\n");
  event = {};
  event.time = refusal().time;
  event.reason = core::reason::bad_request_line;
  CHECK(text_of(event) == "12:03:44 DENY  -        - -  bad-request-line  (0000000000000)\n");
  CHECK(text_of(message{event.time, level::info, "ready", "listening"}) ==
        "12:03:44 INFO  ready: listening\n");
  CHECK(text_of(loss{event.time, metrics::log_sink::ring, 3}) ==
        "12:03:44 WARN  3 log lines were lost (ring)\n");
}

TEST_CASE("a request for a canary is a line at the level error") {
  auto event = refusal("vault-1f.corp.example");
  event.reason = core::reason::canary;
  CHECK(json_of(event).ends_with(
      R"("verdict":"deny","reason":"canary","status":403,"total_ms":1.234,"level":"error"})"
      "\n"));
  CHECK(text_of(event).contains(" ALARM agent    CONNECT vault-1f.corp.example:443  canary  ("));
  CHECK(is_alarm(event));
  CHECK(is_refusal(event));
  CHECK_FALSE(json_of(refusal()).contains("level"));
  CHECK_FALSE(is_alarm(refusal()));
}

TEST_CASE("what is a refusal") {
  proxy::event event = refusal();
  CHECK(is_refusal(event));
  event.verdict = proxy::outcome::would_deny;
  CHECK(is_refusal(event));
  event.verdict = proxy::outcome::error;
  CHECK(is_refusal(event));
  event.reason = core::reason::dns_timeout;
  CHECK_FALSE(is_refusal(event));
  event.verdict = proxy::outcome::allow;
  event.reason = core::reason::allowed;
  CHECK_FALSE(is_refusal(event));
}

TEST_CASE("docs/reference/log.md is what the table says") {
  CHECK_MESSAGE(read_all(EXEAT_SOURCE_DIR "/docs/reference/log.md") == log_reference(),
                "stale: run `exeat docs log > docs/reference/log.md`");
}
