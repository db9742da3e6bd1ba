// Any octets as the value of Proxy-Authorization.
#include <cstdint>
#include <string_view>

#include "identity/credential.hpp"
#include "jobs/secret.hpp"
#include "tests/fuzz/expect.hpp"

using namespace exeat;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const jobs::job job("j-1", {{{"agent"}}}, {{"agent", jobs::sha256_of("u").value()}});
  static const auto check = [] {
    config::identity_check made;
    made.kind = config::identity_check::source::credential;
    made.tokens.push_back({.sha256 = jobs::sha256_of("t").value(), .phase = "setup"});
    made.job_tokens = true;
    return made;
  }();
  const auto find = [](const void* context, std::string_view id) {
    return id == "j-1" ? static_cast<const jobs::job*>(context) : nullptr;
  };
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto answer = identity::judge_credential(check, input, {&job, find});
  if (answer) {
    EXPECT(size <= identity::max_credential);
    EXPECT(answer->job.empty() ? answer->phase == "setup" : answer->job == "j-1" && answer->phase == "agent");
  } else {
    const auto reason = answer.error().reason;
    EXPECT(reason == core::reason::credential_wrong || reason == core::reason::job_unknown);
    EXPECT(!answer.error().detail.empty() && answer.error().detail.size() < 100);
  }
  return 0;
}
