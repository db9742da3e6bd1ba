// Any octets as the start of a tunnel: the same verdict however they are cut, and for the same message in
// smaller records.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/fuzz/expect.hpp"
#include "wire/client_hello.hpp"
#include "wire/hello_bytes.hpp"

using namespace exeat;
using wire::hello_status;
using bytes = std::vector<std::uint8_t>;

namespace {

void expect_same(const wire::client_hello& a, const wire::client_hello& b) {
  EXPECT(a.has_sni == b.has_sni);
  EXPECT(a.sni == b.sni);
  EXPECT(a.sni_is_address == b.sni_is_address);
  EXPECT(a.sni_text.view() == b.sni_text.view());
  EXPECT(a.alpn.view() == b.alpn.view());
  EXPECT(a.highest_version == b.highest_version);
  EXPECT(a.has_ech == b.has_ech);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::span<const std::uint8_t> input(data + 1, size - 1);
  wire::client_hello_parser whole;
  const auto status = whole.feed(input);

  wire::client_hello_parser steps;
  auto cut = hello_status::need_more;
  const std::size_t step = 1 + data[0] % 23U;
  for (std::size_t n = 0; cut == hello_status::need_more; n = std::min(n + step, input.size())) {
    const bytes piece(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(n));
    cut = steps.feed(piece);
    if (n == input.size()) break;
  }
  EXPECT(cut == status);
  if (status == hello_status::error || status == hello_status::not_tls) {
    EXPECT(!whole.error().detail.empty());
    EXPECT(whole.error().detail == steps.error().detail);
  }
  if (status != hello_status::done) return 0;
  EXPECT(whole.size() <= wire::max_client_hello && whole.size() == steps.size());
  expect_same(whole.hello(), steps.hello());
  const auto& hello = whole.hello();
  if (hello.sni) EXPECT(hello.has_sni && !hello.sni_is_address);

  // The same message, taken out of its records and put into others.
  bytes message;
  for (std::size_t at = 0; at < whole.size();) {
    const std::size_t length = (std::size_t{input[at + 3]} << 8) | input[at + 4];
    const auto from = input.subspan(at + 5, length);
    message.insert(message.end(), from.begin(), from.end());
    at += 5 + length;
  }
  const std::size_t chunk = 1 + data[0];
  const auto records = wire::hello_bytes::records(message, chunk);
  if (records.size() > wire::max_client_hello) return 0;
  wire::client_hello_parser again;
  EXPECT(again.feed(records) == hello_status::done);
  expect_same(whole.hello(), again.hello());
  return 0;
}
