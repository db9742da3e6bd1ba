#include "allowlist/bundles.hpp"

#include <doctest/doctest.h>
#include <libpsl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "allowlist/pattern.hpp"

using namespace exeat::allowlist;

namespace {

// Names under which unrelated customers get names or folders of their own. A bundle may hold a name below one
// of them, which somebody owns, but neither the name itself nor a wildcard at or above it.
constexpr std::string_view shared[]{
    "amazonaws.com",
    "s3.amazonaws.com",
    "api.aws",
    "cloudfront.net",
    "googleapis.com",
    "storage.googleapis.com",
    "googleusercontent.com",
    "google.com",
    "gcr.io",
    "pkg.dev",
    "core.windows.net",
    "blob.core.windows.net",
    "azurewebsites.net",
    "azureedge.net",
    "azure.com",
    "microsoft.com",
    "visualstudio.com",
    "trafficmanager.net",
    "r2.cloudflarestorage.com",
    "cloudflarestorage.com",
    "workers.dev",
    "pages.dev",
    "vercel-storage.com",
    "vercel.app",
    "netlify.app",
    "herokuapp.com",
    "github.io",
    "githubusercontent.com",
    "gitlab.io",
    "readthedocs.io",
    "sourceforge.net",
    "slack.com",
    "discord.com",
    "jsdelivr.net",
    "unpkg.com",
    "fastly.net",
    "akamaihd.net",
    "digitaloceanspaces.com",
    "backblazeb2.com",
    "wasabisys.com",
    "ngrok.io",
    "jcenter.bintray.com",
    "api.telegram.org",
    "sentry.io",
};

bool is_at_or_above(const host_pattern& pattern, std::string_view name) {
  const auto text = pattern.name.view();
  return name == text || (pattern.depth != depth::exact && name.size() > text.size() &&
                          name.ends_with(text) && name[name.size() - text.size() - 1] == '.');
}

std::optional<std::chrono::year_month_day> date_of(std::string_view text) {
  const auto number = [&](std::size_t at, std::size_t size) {
    int value = -1;
    const auto* const begin = text.data() + at;
    const auto [end, error] = std::from_chars(begin, begin + size, value);
    return error == std::errc{} && end == begin + size ? value : -1;
  };
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto month = number(5, 2);
  const auto day = number(8, 2);
  if (number(0, 4) < 0 || month < 0 || day < 0) return std::nullopt;
  const auto out = std::chrono::year(number(0, 4)) / month / day;
  return out.ok() ? std::optional(out) : std::nullopt;
}

}  // namespace

TEST_CASE("bundles are found by name, and are those that the documents name") {
  const auto all = bundles();
  CHECK(std::ranges::is_sorted(all, std::ranges::less_equal{}, &bundle::name));
  for (const auto& one : all) CHECK(find_bundle(one.name) == &one);
  CHECK(find_bundle("") == nullptr);
  CHECK(find_bundle("nodes") == nullptr);
  CHECK(find_bundle("zzz") == nullptr);
  for (const auto* name : {"node",
                           "python",
                           "rust",
                           "go",
                           "java",
                           "ruby",
                           "php",
                           "dotnet",
                           "debian",
                           "ubuntu",
                           "alpine",
                           "containers",
                           "haskell",
                           "dart",
                           "swift",
                           "elixir",
                           "perl",
                           "julia",
                           "r",
                           "conda",
                           "terraform",
                           "bazel",
                           "nix",
                           "github",
                           "gitlab",
                           "bitbucket",
                           "anthropic",
                           "openai",
                           "google",
                           "mistral",
                           "azure-openai",
                           "bedrock-us-east-1",
                           "bedrock-eu-central-1",
                           "github-actions",
                           "playwright",
                           "chrome-for-testing",
                           "cypress"}) {
    CAPTURE(name);
    CHECK(find_bundle(name) != nullptr);
  }
}

