// What the tables of bundles are written with. For this floor's own sources only.
#pragma once
#include <span>
#include <string_view>

#include "allowlist/bundles.hpp"

namespace exeat::allowlist {

/// The date of the last review of every bundle that has not been reviewed by itself since.
inline constexpr std::string_view last_review = "2026-11-21";

inline constexpr risk none = risk::none;
inline constexpr risk multi_tenant = risk::multi_tenant;
inline constexpr risk upload = risk::upload;
inline constexpr risk redirects = risk::redirects;

/// A package registry. By the rules of this repository no host name of one is written out in it: a literal
/// would be taken for, and mirrored or rewritten as, a client's own configuration. So it is the whole domain
/// with its apex, `host: "**.DOMAIN", apex: true`, and the tags are those of everything in the domain.
constexpr bundle_host registry(std::string_view pattern, risk risks, std::string_view reason) {
  return {.host = pattern, .apex = true, .risks = risks, .reason = reason};
}
/// One in whose domain only some other service carries the risk; `reason` names it.
constexpr bundle_host registry_beside(std::string_view pattern, risk risks, std::string_view reason) {
  return {.host = pattern, .apex = true, .risks = risks, .reason = reason, .risks_partly = true};
}
/// One host, exactly.
constexpr bundle_host host(std::string_view name, risk risks, std::string_view reason) {
  return {.host = name, .risks = risks, .reason = reason};
}

// One per file, in any order.
std::span<const bundle> language_bundles() noexcept;
std::span<const bundle> more_language_bundles() noexcept;
std::span<const bundle> system_bundles() noexcept;
std::span<const bundle> source_bundles() noexcept;
std::span<const bundle> model_bundles() noexcept;
std::span<const bundle> bedrock_bundles() noexcept;
std::span<const bundle> ci_bundles() noexcept;
std::span<const bundle> browser_bundles() noexcept;

}  // namespace exeat::allowlist
