// What the importers' tests share.
#pragma once
#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "allowlist/policy.hpp"
#include "config/load.hpp"
#include "importers/import.hpp"

namespace exeat::importers::testing {

/// An imported file, its policy as it loads once printed, and questions to it.
struct trial {
  imported result;
  config::shared_policy policy;

  bool allows(std::string_view phase, std::string_view host, std::uint16_t port = 443,
              core::scheme scheme = core::scheme::https, std::string_view method = "GET") const {
    const auto id = policy->find_phase(phase);
    if (!id) return false;
    core::destination to{core::ip_address(), port};
    if (const auto literal = core::ip_address::parse(host)) {
      to.host = *literal;
    } else {
      to.host = core::host_name::parse(host).value();
    }
    return allowlist::decide(*policy,
                             {.phase = *id, .scheme = scheme, .to = &to, .method = method, .path = "/"})
               .verdict == allowlist::verdict::allow;
  }
  bool plain(std::string_view phase, std::string_view host, std::uint16_t port = 80) const {
    return allows(phase, host, port, core::scheme::http);
  }
  /// True where one of the remarks on that line holds the text.
  static bool says(const std::vector<remark>& remarks, int line, std::string_view text) {
    for (const auto& one : remarks) {
      if (one.line == line && one.text.find(text) != std::string::npos) return true;
    }
    return false;
  }
  bool differs(int line, std::string_view text) const { return says(result.differs, line, text); }
  bool left_out(int line, std::string_view text) const { return says(result.left_out, line, text); }
};

inline trial try_import(product from, std::string_view text) {
  const source source{.from = from, .text = text, .file = "f", .phase = "agent", .read = {}};
  auto result = import(source);
  REQUIRE(result);
  const auto printed = print(*result, source);
  auto policy = config::parse_policy(printed, "printed");
  if (!policy) FAIL(config::to_string(policy.error()), printed);
  return {std::move(*result), std::move(*policy)};
}

}  // namespace exeat::importers::testing
