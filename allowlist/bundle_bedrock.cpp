// Bundles of Amazon Bedrock, one by region: a wildcard over all of AWS would let through every bucket.
#include <array>

#include "allowlist/bundle_table.hpp"

namespace exeat::allowlist {
namespace {

// The endpoints of the Bedrock runtime API: docs.aws.amazon.com/general/latest/gr/bedrock.html.
#define EXEAT_BEDROCK_REGIONS(X) \
  X("af-south-1")                \
  X("ap-east-2")                 \
  X("ap-northeast-1")            \
  X("ap-northeast-2")            \
  X("ap-northeast-3")            \
  X("ap-south-1")                \
  X("ap-south-2")                \
  X("ap-southeast-1")            \
  X("ap-southeast-2")            \
  X("ap-southeast-3")            \
  X("ap-southeast-4")            \
  X("ap-southeast-5")            \
  X("ap-southeast-6")            \
  X("ap-southeast-7")            \
  X("ca-central-1")              \
  X("ca-west-1")                 \
  X("eu-central-1")              \
  X("eu-central-2")              \
  X("eu-north-1")                \
  X("eu-south-1")                \
  X("eu-south-2")                \
  X("eu-west-1")                 \
  X("eu-west-2")                 \
  X("eu-west-3")                 \
  X("il-central-1")              \
  X("me-central-1")              \
  X("me-south-1")                \
  X("mx-central-1")              \
  X("sa-east-1")                 \
  X("us-east-1")                 \
  X("us-east-2")                 \
  X("us-gov-east-1")             \
  X("us-gov-west-1")             \
  X("us-west-1")                 \
  X("us-west-2")

#define EXEAT_HOST(region)                                 \
  host("bedrock-runtime." region ".amazonaws.com", upload, \
       "the runtime API; with anybody's credentials, whose account may log every prompt"),
constexpr bundle_host hosts[]{EXEAT_BEDROCK_REGIONS(EXEAT_HOST)};
#undef EXEAT_HOST

#define EXEAT_NAME(region) {"bedrock-" region, "Amazon Bedrock in " region},
struct naming {
  std::string_view name;
  std::string_view title;
};
constexpr naming names[]{EXEAT_BEDROCK_REGIONS(EXEAT_NAME)};
#undef EXEAT_NAME
#undef EXEAT_BEDROCK_REGIONS

constexpr auto table = [] {
  std::array<bundle, std::size(hosts)> out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = {names[i].name, names[i].title, last_review, std::span(hosts).subspan(i, 1),
              "The control plane, and the token service for roles (sts, by region)."};
  }
  return out;
}();

}  // namespace

std::span<const bundle> bedrock_bundles() noexcept {
  return table;
}

}  // namespace exeat::allowlist
