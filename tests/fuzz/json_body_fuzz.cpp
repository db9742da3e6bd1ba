// Any octets as the body of a POST to the admin port.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "admin/json_body.hpp"
#include "tests/fuzz/expect.hpp"

using exeat::admin::json_body;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr std::array<std::string_view, 3> known{"job", "to", "grace"};
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto body = json_body::parse(input, known);
  if (!body) {
    EXPECT(!body.error().empty());
    for (const char c : body.error()) EXPECT(c >= ' ' && c <= '~');
    return 0;
  }
  for (const auto name : known) {
    const auto* value = body->find(name);
    EXPECT(value == nullptr || value->size() <= 512);
    // Nobody reads a member that the text does not have in some spelling.
    EXPECT(value == nullptr || !input.empty());
  }
  EXPECT(body->find("other") == nullptr);
  return 0;
}