TEST_CASE("every bundle has a name for `use`, a title, a date and few hosts") {
  for (const auto& one : bundles()) {
    CAPTURE(one.name);
    CHECK((one.name.front() >= 'a' && one.name.front() <= 'z'));
    CHECK(one.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos);
    CHECK_FALSE(one.title.empty());
    CHECK_FALSE(one.title.ends_with('.'));
    CHECK((one.without.empty() || one.without.ends_with('.')));
    CHECK_FALSE(one.hosts.empty());
    CHECK(one.hosts.size() <= 30);
    const auto date = date_of(one.reviewed);
    REQUIRE(date);
    CHECK(*date >= std::chrono::year(2026) / 11 / 21);
    CHECK(*date < std::chrono::year(2100) / 1 / 1);
  }
}

TEST_CASE("every host of a bundle is a pattern that a policy may hold, with a reason") {
  for (const auto& one : bundles()) {
    CAPTURE(one.name);
    std::set<std::string_view> seen;
    for (const auto& host : one.hosts) {
      CAPTURE(host.host);
      const auto pattern = host_pattern::parse(host.host);  // no wildcard on a public suffix
      REQUIRE(pattern);
      CHECK(pattern->to_string() == host.host);
      const std::string name(pattern->name.view());
      CHECK(psl_is_public_suffix(psl_builtin(), name.c_str()) == 0);
      CHECK(seen.insert(host.host).second);
      CHECK((host.ports == "443" || host.ports == "80,443"));
      CHECK_FALSE(host.reason.empty());
      CHECK_FALSE(host.reason.ends_with('.'));
      const bool wildcard = pattern->depth != depth::exact;
      CHECK((wildcard || (!host.apex && host.max_names == 0 && !host.risks_partly)));
      CHECK((!host.risks_partly || host.risks != risk::none));
    }
  }
}

TEST_CASE("no bundle reaches storage that everybody shares") {
  for (const auto& one : bundles()) {
    for (const auto& host : one.hosts) {
      const auto pattern = host_pattern::parse(host.host).value();
      for (const auto name : shared) {
        CAPTURE(host.host);
        CAPTURE(name);
        CHECK_FALSE(is_at_or_above(pattern, name));
      }
      // A wildcard over names of many owners is bounded.
      if (pattern.depth != depth::exact && has(host.risks, risk::multi_tenant) && !host.apex)
        CHECK(host.max_names > 0);
    }
  }
  CHECK(is_at_or_above(host_pattern::parse("**.googleapis.com", true).value(), "storage.googleapis.com"));
  CHECK_FALSE(is_at_or_above(host_pattern::parse("x.github.io", true).value(), "github.io"));
}

TEST_CASE("a host says the same in every bundle") {
  // Else two `use` of one phase would contradict each other.
  std::map<std::string_view, const bundle_host*> first;
  for (const auto& one : bundles()) {
    for (const auto& host : one.hosts) {
      const auto& other = *first.try_emplace(host.host, &host).first->second;
      CAPTURE(host.host);
      CHECK(host.risks == other.risks);
      CHECK(host.risks_partly == other.risks_partly);
      CHECK(std::tie(host.apex, host.ports, host.max_names) ==
            std::tie(other.apex, other.ports, other.max_names));
    }
  }
  CHECK(first.size() > 80);
}

TEST_CASE("what is worth a look is tagged") {
  const auto risks_of = [](std::string_view name, std::string_view host) {
    for (const auto& one : find_bundle(name)->hosts) {
      if (one.host == host) return to_string(one.risks);
    }
    return std::string("not there");
  };
  CHECK(risks_of("node", "**.npmjs.org") == "multi-tenant, upload");
  CHECK(risks_of("go", "**.golang.org") == "multi-tenant, upload, redirects");
  CHECK(risks_of("node", "nodejs.org") == "none");
  for (const auto* model : {"anthropic", "openai", "google", "mistral", "azure-openai"}) {
    for (const auto& host : find_bundle(model)->hosts) CHECK(has(host.risks, risk::upload));
  }
  CHECK(find_bundle("bedrock-eu-west-1")->hosts.size() == 1);
  CHECK(risks_of("bedrock-eu-west-1", "bedrock-runtime.eu-west-1.amazonaws.com") == "upload");
  CHECK(risks_of("github-actions", "productionresultssa0.blob.core.windows.net") == "multi-tenant, upload");
  CHECK(std::ranges::count_if(find_bundle("github-actions")->hosts, [](const bundle_host& host) {
          return host.host.starts_with("productionresultssa");
        }) == 20);
}
