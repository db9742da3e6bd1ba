// Any octets as a path and a pattern of paths: what matches is unambiguous, and lies where the pattern says.
#include <cstdint>
#include <string>
#include <string_view>

#include "allowlist/path_pattern.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat::allowlist;

namespace {

// The fixed part in front of the first wildcard.
std::string_view fixed(std::string_view pattern) {
  return pattern.substr(0, pattern.find('*'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto cut = input.find('\n');
  const auto pattern = input.substr(0, cut);
  const auto path = cut == std::string_view::npos ? input : input.substr(cut + 1);

  if (is_unambiguous_path(path)) {
    EXPECT(path.starts_with('/'));
    EXPECT(path.find("//") == std::string_view::npos && path.find('\\') == std::string_view::npos);
    EXPECT((std::string(path) + "/").find("/../") == std::string::npos);
    EXPECT((std::string(path) + "/").find("/./") == std::string::npos);
    for (const char c : path) EXPECT(c > ' ' && c <= '~');
    EXPECT(path_matches(path, path) || path.find('*') != std::string_view::npos);
    EXPECT(path_matches("/**", path) == (path.size() > 1) || path == "/");
  }
  if (!path_pattern_fault(pattern).empty() || !path_matches(pattern, path)) return 0;
  EXPECT(is_unambiguous_path(path));
  EXPECT(path.starts_with(fixed(pattern)));
  if (pattern.find('*') == std::string_view::npos) EXPECT(path == pattern);
  return 0;
}
