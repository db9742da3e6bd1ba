// Any octets as what an attacker gets into the log and into our answers: one line each, and a head of our
// making.
#include <array>
#include <boost/json/parse.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "log/format.hpp"
#include "proxy/refusal.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;

namespace {

void expect_line(const std::string& line) {
  EXPECT(line.ends_with('\n'));
  for (std::size_t i = 0; i + 1 < line.size(); ++i) EXPECT(line[i] >= ' ' && line[i] <= '~');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 3, size - 3);
  const auto half = input.substr(0, data[0] * input.size() / 256);
  const auto rest = input.substr(half.size());
  const auto reason = static_cast<core::reason>(1 + data[1] % (core::reason_count - 1));

  proxy::event event;
  event.kind = (data[2] & 1) != 0 ? proxy::event::kind::close : proxy::event::kind::decision;
  event.verdict = static_cast<proxy::outcome>(data[2] / 2 % 4);
  event.reason = reason;
  event.phase = "agent";
  event.method = half.substr(0, 300);
  event.host = rest;
  event.sni = half;
  event.alpn = rest;
  event.error = input;
  event.command = half;
  event.process = rest;
  event.cgroup = half;
  event.hint = rest;
  std::string json;
  log::append_json(json, event);
  expect_line(json);
  EXPECT(boost::json::parse(json).is_object());
  std::string text;
  log::append_text(text, event, false);
  expect_line(text);

  const bool wants_json = proxy::accept_wants_json(input);
  const std::array next{std::string(half), std::string(rest)};
  std::string answer;
  proxy::append_refusal(answer, {.reason = reason,
                                 .decision = "0000000000000",
                                 .destination = rest,
                                 .phase = "agent",
                                 .message = half,
                                 .next = next,
                                 .wants_json = wants_json});
  const auto end = answer.find("\r\n\r\n");
  EXPECT(end != std::string::npos && answer.starts_with("HTTP/1.1 "));
  for (std::size_t i = 0; i < end; ++i) {
    const bool line_end = answer[i] == '\r' && answer[i + 1] == '\n';
    EXPECT(line_end || (answer[i] == '\n' && answer[i - 1] == '\r') ||
           (answer[i] >= ' ' && answer[i] <= '~'));
  }
  const auto length = answer.find("Content-Length: ");
  EXPECT(length != std::string::npos && std::stoul(answer.substr(length + 16)) == answer.size() - end - 4);
  if (wants_json) EXPECT(boost::json::parse(answer.substr(end + 4)).is_object());
  return 0;
}
