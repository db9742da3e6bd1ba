#include <doctest/doctest.h>
#include <libpsl.h>

#include <algorithm>
#include <memory>
#include <set>

#include "allowlist/bundles.hpp"
#include "allowlist/lint.hpp"
#include "allowlist/lint_sinks.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;

namespace {

// "code line" of all findings but those about reasons and tests, in the order of the file.
using found = std::vector<std::string>;

found codes(policy_source source) {
  found out;
  const auto p = compile(std::move(source)).value();
  for (const auto& one : lint(p, {.now = now})) {
    if (one.check->code != "no-reason" && one.check->code != "no-tests")
      out.push_back(std::string(one.check->code) + " " + std::to_string(one.where.line));
  }
  return out;
}

// One untrusted phase with one rule, or several, on line 4.
found of(std::vector<rule> rules, std::vector<rule> denied = {}) {
  for (auto& r : rules) {
    if (r.where.line == 0) r.where = {"policy.yaml", 4, 5};
  }
  return codes(source_with(std::move(rules), std::move(denied)));
}
found of(std::string_view what) {
  return of(std::vector{allow(what)});
}
found of_trusted(rule r) {
  auto source = source_with({at(std::move(r), 4)});
  source.phases[0].untrusted = false;
  return codes(std::move(source));
}

rule accepted(rule r) {
  r.accept_risk = "because";
  return r;
}
rule bounded(rule r, std::uint32_t names) {
  r.terms = std::make_shared<const rule_terms>(rule_terms{.max_names = names, .max_name_entropy = 64});
  return r;
}

// As the loader expands `use:`.
std::vector<rule> use(std::string_view name, int line, std::string_view accept_risk = {}) {
  std::vector<rule> out;
  for (const auto& host : find_bundle(name)->hosts) {
    auto r = at(allow(host.host), line);
    std::get<host_pattern>(r.what).apex = host.apex;
    if (host.ports != "443") r.ports = port_set::of({{80, 80}, {443, 443}});
    r.ports_written = host.ports != "443";
    if (host.max_names != 0) r = bounded(r, host.max_names);
    r.reason = host.reason;
    r.accept_risk = accept_risk;
    r.bundle = name;
    out.push_back(r);
  }
  return out;
}
std::vector<rule> operator+(std::vector<rule> a, const std::vector<rule>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string first_text(std::vector<rule> rules, std::string_view code) {
  const auto p = policy_with(std::move(rules));
  for (const auto& one : lint(p, {.now = now})) {
    if (one.check->code == code) return one.text;
  }
  return "not found";
}

}  // namespace

TEST_CASE("the table of what is known says nothing twice, and nothing that no policy can hold") {
  const auto known = known_risks();
  REQUIRE(known.size() > own_risk_count());
  std::set<std::string> own;
  for (const auto& one : known.first(own_risk_count())) {
    CAPTURE(one.pattern.to_string());
    CHECK(own.insert(one.pattern.to_string()).second);
    CHECK_FALSE(one.why.empty());
    CHECK_FALSE(one.why.ends_with('.'));
  }
  for (const auto& one : known.subspan(own_risk_count())) {
    CAPTURE(one.pattern.to_string());
    CHECK_FALSE(own.contains(one.pattern.to_string()));
    CHECK((has(one.risks, risk::multi_tenant) || has(one.risks, risk::upload)));
  }
  for (const auto* suffix : {"*.blob.core.windows.net", "*.r2.cloudflarestorage.com", "*.backblazeb2.com"}) {
    CAPTURE(suffix);
    CHECK(own.contains(suffix));
    CHECK(host_pattern::parse(suffix));  // the public suffix list does not know it
  }
}

TEST_CASE("written rules that reach what a bundle tags") {
  CHECK(of("github.com") == found{"upload-sink 4"});
  CHECK(of("raw.githubusercontent.com") == found{"multi-tenant 4"});
  CHECK(of("*.github.com") == found{"upload-sink 4"});  // api. and gist.
  CHECK(of("docs.github.com").empty());
  CHECK(of("*.gitlab.com").empty());
  CHECK(of("results-receiver.actions.githubusercontent.com") == found{"upload-sink 4"});
  CHECK(of("deep.down.actions.githubusercontent.com").empty());
  CHECK(of("*.down.actions.githubusercontent.com").empty());
  CHECK(of({with_apex(allow("*.down.actions.githubusercontent.com"))}) == found{"upload-sink 4"});
  CHECK(of("nodejs.org").empty());
  CHECK(of("api.anthropic.com") == found{"upload-sink 4"});
  CHECK(of("bedrock-runtime.eu-west-1.amazonaws.com") == found{"upload-sink 4"});
  CHECK(of("productionresultssa7.blob.core.windows.net") == found{"upload-sink 4"});
  CHECK(of("anything.npmjs.org") == found{"upload-sink 4"});
  CHECK(of("*.some.npmjs.org") == found{"upload-sink 4"});
  CHECK(of({with_apex(allow("**.npmjs.org"))}) == found{"upload-sink 4"});
  CHECK(of("npmjs.org") == found{"upload-sink 4"});
  CHECK(of("anything.pythonhosted.org") == found{"multi-tenant 4"});
  // Where the bundle tags a wildcard because of one name under it, a narrower rule is not tagged.
  CHECK(of("packages.debian.org").empty());
  CHECK(of("debian.org").empty());
  CHECK(of("salsa.debian.org") == found{"upload-sink 4"});
  CHECK(of("**.debian.org") == found{"upload-sink 4"});
  CHECK(of("*.debian.org") == found{"upload-sink 4"});
  CHECK(of_trusted(allow("github.com")).empty());
  CHECK(of({until(allow("github.com"), 2020, 1, 1)}) == found{"expired 4"});
  CHECK(of({allow("github.com")}, {at(deny("github.com"), 9)}) == found{"never-matches 4"});
  CHECK(first_text({allow("api.anthropic.com")}, "upload-sink") ==
        "agent/api.anthropic.com:443 reaches api.anthropic.com (upload): the API; it takes files and prompts "
        "with anybody's key");
}

TEST_CASE("wildcards over names of unrelated owners") {
  CHECK(of("**.slack.com") == found{"no-max-names 4", "shared-suffix 4"});  // and hooks., once
  CHECK(of("*.blob.core.windows.net") == found{"no-max-names 4", "shared-suffix 4"});
  CHECK(of("**.windows.net") == found{"no-max-names 4", "shared-suffix 4"});
  CHECK(of("**.s3.eu-west-1.amazonaws.com.example.com").empty());
  CHECK(of("mine.blob.core.windows.net").empty());  // one owner
  CHECK(of("*.openai.azure.com") == found{"no-max-names 4", "shared-suffix 4"});
  CHECK(of("mine.openai.azure.com").empty());
  CHECK(of({bounded(allow("*.openai.azure.com"), 2)}) == found{"shared-suffix 4"});
  CHECK(of({accepted(allow("*.openai.azure.com"))}) == found{"no-max-names 4"});
  CHECK(of({accepted(bounded(allow("*.openai.azure.com"), 2))}).empty());
  CHECK(of_trusted(allow("*.openai.azure.com")) == found{"no-max-names 4"});
  CHECK(of_trusted(bounded(allow("*.openai.azure.com"), 2)).empty());
  CHECK(of("**.microsoft.com") == found{"no-max-names 4", "shared-suffix 4"});
  CHECK(of("storage.googleapis.com") == found{"upload-sink 4"});
  CHECK(of("docs.python.readthedocs.io").empty());
  CHECK(of("x.webhook.site") == found{"upload-sink 4"});
}

TEST_CASE("wildcards that are wide, and names that are suffixes") {
  CHECK(of("**.x.com") == found{"wide-wildcard 4"});
  CHECK(of("**.x.co.uk") == found{"wide-wildcard 4"});
  CHECK(of("*.x.com").empty());
  CHECK(of("**.part.x.com").empty());
  CHECK(of({bounded(allow("**.x.com"), 5)}).empty());
  auto long_names = allow("**.x.com");
  long_names.terms = std::make_shared<const rule_terms>(rule_terms{.max_names = 5});
  CHECK(of({long_names}) == found{"no-name-entropy 4"});
  CHECK(of_trusted(long_names).empty());
  CHECK(of({accepted(allow("**.x.com"))}).empty());
  CHECK(of_trusted(allow("**.x.com")).empty());
  CHECK(of("azurewebsites.net") == found{"public-suffix 4"});
  CHECK(of("co.uk") == found{"public-suffix 4"});
  CHECK(of("localhost").empty());
  CHECK(of({accepted(allow("co.uk"))}).empty());
  CHECK(of_trusted(allow("co.uk")).empty());
}

TEST_CASE("ranges of addresses") {
  CHECK(of("192.0.0.0/23") == found{"wide-prefix 4"});
  CHECK(of("192.0.2.0/24").empty());
  CHECK(of("2001:db8::/63") == found{"wide-prefix 4"});
  CHECK(of("2001:db8::/64").empty());
  CHECK(of({accepted(allow("192.0.0.0/23"))}).empty());
  CHECK(of_trusted(allow("192.0.0.0/8")).empty());
}

TEST_CASE("a risk is accepted in words, where there is one") {
  CHECK(of({accepted(allow("github.com"))}).empty());
  CHECK(of({accepted(allow("raw.githubusercontent.com"))}).empty());
  CHECK(of_trusted(accepted(allow("github.com"))).empty());
  CHECK(of({accepted(allow("a.example.com"))}) == found{"needless-acceptance 4"});
  CHECK(of_trusted(accepted(allow("a.example.com"))) == found{"needless-acceptance 4"});
  CHECK(of({accepted(allow("192.0.2.0/24"))}) == found{"needless-acceptance 4"});
  CHECK(of(use("swift", 7, "why not")) == found{"needless-acceptance 7"});
}

TEST_CASE("a use line is one finding at most") {
  CHECK(of(use("node", 7)) == found{"upload-sink 7"});
  CHECK(of(use("node", 7, "a mirror is on its way")).empty());
  CHECK(of(use("bazel", 7)) == found{"multi-tenant 7"});
  CHECK(of(use("azure-openai", 7)) == found{"shared-suffix 7"});
  CHECK(of(use("debian", 7)) == found{"upload-sink 7"});  // and no plain-http
  CHECK(of(use("github-actions", 7) + use("github", 8)) == found{"upload-sink 7", "upload-sink 8"});
  CHECK(
      first_text(use("node", 7), "upload-sink") ==
      "`use: node` in phase agent reaches **.npmjs.org (multi-tenant, upload), **.yarnpkg.com (multi-tenant, "
      "upload)");
  CHECK(first_text(use("github-actions", 7), "upload-sink").ends_with(" and 22 more"));
  // Every bundle, and those without risk without a finding.
  for (const auto& bundle : bundles()) {
    CAPTURE(bundle.name);
    const bool risky = std::ranges::any_of(bundle.hosts, [](const bundle_host& host) {
      return has(host.risks, risk::multi_tenant) || has(host.risks, risk::upload);
    });
    CHECK(of(use(bundle.name, 7)).size() == (risky ? 1U : 0U));
    auto trusted = source_with(use(bundle.name, 7));
    trusted.phases[0].untrusted = false;
    CHECK(codes(std::move(trusted)).empty());
  }
}

TEST_CASE("what a bundle brings twice, or for nothing") {
  CHECK(of(use("node", 7, "ok") + use("node", 8, "ok")) == found{"duplicate 8"});
  CHECK(of(use("github-actions", 7, "ok") + use("github", 8, "ok")).empty());
  // A deny that trims a bundle is meant; one that takes all of it is not.
  CHECK(of(use("node", 7, "ok"), {at(with_apex(deny("**.yarnpkg.com")), 20)}).empty());
  CHECK(of(use("anthropic", 7, "ok"), {at(deny("api.anthropic.com"), 20)}) == found{"never-matches 7"});
  CHECK(
      of(use("node", 7), {at(with_apex(deny("**.npmjs.org")), 20), at(with_apex(deny("**.yarnpkg.com")), 21)})
          .empty());  // what is left has no risk
  // A rule that is written out beside it.
  CHECK(of(use("swift", 7) + std::vector{at(allow("www.swift.org"), 8)}) == found{"duplicate 8"});
  CHECK(of(use("swift", 7) + std::vector{at(bounded(allow("**.swift.org"), 3), 8)}).empty());
}
