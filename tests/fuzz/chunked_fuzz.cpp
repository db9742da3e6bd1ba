// Any octets as a chunked body: the same body however it is cut and gathered, and written anew it reads back.
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/expect.hpp"
#include "wire/chunked.hpp"

using namespace exeat;
using kind = wire::chunk_step::kind;

namespace {

struct outcome {
  kind what = kind::need_more;
  std::string body;
  std::string trailers;
  std::string_view detail;
  std::size_t consumed = 0;
};

outcome decode(std::string_view input, std::size_t piece) {
  wire::chunked_decoder decoder;
  outcome out;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    const std::string copy(input.substr(at, piece));
    std::string_view left = copy;
    while (true) {
      const auto step = decoder.next(left);
      EXPECT(step.consumed <= left.size());
      EXPECT((step.what == kind::data) == !step.data.empty());
      out.consumed += step.consumed;
      out.body.append(step.data);
      left.remove_prefix(step.consumed);
      out.what = step.what;
      if (step.what == kind::end) out.trailers = decoder.trailers();
      if (step.what == kind::end || step.what == kind::error) {
        out.detail = decoder.detail();
        return out;
      }
      if (step.what == kind::need_more) break;
    }
    EXPECT(left.empty());
  }
  return out;
}

outcome gather(std::string_view input, std::size_t piece) {
  wire::chunked_decoder decoder;
  outcome out;
  for (std::size_t at = 0; at < input.size(); at += piece) {
    std::string copy(input.substr(at, piece));
    const auto got = decoder.gather(copy);
    EXPECT(got.consumed <= copy.size() && got.then != kind::data);
    out.consumed += got.consumed;
    out.body.append(got.data);
    out.what = got.then;
    if (got.then == kind::end) out.trailers = decoder.trailers();
    if (got.then == kind::end || got.then == kind::error) {
      out.detail = decoder.detail();
      return out;
    }
    EXPECT(got.consumed == copy.size());
  }
  return out;
}

bool same(const outcome& a, const outcome& b) {
  return a.what == b.what && a.body == b.body && a.trailers == b.trailers && a.detail == b.detail &&
         a.consumed == b.consumed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = decode(input, input.size() + 1);
  const auto cut = decode(input, 1 + data[0] % 17U);
  EXPECT(whole.what == cut.what);
  EXPECT(whole.body == cut.body);
  EXPECT(whole.trailers == cut.trailers);
  EXPECT(whole.detail == cut.detail);
  EXPECT(same(gather(input, input.size() + 1), whole));
  EXPECT(same(gather(input, 1 + data[0] % 17U), cut));
  if (whole.what != kind::end) return 0;
  EXPECT(whole.consumed == cut.consumed);

  std::string written;
  if (!whole.body.empty()) {
    written.append(wire::chunk_header(whole.body.size()).view()).append(whole.body).append(wire::chunk_end);
  }
  wire::append_last_chunk(written, whole.trailers);
  const auto again = decode(written, 3);
  // ": " may make a trailer one octet longer than it came, and so break the limit.
  if (again.what == kind::error && written.size() > wire::chunked_decoder::max_trailer_bytes) return 0;
  EXPECT(again.what == kind::end);
  EXPECT(again.body == whole.body);
  EXPECT(again.trailers == whole.trailers);
  EXPECT(again.consumed == written.size());
  return 0;
}
