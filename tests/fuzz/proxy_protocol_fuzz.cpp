// Any octets as a PROXY header: the same outcome however they are cut, nothing taken behind it, and a header
// of version 1 that names addresses reads back from its own text.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/expect.hpp"
#include "wire/proxy_protocol.hpp"

using namespace exeat;
using wire::parse_status;

namespace {

struct outcome {
  parse_status status = parse_status::need_more;
  std::size_t taken = 0;
  wire::proxy_header header;
  std::string_view detail;
};

outcome parse(std::span<const std::uint8_t> input, std::size_t piece) {
  wire::proxy_header_parser parser;
  outcome out;
  for (std::size_t at = 0; at < input.size() && out.status == parse_status::need_more; at += piece) {
    const auto from = input.subspan(at, std::min(piece, input.size() - at));
    const std::vector<std::uint8_t> copy(from.begin(), from.end());
    const auto step = parser.feed(copy);
    EXPECT(step.taken <= copy.size());
    EXPECT(step.status != parse_status::need_more || step.taken == copy.size());
    out.status = step.status;
    out.taken += step.taken;
  }
  if (out.status == parse_status::done) out.header = parser.header();
  if (out.status == parse_status::error) out.detail = parser.error().detail;
  return out;
}

std::string line_of(const wire::proxy_header& header) {
  std::string out = header.source->address.is_v6() ? "PROXY TCP6 " : "PROXY TCP4 ";
  out += header.source->address.to_string() + ' ' + header.destination->address.to_string() + ' ';
  return out + std::to_string(header.source->port) + ' ' + std::to_string(header.destination->port) + "\r\n";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> input(data + 1, size - 1);
  const auto whole = parse(input, input.size() + 1);
  const auto cut = parse(input, 1 + data[0] % 31U);
  EXPECT(whole.status == cut.status);
  EXPECT(whole.taken == cut.taken);
  EXPECT(whole.header == cut.header);
  EXPECT(whole.detail == cut.detail);
  EXPECT(whole.taken <= wire::proxy_header_parser::max_size);
  EXPECT((whole.status == parse_status::error) == !whole.detail.empty());
  if (whole.status != parse_status::done) return 0;
  const auto& header = whole.header;
  EXPECT(header.source.has_value() == header.destination.has_value());
  if (header.local) EXPECT(!header.source);
  EXPECT(parse(input.first(whole.taken), 3).header == header);
  EXPECT(parse(input.first(whole.taken - 1), 3).status == parse_status::need_more);
  if (!header.source) return 0;

  const auto line = line_of(header);
  const auto again = parse({reinterpret_cast<const std::uint8_t*>(line.data()), line.size()}, 5);
  EXPECT(again.status == parse_status::done && again.header.version == 1);
  EXPECT(again.header.source == header.source && again.header.destination == header.destination);
  return 0;
}
