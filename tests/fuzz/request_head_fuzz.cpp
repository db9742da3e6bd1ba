// Any octets as a request head: the verdict is the same however they are cut, and what is forwarded reads
// back as the same request.
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/expect.hpp"
#include "wire/forward_head.hpp"
#include "wire/octets.hpp"

using namespace exeat;
using wire::body_framing;
using wire::parse_status;

namespace {

void check_passed(const wire::request_head& head) {
  EXPECT(wire::is_token(head.method) && !head.method.empty());
  EXPECT(head.method != "TRACE");
  EXPECT((head.form == wire::target_form::connect) == (head.method == "CONNECT"));
  EXPECT(head.to.port != 0);
  EXPECT(head.framing != body_framing::until_close);
  EXPECT(head.framing == body_framing::length || head.content_length == 0);
  EXPECT(head.minor == 1 || (!head.keep_alive && head.framing != body_framing::chunked));
  if (head.form == wire::target_form::connect) EXPECT(head.framing == body_framing::none);
  if (head.upgrade_websocket) EXPECT(head.method == "GET" && head.framing != body_framing::chunked);
}

void check_forwarded(const wire::request_head& head) {
  const auto host = core::to_string(head.to);
  wire::request_options options;
  options.absolute_authority = host;
  std::string out;
  wire::write_request_head(head, options, out);
  wire::request_parser parser;
  wire::request_head again;
  // Written fields may be a little longer than read ones ("A:b" becomes "A: b").
  const wire::head_limits wide{.bytes = 1 << 20};
  const auto status = parser.parse(out, wide, again);
  // Two fields of ours may bring a full head over the limit of fields.
  if (status == parse_status::error && parser.error().reason == core::reason::too_many_fields) return;
  EXPECT(status == parse_status::done);
  EXPECT(parser.size() == out.size());
  EXPECT(again.method == head.method);
  EXPECT(again.to == head.to);
  EXPECT(again.framing == head.framing);
  EXPECT(again.content_length == head.content_length);
  EXPECT(again.upgrade_websocket == head.upgrade_websocket);
  EXPECT(again.expect_continue == head.expect_continue);
  EXPECT(!again.proxy_authorization.has_value());
  for (const auto& f : again.fields) {
    EXPECT(f.id != wire::field_id::proxy && f.id != wire::field_id::exeat && f.id != wire::field_id::te);
    EXPECT(!f.nominated || f.id == wire::field_id::upgrade);
  }
  std::string twice;
  wire::write_request_head(again, options, twice);
  EXPECT(twice == out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const wire::head_limits limits{.bytes = 8192, .fields = 64};
  static wire::request_head head;
  wire::request_parser whole;
  const auto status = whole.parse(input, limits, head);

  wire::request_parser steps;
  wire::request_head cut;
  auto cut_status = parse_status::need_more;
  const std::size_t step = 1 + (size > 0 ? data[size / 2] % 7 : 0);
  for (std::size_t n = 0; cut_status == parse_status::need_more; n = std::min(n + step, size)) {
    const std::string piece(input.substr(0, n));
    cut_status = steps.parse(piece, limits, cut);
    if (n == size) break;
  }
  EXPECT(cut_status == status);
  if (status == parse_status::error) {
    EXPECT(whole.error().reason == steps.error().reason);
    EXPECT(!whole.error().detail.empty());
  }
  if (status != parse_status::done) return 0;
  EXPECT(whole.size() == steps.size() && whole.size() <= limits.bytes);
  check_passed(head);
  if (head.form == wire::target_form::absolute) check_forwarded(head);
  return 0;
}
