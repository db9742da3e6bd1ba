// Any octets as a job's file in the state directory, its checksum made right: what is read prints the same
// again.
#include <cstdint>
#include <string>
#include <string_view>

#include "jobs/record.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr std::string_view store = "s";
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto damaged = jobs::parse_record(input, store);
  EXPECT(damaged || !damaged.error().empty());

  // Whoever writes there may write the sum as well.
  std::string text(input);
  if (!text.ends_with('\n')) text += '\n';
  text += "sha256 " + jobs::hex_of(jobs::sha256_of(text).value()) + '\n';
  const auto read = jobs::parse_record(text, store);
  if (!read) {
    EXPECT(!read.error().empty());
    return 0;
  }
  EXPECT(read->id.empty() || jobs::is_job_id(read->id));
  EXPECT(read->current <= read->plan.end());
  for (const auto& token : read->tokens) EXPECT(read->plan.step_of(token.phase));
  const auto printed = jobs::print_record(*read, store);
  EXPECT(printed && *printed == text);
  return 0;
}
