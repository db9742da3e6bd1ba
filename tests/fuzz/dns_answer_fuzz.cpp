// Any octets as what a name server answered: never more addresses than we keep, and none of another family.
#include <ares.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "proxy/dns_query.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;
using proxy::family_outcome;

namespace {

proxy::family_answer read(int type, std::span<const unsigned char> message) {
  const auto answer = proxy::read_reply(type, ARES_SUCCESS, message);
  const auto& addresses = answer.addresses;
  EXPECT(answer.outcome != family_outcome::open);
  EXPECT((answer.outcome == family_outcome::addresses) == !addresses.empty());
  EXPECT(std::ranges::all_of(addresses, [&](const auto& a) { return a.is_v6() == (type == 28); }));
  for (std::size_t i = 0; i < addresses.size(); ++i)
    EXPECT(std::count(addresses.begin(), addresses.end(), addresses[i]) == 1);
  EXPECT(answer.outcome != family_outcome::addresses || answer.ttl.count() >= 0);
  EXPECT(answer.outcome == family_outcome::addresses || !answer.detail.empty());
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  // The first octets say where the answer for A ends and that for AAAA begins.
  const auto cut = std::min<std::size_t>(data[0] * 256U + data[1], size - 2);
  const std::vector<unsigned char> first(data + 2, data + 2 + cut);
  const std::vector<unsigned char> second(data + 2 + cut, data + size);
  const auto a = read(1, first);
  const auto aaaa = read(28, second);
  const auto merged = proxy::merge(a, aaaa);
  EXPECT(static_cast<bool>(merged) == !merged.addresses.empty());
  EXPECT(merged.addresses.size() <= proxy::max_addresses);
  const auto known = [&](const core::ip_address& one) {
    const auto& of = one.is_v6() ? aaaa.addresses : a.addresses;
    return std::ranges::find(of, one) != of.end();
  };
  EXPECT(std::ranges::all_of(merged.addresses, known));
  EXPECT(merged || !merged.detail.empty());
  return 0;
}
