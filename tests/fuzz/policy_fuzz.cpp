// Any octets as policy.yaml, and as exeat.yaml.
#include <cstdint>
#include <string>
#include <string_view>

#include "config/load.hpp"
#include "config/print_policy.hpp"
#include "config/utf8.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;

namespace {

// Every error has a place in the file, a sentence, and a line that is safe to print.
void judge(const config::errors& errors, std::string_view input) {
  EXPECT(!errors.empty() && errors.size() <= 201);
  for (const auto& e : errors) {
    EXPECT(!e.message.empty());
    EXPECT(e.where.line >= 0 && static_cast<std::size_t>(e.where.line) <= input.size() + 2);
    const auto line = e.to_string();
    EXPECT(line.starts_with("f"));
    for (std::size_t i = 0; i < line.size();) {
      const auto size = config::utf8_sequence(std::string_view(line).substr(i));
      EXPECT(size > 0);
      EXPECT(static_cast<unsigned char>(line[i]) >= 0x20 && line[i] != 0x7f);
      i += size;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto policy = config::parse_policy(input, "f")) {
    const auto& source = (*policy)->source();
    EXPECT(!source.phases.empty());
    EXPECT(source.digest.size() == 64);
    for (const auto& phase : source.phases) {
      EXPECT((*policy)->find_phase(phase.name).has_value());
      for (const auto& rule : phase.allow) {
        EXPECT(rule.ports.size() > 0 && !rule.id.empty());
        const auto* pattern = std::get_if<allowlist::host_pattern>(&rule.what);
        EXPECT(pattern == nullptr || !pattern->apex || pattern->depth != allowlist::depth::exact);
      }
    }
    // What is printed loads, and prints the same again.
    const auto printed = config::print_policy(source);
    const auto again = config::parse_policy(printed, "f");
    EXPECT(again.has_value() && config::print_policy((*again)->source()) == printed);
  } else {
    judge(policy.error(), input);
  }
  if (const auto settings = config::parse_settings(input, "f", "/d")) {
    EXPECT(config::validate(*settings).empty());
    EXPECT(!settings->listeners.empty());
    for (const auto& listener : settings->listeners) EXPECT(config::is_local(listener.endpoint));
  } else {
    judge(settings.error(), input);
  }
  return 0;
}
