#include "allowlist/host_risk.hpp"

#include <doctest/doctest.h>

#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;

namespace {

// "multi-tenant, upload" and so on, with "tenant: " in front of what belongs to one of many; "" for nothing.
std::string of(std::string_view host) {
  const auto found = risk_of(name(host));
  if (!found) return {};
  CHECK_FALSE(found->why.empty());
  return (found->tenant ? "tenant: " : "") + to_string(found->risks);
}

}  // namespace

TEST_CASE("what is known of a name before there is a rule for it") {
  CHECK(of("example.com").empty());
  CHECK(of("docs.github.com").empty());
  CHECK(of("nodejs.org").empty());
  CHECK(of("github.com") == "multi-tenant, upload, redirects");
  CHECK(of("raw.githubusercontent.com") == "multi-tenant");
  CHECK(of("api.anthropic.com") == "upload");
  CHECK(of("anything.npmjs.org") == "multi-tenant, upload");
  CHECK(of("npmjs.org") == "multi-tenant, upload");
  CHECK(of("deep.down.webhook.site") == "multi-tenant, upload");
  CHECK(of("webhook.site") == "multi-tenant, upload");
  // Only some names of the domain.
  CHECK(of("packages.debian.org").empty());
  CHECK(of("dl.google.com").empty());
  CHECK(of("www.microsoft.com").empty());
  CHECK(of("docs.google.com") == "multi-tenant, upload");
  // Where a bundle has looked, whatever the names around it.
  CHECK(of("googlechromelabs.github.io").empty());
  CHECK(of("salsa.debian.org") == "multi-tenant, upload");
}

TEST_CASE("a tenant's name may be an attacker's") {
  CHECK(of("evil.blob.core.windows.net") == "tenant: multi-tenant, upload");
  CHECK(of("evil.z13.web.core.windows.net") == "tenant: multi-tenant, upload");
  CHECK(of("evil.s3.eu-west-1.amazonaws.com") == "tenant: multi-tenant, upload");
  CHECK(of("evil.openai.azure.com") == "tenant: multi-tenant, upload");
  CHECK(of("evil.netlify.app") == "tenant: multi-tenant, upload");  // by the public suffix list alone
  CHECK(of("evil.github.io") == "tenant: multi-tenant, upload");
  CHECK(of("a.b.evil.vercel.app") == "tenant: multi-tenant, upload");
  CHECK(of("example.co.uk").empty());
  // Known by its own name, whoever its neighbours are.
  CHECK(of("productionresultssa3.blob.core.windows.net") == "multi-tenant, upload");
  CHECK(of("generativelanguage.googleapis.com") == "upload");
  CHECK(of("storage.googleapis.com") == "multi-tenant, upload");
}
