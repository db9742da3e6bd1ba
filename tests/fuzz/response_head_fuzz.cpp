// Any octets as an origin's head. The first octet chooses the context.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/expect.hpp"
#include "wire/forward_head.hpp"

using namespace exeat;
using wire::body_framing;
using wire::parse_status;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const wire::response_context context{.head_request = (data[0] & 1) != 0,
                                       .websocket_request = (data[0] & 2) != 0,
                                       .connect_request = (data[0] & 4) != 0};
  const unsigned client_minor = (data[0] & 8) != 0 ? 0 : 1;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const wire::head_limits limits{.bytes = 8192, .fields = 64};
  static wire::response_head head;
  wire::response_parser whole;
  const auto status = whole.parse(input, limits, context, head);

  wire::response_parser steps;
  wire::response_head cut;
  auto cut_status = parse_status::need_more;
  const std::size_t step = 1 + (data[0] >> 4);
  for (std::size_t n = 0; cut_status == parse_status::need_more; n = std::min(n + step, input.size())) {
    const std::string piece(input.substr(0, n));
    cut_status = steps.parse(piece, limits, context, cut);
    if (n == input.size()) break;
  }
  EXPECT(cut_status == status);
  if (status == parse_status::error) {
    EXPECT(whole.error().reason == core::reason::origin_not_http);
    EXPECT(whole.error().detail == steps.error().detail);
  }
  if (status != parse_status::done) return 0;
  EXPECT(whole.size() == steps.size());
  EXPECT(head.status >= 100 && head.status <= 599);
  EXPECT(head.framing != body_framing::until_close || !head.keep_alive);
  if (head.is_switch()) EXPECT(context.websocket_request);
  if (context.head_request || head.status < 200 || head.status == 204 || head.status == 304) {
    EXPECT(head.framing == body_framing::none);
  }

  std::string out;
  wire::write_response_head(head, {.client_minor = client_minor}, out);
  wire::response_parser parser;
  wire::response_head again;
  const auto reread = parser.parse(out, {.bytes = 1 << 20}, context, again);
  if (reread == parse_status::error && parser.error().detail == "the head has too many fields") return 0;
  EXPECT(reread == parse_status::done);
  EXPECT(parser.size() == out.size());
  EXPECT(again.status == head.status && again.phrase == head.phrase);
  EXPECT(again.framing == wire::forwarded_framing(head, client_minor));
  if (again.framing == body_framing::length) EXPECT(again.content_length == head.content_length);
  for (const auto& f : again.fields) {
    EXPECT(f.id != wire::field_id::proxy && f.id != wire::field_id::exeat &&
           f.id != wire::field_id::keep_alive);
  }
  return 0;
}
