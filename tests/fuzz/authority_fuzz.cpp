// Any octets as a target: what is understood prints to a form that is understood as the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/expect.hpp"
#include "wire/authority.hpp"

using namespace exeat;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto to = wire::parse_connect_authority(input)) {
    const auto text = core::to_string(*to);
    const auto again = wire::parse_connect_authority(text);
    EXPECT(again.has_value() && *again == *to);
    EXPECT(!wire::host_disagreement(*to, input, core::scheme::https));
    EXPECT(!wire::host_disagreement(*to, text, core::scheme::http));
  } else {
    EXPECT(core::row_of(to.error().reason).kind == core::reason_kind::request);
    EXPECT(!to.error().detail.empty());
  }
  if (const auto target = wire::parse_http_target(input)) {
    EXPECT(target->to.port != 0);
    EXPECT(target->path.empty() || target->path[0] == '/' || target->path[0] == '?');
    EXPECT(target->path.find_first_of(" \r\n\t#\\") == std::string_view::npos);
    const auto again = wire::parse_http_target("http://" + core::to_string(target->to));
    EXPECT(again.has_value() && again->to == target->to);
    EXPECT(!wire::parse_connect_authority(input));
  } else {
    EXPECT(core::row_of(target.error().reason).kind == core::reason_kind::request);
  }
  return 0;
}
