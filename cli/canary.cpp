// `exeat canary`: a name that looks like a find, for `canary` in a policy.
#include <fmt/format.h>
#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "allowlist/pattern.hpp"
#include "cli/commands.hpp"
#include "config/error.hpp"

namespace exeat::cli {
namespace {

// What somebody who searches a machine hopes to find; none of them alone is a name that is in use.
constexpr std::array<std::string_view, 16> services{
    "vault",   "secrets", "artifacts", "backup", "billing", "deploy", "ldap",   "logs",
    "metrics", "mirror",  "packages",  "signer", "sso",     "state",  "tokens", "webhooks"};

// Reserved by ICANN for private use: it will never be delegated.
constexpr std::string_view private_domain = "internal";

bool fill(void* into, std::size_t size) {
  return ::getrandom(into, size, 0) == static_cast<::ssize_t>(size);
}

}  // namespace

int run_canary(const canary_options& options) {
  const std::string_view under = options.under.empty() ? private_domain : std::string_view(options.under);
  const auto domain = allowlist::host_pattern::parse(under, true);
  if (!domain || domain->depth != allowlist::depth::exact) {
    fmt::print(stderr, "exeat canary: `{}`: {}\n", config::printable(under),
               domain ? "a domain has no wildcard" : describe(domain.error()));
    return exit_error;
  }
  struct {
    std::uint64_t number;
    std::uint8_t service;
  } random{};
  if (!fill(&random.number, sizeof random.number) || !fill(&random.service, sizeof random.service)) {
    fmt::print(stderr, "exeat canary: the kernel gives no random bytes\n");
    return exit_error;
  }
  const auto text = fmt::format("{}-{:016x}.{}", services[random.service % services.size()], random.number,
                                domain->name.view());
  const auto name = core::host_name::parse(text);
  if (!name) {
    fmt::print(stderr, "exeat canary: `{}`: {}\n", config::printable(text), describe(name.error()));
    return exit_error;
  }
  fmt::print("{}\n", name->view());
  fmt::print("# In policy.yaml, in the phase that must never ask for it:\n    canary: [{}]\n", name->view());
  return exit_ok;
}

}  // namespace exeat::cli
