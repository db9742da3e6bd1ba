#include "importers/import_test.hpp"

using namespace exeat;
using namespace exeat::importers;
using namespace exeat::importers::testing;

namespace {

constexpr std::string_view acl = R"(version: v1
services:
  - name: ci_build
    project: platform
    action: enforce
    allowed_domains:
      - artifacts.corp.example
      - "*.mirror.example"
      - bad.shared.example
  - name: reporting
    project: platform
    action: report
    allowed_domains: [a.example]
default:
  project: other
  action: enforce
  allowed_domains: [only.example]
global_deny_list: ["*.shared.example"]
global_allow_list: [everywhere.example]
)";

}  // namespace

TEST_CASE("Smokescreen: services are phases; an asterisk is any depth without the name itself") {
  const auto t = try_import(product::smokescreen, acl);
  CHECK(t.allows("ci-build", "artifacts.corp.example"));
  CHECK_FALSE(t.allows("ci-build", "x.artifacts.corp.example"));
  CHECK(t.allows("ci-build", "a.b.mirror.example"));
  CHECK_FALSE(t.allows("ci-build", "mirror.example"));
  CHECK(t.allows("ci-build", "everywhere.example"));
  CHECK(t.plain("ci-build", "everywhere.example"));
  CHECK_FALSE(t.allows("ci-build", "a.example"));
  CHECK(t.allows("default", "only.example"));
  CHECK_FALSE(t.allows("default", "artifacts.corp.example"));
  CHECK(t.differs(3, "phase `ci-build`"));
}

TEST_CASE("Smokescreen: a service's own domains go before the deny list there, not here") {
  const auto t = try_import(product::smokescreen, acl);
  CHECK_FALSE(t.allows("ci-build", "bad.shared.example"));
  CHECK(t.differs(9, "deny beats every allow"));
}

TEST_CASE("Smokescreen: report is audit where no deny list would be opened by it") {
  const auto t = try_import(product::smokescreen, acl);
  CHECK(t.policy->phase_of(*t.policy->find_phase("reporting")).mode == allowlist::phase_mode::enforce);
  CHECK(t.differs(12, "so the phase enforces"));
  const auto open = try_import(product::smokescreen,
                               "version: v1\nservices:\n  - {name: a, action: report, allowed_domains: []}\n"
                               "  - {name: b, action: open}\n");
  CHECK(open.policy->phase_of(*open.policy->find_phase("a")).mode == allowlist::phase_mode::audit);
  CHECK(open.policy->phase_of(*open.policy->find_phase("b")).mode == allowlist::phase_mode::audit);
  CHECK(open.differs(4, "open to everything"));
}

TEST_CASE("Smokescreen: what it has besides is said") {
  const auto t = try_import(product::smokescreen,
                            "version: v1\nservices:\n  - name: a\n    action: enforce\n    allowed_domains: "
                            "[\"a.*.example\", '*']\n"
                            "    external_proxy_globs: [p.example]\n");
  CHECK(t.policy->rule_count() == 0);
  CHECK(t.left_out(5, "asterisk"));
  CHECK(t.left_out(6, "external_proxy_globs"));
  CHECK_FALSE(import(
      {.from = product::smokescreen, .text = "services: []", .file = "f", .phase = "agent", .read = {}}));
  CHECK_FALSE(import({.from = product::smokescreen, .text = "{", .file = "f", .phase = "agent", .read = {}}));
}
