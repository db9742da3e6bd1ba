// Any octets as a host name or an address.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/host_name.hpp"
#include "core/ip_address.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto name = core::host_name::parse(input);
  const auto address = core::ip_address::parse(input);
  EXPECT(!name || !address);
  if (name) {
    const auto text = name->view();
    EXPECT(!text.empty() && text.size() <= core::host_name::max_size);
    EXPECT(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string_view::npos);
    EXPECT(text.front() != '.' && text.back() != '.');
    EXPECT(text.find("..") == std::string_view::npos);
    EXPECT(!core::ends_in_number(text));
    EXPECT(core::host_name::parse(text) == *name);
    EXPECT(core::host_name::parse(std::string(text) + ".").has_value());
    EXPECT(name->label_count() >= 1);
  } else {
    EXPECT(!core::describe(name.error()).empty());
  }
  if (address) {
    const auto again = core::ip_address::parse(address->to_string());
    EXPECT(again.has_value() && *again == *address);
  }
  if (const auto prefix = core::cidr::parse(input)) {
    EXPECT(prefix->contains(prefix->base));
    EXPECT(core::cidr::parse(prefix->to_string()).value() == *prefix);
  }
  return 0;
}
