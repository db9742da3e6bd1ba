// Bundles: curated lists of what one ecosystem, source host, model API or tool needs, for `use:` in a policy.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace exeat::allowlist {

/// What is dangerous about a host that is otherwise what it says it is. Bits.
enum class risk : std::uint8_t {
  none = 0,
  multi_tenant = 1,  ///< anyone can publish or receive there
  upload = 2,        ///< accepts data from cheap or anonymous accounts
  redirects = 4,     ///< sends clients on to hosts that somebody else chose
};
constexpr risk operator|(risk a, risk b) noexcept {
  return static_cast<risk>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(risk set, risk one) noexcept {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0;
}

/// The words of a policy's author: "multi-tenant, upload"; "none".
std::string to_string(risk risks);

struct bundle_host {
  std::string_view host;  ///< a host pattern as in a policy
  bool apex = false;
  std::string_view ports = "443";  ///< "443" or "80,443"
  std::uint32_t max_names = 0;     ///< for a wildcard; 0: none
  risk risks = risk::none;
  std::string_view reason;  ///< why it is needed; one clause, without a full stop
  /// Of a wildcard: the risks come with some of its names, which `reason` tells; a rule for another one of
  /// them has none.
  bool risks_partly = false;
};

struct bundle {
  std::string_view name;      ///< [a-z][a-z0-9-]*
  std::string_view title;     ///< a noun phrase
  std::string_view reviewed;  ///< the date on which a person last went through it, YYYY-MM-DD
  std::span<const bundle_host> hosts;
  /// What was left out on purpose, and what to do where it is needed; sentences, may be empty.
  std::string_view without = {};
};

/// All bundles, by name.
std::span<const bundle> bundles() noexcept;
/// Null where there is none of that name.
const bundle* find_bundle(std::string_view name) noexcept;

}  // namespace exeat::allowlist
