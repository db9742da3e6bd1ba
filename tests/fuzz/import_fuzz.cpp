// Any octets as another product's allowlist: what comes out loads.
#include <cstdint>
#include <string>
#include <string_view>

#include "config/load.hpp"
#include "importers/import.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto products = importers::product_names().size();
  const importers::source source{
      .from = static_cast<importers::product>(data[0] % products),
      .text = input,
      .file = "f",
      .phase = "agent",
      .read = [](const std::string&) { return std::string("a.example\n.b.example\n"); }};
  const auto result = importers::import(source);
  if (!result) {
    EXPECT(!result.error().empty());
    return 0;
  }
  EXPECT(config::parse_policy(importers::print(*result, source), "printed").has_value());
  return 0;
}
